"""The provider for an agent of one's own: a service that speaks `docs/provider-protocol.md`."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import uuid4

import httpx2
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from calls.providers.base import (
    Access,
    AccountError,
    AccountField,
    CallRequest,
    Capabilities,
    Event,
    EventRefused,
    PermanentError,
    Placement,
    Poll,
    Provider,
    ProviderError,
    TemporaryError,
)
from calls.providers.http.agent import Agent, Answer, UnexpectedAnswer
from calls.providers.http.messages import call_body, read_call, read_event, read_placement
from calls.statuses import CallStatus
from calls.webhooks.addresses import validate_address
from calls.webhooks.signing import find_fault, validate_secret
from campaigns.clock import followed_now

logger = logging.getLogger(__name__)

ASK_AGAIN_AFTER = timedelta(seconds=30)
AT_ONCE = 8
# No request of a group begins after this time, so that other accounts' calls are asked about too;
# the last may take as long as any.
POLL_SECONDS = 15
# So many failures in a row, and the agent is not asked about the other calls of the group.
TOO_MANY_FAILURES = 3


def validate_agent_url(url: str) -> None:
    """Raise Django's `ValidationError` unless an agent may be at this address."""
    validate_address(url)
    if "?" in url or "#" in url:
        raise ValidationError(_("Give an address without ? and #."))


class HttpProvider(Provider):
    """Hands calls to the agent at `settings["url"]`; `credentials["secret"]` signs both ways."""

    capabilities = Capabilities(placements_at_once=AT_ONCE)
    fields: ClassVar[tuple[AccountField, ...]] = (
        AccountField(
            "url",
            gettext_noop("Agent's address"),
            gettext_noop("Calls are placed at /calls below it."),
            check=validate_agent_url,
        ),
        AccountField(
            "secret",
            gettext_noop("Agent's secret"),
            gettext_noop(
                "whsec_ and the base64 of 24 to 64 random bytes. It signs what is sent both ways."
            ),
            is_secret=True,
            check=validate_secret,
        ),
    )

    def __init__(self, access: Access | None = None) -> None:
        super().__init__(access)
        self._secret = self.access.credentials.get("secret", "")
        self._agent = Agent(self.access.settings.get("url", ""), self._secret)

    def place(self, request: CallRequest) -> Placement:
        """Beside the provider errors raises `UnexpectedAnswer` or what httpx2 does: then nobody
        knows whether the agent has the call.
        """
        body = call_body(request, self.access.callback_url)
        key = {"idempotency-key": str(request.attempt_id)}
        try:
            answer = self._agent.ask("place", "POST", request.attempt_id, "/calls", body, key)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TemporaryError("agent_unreachable") from error
        if not answer.is_success:
            raise _refusal(answer)
        call_id, number_from = read_placement(answer.body)
        return Placement(call_id, number_from, poll_at=request.started_at + ASK_AGAIN_AFTER)

    def cancel(self, request: CallRequest) -> None:
        path = f"/calls/{request.attempt_id}/cancel"
        answer = self._agent.ask("cancel", "POST", request.attempt_id, path)
        if not (answer.is_success or answer.is_of_unknown_call):
            raise UnexpectedAnswer(answer.status)

    def poll(self, requests: Sequence[CallRequest], now: datetime) -> list[Poll]:
        """Raises `AccountError` where the account's settings are incomplete."""
        self._agent.check()
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

    def _look_up(self, request: CallRequest, now: datetime) -> Poll:
        call_id = request.attempt_id
        answer = self._agent.ask("look-up", "GET", call_id, f"/calls/{call_id}")
        if answer.is_of_unknown_call:
            return Poll(call_id, poll_at=now + ASK_AGAIN_AFTER, is_unknown=True)
        if not answer.is_success:
            raise UnexpectedAnswer(answer.status)
        events = read_call(answer.body, call_id)
        is_over = any(event.ending for event in events)
        return Poll(call_id, events, None if is_over else now + ASK_AGAIN_AFTER)

    def check(self) -> str:
        """Look up a call that the agent cannot know; see the protocol."""
        call_id = uuid4()
        try:
            answer = self._agent.ask("look-up", "GET", call_id, f"/calls/{call_id}")
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TemporaryError(_("The agent cannot be reached at its address.")) from error
        except httpx2.TimeoutException as error:
            raise TemporaryError(_("The agent is reached, and does not answer.")) from error
        except httpx2.HTTPError as error:
            raise TemporaryError(_("The agent breaks the connection off.")) from error
        if answer.is_of_unknown_call:
            return _("The agent answers, and takes the secret.")
        if answer.status == 401:
            raise AccountError(_("The agent refuses the secret: it answered 401."))
        told = f"{answer.status} {answer.reason}".strip()
        text = _("The agent answered %s to a look-up, where 404 unknown_call is due.")
        raise ProviderError(text % told)

    def read_events(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """One event: the agent sends each by itself."""
        try:
            self._agent.check()
        except AccountError:
            raise EventRefused("The account takes no events.", is_forged=True) from None
        fault = find_fault(self._secret, headers, body, followed_now().timestamp())
        if fault:
            raise EventRefused(fault, is_forged=True)
        return [read_event(body)]


def _refusal(answer: Answer) -> Exception:
    """What an answer other than 2xx to a placement says: see the table in the protocol."""
    status, reason = answer.status, answer.reason
    if status in {401, 402, 403}:
        return AccountError(f"The agent answered {status}" + (f" ({reason})" if reason else ""))
    if status in {404, 405}:
        return AccountError(f"The agent's address is wrong: it answered {status}")
    if status in {429, 503}:
        return TemporaryError(f"agent_answered_{status}")
    if status == 408 or not 400 <= status < 500:
        return UnexpectedAnswer(status)
    is_invalid = reason == CallStatus.INVALID_NUMBER
    final = CallStatus.INVALID_NUMBER if is_invalid else CallStatus.FAILED
    return PermanentError(reason or f"agent_answered_{status}", final)


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
