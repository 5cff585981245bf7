"""Where call providers report events by themselves."""

import logging
from collections.abc import Sequence

from django.db import DataError, IntegrityError
from django.http import Http404
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.events import record_events
from calls.models import ProviderAccount
from calls.providers import PROVIDERS, provider_of
from calls.providers.base import Event, EventRefused
from contacts.validation import ErrorDetail, InvalidInput, error_detail, raw_body

logger = logging.getLogger(__name__)


class NotReady(APIException):
    """The account's settings or secrets cannot be read until somebody mends them."""

    status_code = 503
    default_detail = "The account takes no events just now."
    wait = 60  # seconds, as Retry-After


class HookView(APIView):
    """`POST /hooks/{account}`: an event, signed by the account's provider instead of a token.

    Each provider sends what it will, so the API's description leaves it out; for the provider
    `http` it is told in `docs/provider-protocol.md`.
    """

    schema = None
    authentication_classes = ()
    permission_classes = ()
    max_body_bytes = 8 * 1024 * 1024

    def post(self, request: Request, account_id: int) -> Response:
        accounts = ProviderAccount.objects.defer("credentials")  # which may be unreadable
        account = accounts.filter(pk=account_id, provider__in=PROVIDERS).first()
        if account is None:
            raise Http404
        try:
            provider = provider_of(account)
        except Exception as error:
            logger.error("Account %s cannot be used: %s", account.pk, type(error).__name__)
            raise NotReady from None
        try:
            events = provider.read_events(request.headers, raw_body(request.data))
        except EventRefused as refused:
            if refused.is_forged:
                raise AuthenticationFailed(str(refused)) from None
            raise InvalidInput(refused.errors or [_fault(str(refused))]) from None
        _record(account, events)
        return Response({"status": "ok"})

    def get_authenticate_header(self, request: Request) -> str:
        return "Signature"


def _record(account: ProviderAccount, events: Sequence[Event]) -> None:
    """Raises `InvalidInput` for what the database does not keep, such as an id of another call."""
    try:
        try:
            record_events(account, events)
        except IntegrityError:  # perhaps of two events that came at once: the second then fits
            record_events(account, events)
    except (DataError, IntegrityError, UnicodeError):
        raise InvalidInput([_fault("The event does not fit what is known already.")]) from None


def _fault(message: str) -> ErrorDetail:
    return error_detail(["body"], message, "event_refused")
