"""The provider for Vapi, https://vapi.ai: calls with an assistant made from the template."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx2
from django.utils.translation import gettext

from calls.providers.base import (
    Access,
    AccountError,
    CallRequest,
    Capabilities,
    Event,
    EventRefused,
    Placement,
    Poll,
    Provider,
    ProviderError,
    TemporaryError,
)
from calls.providers.vapi.account import FIELDS, Account
from calls.providers.vapi.api import Answer, Api, UnexpectedAnswer
from calls.providers.vapi.assistant import call_body
from calls.providers.vapi.messages import ToldCall, read_message
from calls.providers.vapi.refusals import account_error, refusal
from calls.providers.vapi.signatures import find_fault
from campaigns.clock import followed_now

logger = logging.getLogger(__name__)

ASK_AGAIN_AFTER = timedelta(seconds=30)
# When what was said is still being thought about.
ASK_SOON_AFTER = timedelta(seconds=10)
AT_ONCE = 8
# No request of a group begins after this time, so that other accounts' calls are asked about too.
POLL_SECONDS = 15
# So many failures in a row, and Vapi is not asked about the other calls of the group.
TOO_MANY_FAILURES = 3
# When a call whose answer was lost was created, counted from the intent to dial: most likely in
# the first of these spans, and, should the clocks differ, in one of the others.
SPANS = tuple(
    (timedelta(seconds=since), timedelta(seconds=until))
    for since, until in ((-15, 90), (-300, -15), (90, 600))
)


class NotClosed(Exception):
    """The line is still open; it is to be closed again later."""


class VapiProvider(Provider):
    """Places calls by `POST /call`, each with an assistant of its own."""

    capabilities = Capabilities(placements_at_once=AT_ONCE)
    fields = FIELDS

    def __init__(self, access: Access | None = None) -> None:
        super().__init__(access)
        self._account = Account.of(self.access)
        self._api = Api(self._account)
        self._numbers: dict[str, str] = {}  # ids of phone numbers, by number

    def place(self, request: CallRequest) -> Placement:
        """Beside the provider errors raises `UnexpectedAnswer` or what httpx2 does: then nobody
        knows whether Vapi has the call.
        """
        self._account.check_placing()
        number_id = self._phone_number_id(request.number_from)
        body = call_body(request, self._account, number_id, self.access.callback_url)
        try:
            answer = self._api.ask("POST", "/call", body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TemporaryError("vapi_unreachable") from error
        if not answer.is_success:
            raise refusal(answer, body)
        call = ToldCall.of(answer.told())
        number_from = call.number_from or request.number_from
        return Placement(call.call_id, number_from, poll_at=request.started_at + ASK_AGAIN_AFTER)

    def cancel(self, request: CallRequest) -> None:
        """Raises `NotClosed` until Vapi says that the call has ended."""
        call = self._find(request)
        if call is None or call.is_over:
            return
        self._hang_up(call)
        told = self._api.call(call.call_id)
        if told is not None and not ToldCall.of(told).is_over:
            raise NotClosed

    def poll(self, requests: Sequence[CallRequest], now: datetime) -> list[Poll]:
        """Raises `AccountError` where the account's settings are incomplete."""
        self._account.check()
        patience = _Patience()

        def ask(request: CallRequest) -> Poll | None:
            if patience.is_over:
                return None
            try:
                poll = self._look_up(request, now)
            except Exception as error:  # whatever it is: this call has no answer
                what = str(error) if isinstance(error, UnexpectedAnswer) else type(error).__name__
                logger.warning("Call %s cannot be asked about: %s", request.attempt_id, what)
                patience.note_failure(error)
                return None
            patience.note_success()
            return poll

        with ThreadPoolExecutor(AT_ONCE) as threads:
            return [poll for poll in threads.map(ask, requests) if poll]

    def check(self) -> str:
        self._account.check_placing()
        answer = self._ask_safely(f"/phone-number/{quote(self._account.phone_number_id, safe='')}")
        if answer.status in {400, 404}:
            raise AccountError(gettext("Vapi knows no phone number with this id."))
        number = _told_dict(_told(answer))
        if number.get("status") == "blocked":
            raise AccountError(gettext("Vapi has blocked the phone number."))
        shown = number.get("number") or number.get("name") or self._account.phone_number_id
        return gettext("Vapi takes the key, and calls are placed from %(number)s.") % {
            "number": shown
        }

    def read_events(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        now = followed_now()
        fault = find_fault(self._account, headers, body, now.timestamp())
        if fault:
            raise EventRefused(fault, is_forged=True)
        return read_message(body, now)

    def _phone_number_id(self, number_from: str) -> str:
        """The id of the number to call from: the account's own, unless the call names another."""
        if not number_from:
            return self._account.phone_number_id
        if number_from not in self._numbers:
            told = _told(self._ask_safely("/phone-number", limit="1000"))
            numbers = [_told_dict(number) for number in (told if isinstance(told, list) else [])]
            self._numbers = {str(n.get("number")): str(n["id"]) for n in numbers if n.get("id")}
        if number_from not in self._numbers:
            raise AccountError(
                gettext("Vapi has no phone number %(number)s to call from.")
                % {"number": number_from}
            )
        return self._numbers[number_from]

    def _ask_safely(self, path: str, **query: str) -> Answer:
        """Read something where nothing is placed: whatever fails, nothing was taken."""
        try:
            return self._api.ask("GET", path, **query)
        except httpx2.HTTPError as error:
            raise TemporaryError(gettext("Vapi cannot be reached.")) from error

    def _look_up(self, request: CallRequest, now: datetime) -> Poll:
        call = self._find(request)
        if call is None:
            return Poll(request.attempt_id, poll_at=now + ASK_AGAIN_AFTER, is_unknown=True)
        if call.is_over and call.lacks_analysis(now):
            return Poll(request.attempt_id, poll_at=now + ASK_SOON_AFTER)
        event = call.event(request.attempt_id, now)
        is_over = event is not None and event.ending is not None
        if is_over and call.meaning.blames:
            logger.warning("Vapi ended call %s: %s", request.attempt_id, call.meaning.reason)
        poll_at = None if is_over else now + ASK_AGAIN_AFTER
        return Poll(request.attempt_id, (event,) if event else (), poll_at)

    def _find(self, request: CallRequest) -> ToldCall | None:
        """The call as Vapi knows it; None if it has none, by its id or else by ours."""
        if request.provider_call_id:
            told = self._api.call(request.provider_call_id)
            return None if told is None else ToldCall.of(told)
        for told in self._created_around(request.started_at):
            call = ToldCall.of(told)
            if call.attempt_id == request.attempt_id:
                return call
        return None

    def _created_around(self, started_at: datetime) -> Iterator[Any]:
        for since, until in SPANS:
            yield from self._api.calls(started_at + since, started_at + until)

    def _hang_up(self, call: ToldCall) -> None:
        """Have the line closed. Deleting a call that rings or is talked on would leave its line
        open; one that still waits is not dialled any more.
        """
        is_told = bool(call.control_url) and self._api.end_call(call.control_url).is_success
        if not is_told and call.status in {"scheduled", "queued"}:
            self._api.ask("DELETE", f"/call/{call.call_id}", {})


def _told(answer: Answer) -> Any:
    """What was answered to a question that places nothing. Raises `ProviderError`."""
    if answer.is_success:
        try:
            return answer.told()
        except UnexpectedAnswer:
            pass
    error: ProviderError = account_error(answer.status) or TemporaryError(
        gettext("Vapi answers, but not as expected (%(status)s).") % {"status": answer.status}
    )
    raise error


def _told_dict(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


class _Patience:
    """How long one group of calls is asked about; shared by the threads that ask."""

    def __init__(self) -> None:
        self.until = time.monotonic() + POLL_SECONDS
        self.failures = 0

    @property
    def is_over(self) -> bool:
        return self.failures >= TOO_MANY_FAILURES or time.monotonic() > self.until

    def note_failure(self, error: Exception) -> None:
        """Where nobody listens, one failure is enough."""
        is_gone = isinstance(error, httpx2.ConnectError)
        self.failures += TOO_MANY_FAILURES if is_gone else 1

    def note_success(self) -> None:
        self.failures = 0
