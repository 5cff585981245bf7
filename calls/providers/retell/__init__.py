"""The provider for Retell AI: https://docs.retellai.com."""

import json
import logging
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

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
    Placement,
    Poll,
    Provider,
    TemporaryError,
)
from calls.providers.retell import bodies
from calls.providers.retell.api import BASE_URL, Answer, Api, UnexpectedAnswer
from calls.providers.retell.messages import (
    CallIn,
    make_event,
    make_events,
    read_call,
    read_list,
    read_webhook,
)
from calls.providers.retell.refusals import account_refusal, placement_refusal
from calls.providers.retell.signatures import find_fault
from calls.webhooks.addresses import validate_address
from campaigns.clock import followed_now

logger = logging.getLogger(__name__)

AT_ONCE = 8
ASK_AGAIN_AFTER = timedelta(seconds=30)
# So long after the end an analysis is awaited.
ANALYSIS_WITHIN = timedelta(minutes=10)
# No request of a group begins after this time, so that other accounts' calls are asked about too.
POLL_SECONDS = 15
# So many failures in a row, and Retell is not asked about the other calls of the group.
TOO_MANY_FAILURES = 3
NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


def check_number(number: str) -> None:
    """Raises `ValidationError`."""
    if not NUMBER.fullmatch(number):
        raise ValidationError(_("A number is written as + and digits, such as +12025550100."))


class RetellProvider(Provider):
    """Calls by Retell's phone call API. Our attempt's id stands in a call's metadata, so that it is
    found again.
    """

    capabilities = Capabilities(placements_at_once=AT_ONCE)
    fields = (
        AccountField(
            "api_key",
            gettext_noop("API key"),
            gettext_noop("From API Keys in Retell's dashboard."),
            is_secret=True,
        ),
        AccountField(
            "webhook_key",
            gettext_noop("webhook key"),
            gettext_noop("The API key with the webhook badge, if it is another one."),
            is_secret=True,
            is_required=False,
        ),
        AccountField(
            "agent_id",
            gettext_noop("agent"),
            gettext_noop("The id of the agent that talks; its prompt is {{system_prompt}}."),
        ),
        AccountField(
            "from_number",
            gettext_noop("number to call from"),
            gettext_noop("A number bought from Retell or imported there, such as +12025550100."),
            check=check_number,
        ),
        AccountField(
            "base_url",
            gettext_noop("address of the API"),
            gettext_noop("Empty: https://api.retellai.com."),
            is_required=False,
            check=validate_address,
        ),
    )

    def __init__(self, access: Access | None = None) -> None:
        super().__init__(access)
        credentials = self.access.credentials
        key = credentials.get("api_key", "").strip()
        self._webhook_key = credentials.get("webhook_key", "").strip() or key
        self._api = Api(self.access.settings.get("base_url") or BASE_URL, key)

    def place(self, request: CallRequest) -> Placement:
        """Beside the provider errors raises `UnexpectedAnswer` or what httpx2 does: then nobody
        knows whether Retell has the call.
        """
        number = request.number_from or self._number_from()
        body = bodies.call_body(request, number, self._agent_id(), self.access.callback_url)
        try:
            answer = self._api.ask("POST", "/v2/create-phone-call", body=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise TemporaryError("retell_unreachable") from error
        if not answer.is_success:
            raise placement_refusal(answer)
        call = read_call(answer.body)
        poll_at = request.started_at + ASK_AGAIN_AFTER
        return Placement(call.call_id, call.from_number or number, poll_at)

    def cancel(self, request: CallRequest) -> None:
        """Without Retell's id, every call of the attempt that is found is stopped."""
        if request.provider_call_id:
            self._stop(request.provider_call_id)
            return
        for call in self._search(request):
            if not call.is_over:
                self._stop(call.call_id)

    def _stop(self, call_id: str) -> None:
        answer = self._api.ask("POST", "/v2/stop-call", call_id)
        if answer.is_success:
            return
        # Perhaps it is over, or gone; a refusal alone may be that of a call that rings.
        if not 400 <= answer.status < 500:
            raise UnexpectedAnswer(answer.status)
        call = self._get(call_id)
        if call and not call.is_over:
            raise UnexpectedAnswer(answer.status)

    def poll(self, requests: Sequence[CallRequest], now: datetime) -> list[Poll]:
        """Raises `AccountError` where the account's settings are incomplete."""
        self._api.check()
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
        call = self._find(request)
        if call is None:
            return Poll(request.attempt_id, poll_at=now + ASK_AGAIN_AFTER, is_unknown=True)
        if call.attempt_id not in {None, request.attempt_id}:
            raise UnexpectedAnswer("another call")
        has_waited = call.is_over and call.ended_at(request.started_at) + ANALYSIS_WITHIN <= now
        events = make_events(
            call, request.attempt_id, request.started_at, now, has_waited=has_waited
        )
        endings = [event.ending for event in events if event.ending]
        is_done = bool(endings) and not endings[0].analysis_follows
        return Poll(request.attempt_id, events, None if is_done else now + ASK_AGAIN_AFTER)

    def _find(self, request: CallRequest) -> CallIn | None:
        """The call with all that is told of it: lists leave out what was said."""
        call_id = request.provider_call_id
        if not call_id:
            found = self._search(request)
            if not found:
                return None
            # Should there be two, the one that runs is the one to know about.
            call_id = next((call for call in found if not call.is_over), found[0]).call_id
        return self._get(call_id)

    def _get(self, call_id: str) -> CallIn | None:
        answer = self._api.ask("GET", "/v2/get-call", call_id)
        if answer.is_of_unknown_thing:
            return None
        call = read_call(_expect_success(answer).body)
        if call.call_id != call_id:
            raise UnexpectedAnswer("another call")
        return call

    def _search(self, request: CallRequest) -> list[CallIn]:
        """The calls of an attempt, looked up by our id."""
        ours = request.attempt_id
        answer = self._api.ask("POST", "/v3/list-calls", body=bodies.search_body(ours))
        if answer.status == 404:
            answer = self._api.ask("POST", "/v2/list-calls", body=bodies.old_search_body(ours))
        calls = read_list(_expect_success(answer).body)
        # Else the search is not understood, and its silence about a call would mean nothing.
        if any(call.attempt_id != ours for call in calls):
            raise UnexpectedAnswer("calls that were not searched for")
        return calls

    def check(self) -> str:
        number, agent_id = self._number_from(), self._agent_id()
        agent = self._ask_about(_("Retell does not know the agent."), "/get-agent", agent_id)
        self._check_prompts(agent)
        self._ask_about(
            _("Retell does not know the number to call from."), "/get-phone-number", number
        )
        told = self._ask_about(_("Retell's address is wrong."), "/get-concurrency")
        limit, current = told.get("concurrency_limit"), told.get("current_concurrency")
        if not (isinstance(limit, int) and isinstance(current, int)):
            raise TemporaryError(_("Retell's answer cannot be read."))
        return _(
            "Retell knows the agent and the number; %(current)s of %(limit)s calls at once are "
            "under way."
        ) % {"current": current, "limit": limit}

    def _check_prompts(self, agent: Mapping[str, Any]) -> None:
        """An agent with a prompt of its own would say that, and not what the template says. Those
        of other kinds than Retell's own cannot be looked into.
        """
        engine = agent.get("response_engine")
        llm_id = engine.get("llm_id") if isinstance(engine, dict) else None
        if not isinstance(llm_id, str):
            return
        llm = self._ask_about(_("Retell does not know the agent's LLM."), "/get-retell-llm", llm_id)
        text = json.dumps(llm)
        for word in ("system_prompt", "first_message"):
            if not re.search(r"\{\{\s*" + word + r"\s*\}\}", text):
                raise AccountError(
                    _("The agent at Retell does not use {{%(word)s}}, so it would say its own.")
                    % {"word": word}
                )

    def _ask_about(self, missing: str, path: str, *parts: str) -> dict[str, Any]:
        """Raises `ProviderError` with a sentence that says what is wrong."""
        try:
            answer = self._api.ask("GET", path, *parts)
        except httpx2.HTTPError as error:
            raise TemporaryError(_("Retell cannot be reached.")) from error
        if refusal := account_refusal(answer):
            raise refusal
        if answer.status == 404 or answer.is_of_unknown_thing:
            raise AccountError(missing)
        if not answer.is_success:
            raise TemporaryError(_("Retell answered %(status)s.") % {"status": answer.status})
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise TemporaryError(_("Retell's answer cannot be read."))
        return told

    def read_events(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """One event, or none of a message that tells nothing about the line or the outcome."""
        now = followed_now()
        if fault := find_fault(self._webhook_key, headers, body, now.timestamp()):
            raise EventRefused(fault, is_forged=True)
        told = read_webhook(body)
        if told is None:
            return []
        return [make_event(told.call, told.event, now, told.call.attempt_id)]

    def _agent_id(self) -> str:
        return self._setting("agent_id", _("The account has no agent."))

    def _number_from(self) -> str:
        return self._setting("from_number", _("The account has no number to call from."))

    def _setting(self, name: str, missing: str) -> str:
        value = self.access.settings.get(name)
        if not (isinstance(value, str) and value.strip()):
            raise AccountError(missing)
        return value.strip()


def _expect_success(answer: Answer) -> Answer:
    if not answer.is_success:
        raise UnexpectedAnswer(answer.status)
    return answer


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
