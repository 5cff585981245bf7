import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import jsonschema
import pytest
import yaml
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from calls.dialling import place_batch
from calls.models import CallLog, ProviderAccount
from calls.providers import make_provider, provider_of
from calls.providers.base import (
    Access,
    AccountError,
    CallRequest,
    EventKind,
    EventRefused,
    PermanentError,
    Poll,
    ProviderError,
    TemporaryError,
)
from calls.providers.retell import TOO_MANY_FAILURES, RetellProvider, check_number, reasons
from calls.providers.retell.api import UnexpectedAnswer
from calls.providers.retell.bodies import LANGUAGES, call_body, language_of, search_body
from calls.providers.retell.reasons import RULES, rule_of
from calls.providers.retell.signatures import find_fault, sign
from calls.statuses import CallStatus
from calls.tests.factories import launch
from calls.tests.fake_retell import (
    AGENT_ID,
    FAULTS,
    KEY,
    NUMBER,
    FakeRetell,
    Message,
    Refuses,
    signature,
)
from calls.tests.far_side import Says
from campaigns.models import Batch
from templates.tests.factories import make_template

CALLBACK = "https://calls.example.com/hooks/7"
SAID_NOTHING = ("", "", None)
ANOTHERS_ID = "2f9f6ad3-0f0e-4a53-9d5e-6d5b8a8d7f10"


@pytest.fixture
def retell() -> Iterator[FakeRetell]:
    with FakeRetell() as retell:
        yield retell


@pytest.fixture(autouse=True)
def _clock_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, so that a provider needs no database."""
    monkeypatch.setattr("campaigns.clock._anchor", (time.monotonic(), timezone.now()))


@pytest.fixture
def silence_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls.providers.retell.api.REQUEST_SECONDS", 0.4)


def provider_at(
    retell: FakeRetell, secrets: Mapping[str, str] | None = None, **settings: Any
) -> RetellProvider:
    known, credentials = retell.account_fields()
    return RetellProvider(Access(known | settings, credentials | dict(secrets or {}), CALLBACK))


@pytest.fixture
def provider(retell: FakeRetell) -> RetellProvider:
    return provider_at(retell)


def make_request(**what_matters: Any) -> CallRequest:
    fields: dict[str, Any] = {
        "attempt_id": uuid4(),
        "attempt": 2,
        "number_to": "+966500000001",
        "system_prompt": "You speak for “Acme”.",
        "first_message": "مرحبا",
        "voice": "",
        "language": "ar",
        "max_duration_seconds": 300,
        "outcomes": (
            ("PROMISE_TO_PAY", "The person promises to pay."),
            ("REFUSED", "The person refuses to pay."),
        ),
        "started_at": timezone.now(),
        "tags": {"amount": "5,000 SAR"},
    }
    return CallRequest(**fields | what_matters)


def place(provider: RetellProvider, **what_matters: Any) -> CallRequest:
    """A request as it stands after its placement."""
    request = make_request(**what_matters)
    return replace(request, provider_call_id=provider.place(request).provider_call_id)


def poll_one(provider: RetellProvider, request: CallRequest) -> Poll:
    [poll] = provider.poll([request], timezone.now())
    return poll


def kinds(poll: Poll) -> list[EventKind]:
    return [event.kind for event in poll.events]


# Placing.


def test_a_call_is_placed_with_what_it_is_to_be(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = make_request()
    placement = provider.place(request)
    [asked] = retell.asked
    body = json.loads(asked.body)
    assert (asked.method, asked.path) == ("POST", "/v2/create-phone-call")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert (body["from_number"], body["to_number"]) == (NUMBER, "+966500000001")
    assert body["override_agent_id"] == AGENT_ID
    assert body["retell_llm_dynamic_variables"] == {
        "system_prompt": "You speak for “Acme”.",
        "first_message": "مرحبا",
        "amount": "5,000 SAR",
    }
    assert body["metadata"] == {"attempt_id": str(request.attempt_id), "attempt": 2}
    agent = body["agent_override"]["agent"]
    assert agent["webhook_url"] == CALLBACK
    assert agent["webhook_events"] == ["call_started", "call_ended", "call_analyzed"]
    assert agent["voicemail_option"] == {"action": {"type": "hangup"}}
    assert (agent["max_call_duration_ms"], agent["language"]) == (300_000, "ar-SA")
    outcome = agent["post_call_analysis_data"][0]
    assert (outcome["name"], outcome["choices"]) == ("outcome", ["PROMISE_TO_PAY", "REFUSED"])
    assert "The person refuses to pay." in outcome["description"]
    assert placement.provider_call_id == retell.calls[request.attempt_id]["call_id"]
    assert (placement.number_from, placement.poll_at) == (
        NUMBER,
        request.started_at + timedelta(seconds=30),
    )


def test_the_requests_own_number_is_called_from(retell: FakeRetell) -> None:
    provider = provider_at(retell, from_number="+12025550199")
    assert provider.place(make_request(number_from=NUMBER)).number_from == NUMBER


def test_the_prompts_win_over_tags_of_their_names(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider, tags={"system_prompt": "another", "days": 3})
    told = retell.calls[request.attempt_id]["retell_llm_dynamic_variables"]
    assert told["system_prompt"] == request.system_prompt
    assert told["days"] == "3"


@pytest.mark.parametrize(("seconds", "told"), [(20, 60_000), (90, 90_000), (99_999, 7_200_000)])
def test_the_longest_duration_is_one_that_retell_takes(seconds: int, told: int) -> None:
    body = call_body(make_request(max_duration_seconds=seconds), NUMBER, AGENT_ID, CALLBACK)
    assert body["agent_override"]["agent"]["max_call_duration_ms"] == told


def test_without_a_public_address_no_webhook_is_asked_for() -> None:
    agent = call_body(make_request(), NUMBER, AGENT_ID, "")["agent_override"]["agent"]
    assert not [name for name in agent if name.startswith("webhook")]


def test_without_outcomes_none_is_asked_for() -> None:
    agent = call_body(make_request(outcomes=()), NUMBER, AGENT_ID, "")["agent_override"]["agent"]
    assert [question["name"] for question in agent["post_call_analysis_data"]] == ["call_back_at"]


def test_a_templates_voice_is_the_agents_for_this_call() -> None:
    body = call_body(make_request(voice="11labs-Adrian"), NUMBER, AGENT_ID, "")
    assert body["agent_override"]["agent"]["voice_id"] == "11labs-Adrian"


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "en-US"),
        ("en-GB", "en-GB"),
        ("ar-EG", "ar-SA"),
        ("es-419", "es-419"),
        ("fil", "fil-PH"),
        ("xx", ""),
    ],
)
def test_a_language_is_told_in_retells_words(language: str, told: str) -> None:
    assert language_of(language) == told


def test_a_language_that_retell_lacks_leaves_the_agents_own() -> None:
    body = call_body(make_request(language="xx"), NUMBER, AGENT_ID, "")
    assert "language" not in body["agent_override"]["agent"]


# Refusals.


@pytest.mark.parametrize("fault", ["unauthorized", "no_credit", "forbidden", "not_found"])
def test_a_refusal_of_the_account_is_told_in_a_sentence(
    retell: FakeRetell, provider: RetellProvider, fault: str
) -> None:
    retell.answer_next(fault)
    with pytest.raises(AccountError) as refused:
        provider.place(make_request())
    assert refused.value.reason.startswith("Retell ")
    assert refused.value.reason.endswith(".")
    assert len(refused.value.reason) < 180


@pytest.mark.parametrize("fault", ["throttled", "throttled_for_a_while"])
def test_too_many_requests_are_placed_later(
    retell: FakeRetell, provider: RetellProvider, fault: str
) -> None:
    retell.answer_next(fault)
    with pytest.raises(TemporaryError) as refused:
        provider.place(make_request())
    assert not isinstance(refused.value, AccountError)


def test_an_impossible_number_is_refused_for_good(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    with pytest.raises(PermanentError) as refused:
        provider.place(make_request(number_to="+0"))
    assert refused.value.status is CallStatus.INVALID_NUMBER
    assert not retell.calls


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        ("to_number +966500000001 is not a valid number", PermanentError, "invalid_number"),
        ("Invalid phone number: must be E.164", PermanentError, "invalid_number"),
        ("Destination country is not supported", PermanentError, "destination_not_allowed"),
        ("from_number is not in E.164 format", AccountError, ""),
        ("Cannot find requested asset under given api key.", AccountError, ""),
        ("No outbound agent id set up for phone number", AccountError, ""),
        ("Trial has ended, please add payment method.", AccountError, ""),
        ("Concurrency limit reached", TemporaryError, "too_many_calls"),
        ("agent_override.agent.voicemail_option is odd", PermanentError, "refused_by_provider"),
        ("Invalid request format", PermanentError, "refused_by_provider"),
        ("", PermanentError, "refused_by_provider"),
    ],
)
def test_a_refused_body_is_judged_by_its_message(
    retell: FakeRetell,
    provider: RetellProvider,
    status: int,
    message: str,
    kind: type[ProviderError],
    reason: str,
) -> None:
    retell.answer_next(Refuses(status, message))
    with pytest.raises(ProviderError) as refused:
        provider.place(make_request())
    assert type(refused.value) is kind
    assert not reason or refused.value.reason == reason
    assert "966500000001" not in refused.value.reason


def test_a_retell_that_nobody_reaches_has_no_call(retell: FakeRetell) -> None:
    provider = provider_at(retell, base_url="http://127.0.0.1:9")
    with pytest.raises(TemporaryError, match="retell_unreachable"):
        provider.place(make_request())


@pytest.mark.usefixtures("silence_is_short")
@pytest.mark.parametrize("fault", ["server_error", "unavailable", "garbage", "closed", "silence"])
def test_of_a_lost_answer_nobody_says_that_the_call_was_not_placed(
    retell: FakeRetell, provider: RetellProvider, fault: str
) -> None:
    request = make_request()
    retell.answer_next(fault, takes_call=True)
    with pytest.raises(Exception) as lost:  # noqa: PT011
        provider.place(request)
    assert isinstance(lost.value, UnexpectedAnswer | httpx2.HTTPError)
    assert poll_one(provider, request).events  # it was placed after all, and is found


@pytest.mark.parametrize("status", [302, 408, 409, 425])
def test_an_answer_that_leaves_it_open_is_no_refusal(
    retell: FakeRetell, provider: RetellProvider, status: int
) -> None:
    retell.answer_next(Refuses(status))
    with pytest.raises(UnexpectedAnswer):
        provider.place(make_request())


@pytest.mark.parametrize(
    "body", [{}, {"call_id": ""}, {"call_id": "../x"}, {"call_id": "a" * 151}, [], "x"]
)
def test_a_placement_without_a_usable_id_leaves_it_open(
    retell: FakeRetell, provider: RetellProvider, body: Any
) -> None:
    retell.answer_next(Says(201, body))
    with pytest.raises(UnexpectedAnswer):
        provider.place(make_request())


@pytest.mark.parametrize(
    ("secrets", "settings"),
    [
        ({"api_key": ""}, {}),
        ({"api_key": "a\nb"}, {}),
        ({}, {"agent_id": ""}),
        ({}, {"from_number": " "}),
        ({}, {"base_url": "ftp://retell.example"}),
    ],
)
def test_an_incomplete_account_asks_nobody(
    retell: FakeRetell, secrets: Mapping[str, str], settings: Mapping[str, Any]
) -> None:
    with pytest.raises(AccountError):
        provider_at(retell, secrets, **settings).place(make_request())
    assert not retell.asked


# Asking about calls.


def test_a_registered_call_rings(provider: RetellProvider) -> None:
    request = place(provider)
    poll = poll_one(provider, request)
    assert kinds(poll) == [EventKind.RINGING]
    assert poll.poll_at


def test_an_answered_call_is_told_as_its_webhook_tells_it(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    [told] = provider.read_events(*retell.answer(request.attempt_id))
    poll = poll_one(provider, request)
    assert poll.events == (told,)
    assert told.kind is EventKind.ANSWERED
    assert (told.attempt_id, told.number_from) == (request.attempt_id, NUMBER)
    assert told.provider_call_id == request.provider_call_id
    assert told.event_id == f"{request.provider_call_id}:call_started"
    assert poll.poll_at


def test_an_ended_call_is_told_as_its_webhook_tells_it(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    [told] = provider.read_events(*retell.end(request.attempt_id))
    poll = poll_one(provider, request)
    assert kinds(poll) == [EventKind.ANSWERED, EventKind.ENDED]
    assert poll.events[1] == told
    assert poll.poll_at  # for the analysis


def test_an_analysis_is_found_even_if_its_webhook_is_lost(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    [told] = provider.read_events(*retell.analyze(request.attempt_id))
    poll = poll_one(provider, request)
    assert kinds(poll) == [EventKind.ANSWERED, EventKind.ENDED, EventKind.ANALYZED]
    assert poll.events[2] == told
    ended = poll.events[1].ending
    assert ended
    assert (ended.outcome, ended.analysis_follows) == ("PROMISE_TO_PAY", False)
    assert poll.poll_at is None


def test_an_analysis_is_not_awaited_for_ever(retell: FakeRetell, provider: RetellProvider) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    [poll] = provider.poll([request], timezone.now() + timedelta(minutes=11))
    assert poll.events[1].ending
    assert not poll.events[1].ending.analysis_follows
    assert poll.poll_at is None


def test_a_call_that_nobody_answered_is_over_without_an_analysis(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    retell.end(request.attempt_id, "no_answer")
    poll = poll_one(provider, request)
    [event] = poll.events
    assert event.ending
    assert event.ending.status is CallStatus.NO_ANSWER
    assert event.ending.answered_at is None
    assert poll.poll_at is None


@pytest.mark.parametrize("has_v3", [True, False])
def test_a_call_whose_answer_was_lost_is_found_by_our_id(
    retell: FakeRetell, provider: RetellProvider, has_v3: bool
) -> None:
    retell.has_v3 = has_v3
    place(provider)
    request = make_request()
    retell.answer_next("closed", takes_call=True)
    with pytest.raises(httpx2.HTTPError):
        provider.place(request)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    poll = poll_one(provider, request)
    assert {event.attempt_id for event in poll.events} == {request.attempt_id}
    ended = poll.events[-1].ending
    assert ended
    assert ended.transcript  # which lists leave out
    assert not poll.is_unknown


@pytest.mark.parametrize("has_v3", [True, False])
def test_a_call_that_was_never_placed_is_unknown(
    retell: FakeRetell, provider: RetellProvider, has_v3: bool
) -> None:
    retell.has_v3 = has_v3
    place(provider)
    poll = poll_one(provider, make_request())
    assert (poll.is_unknown, poll.events) == (True, ())
    assert poll.poll_at


def test_of_two_calls_of_an_attempt_the_one_that_runs_is_told(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = make_request()
    provider.place(request)
    retell.end(request.attempt_id, "busy")
    second = provider.place(request).provider_call_id
    assert {event.provider_call_id for event in poll_one(provider, request).events} == {second}


@pytest.mark.parametrize(
    "answer",
    [
        Says(404, b"<html>nginx</html>"),
        Says(200, b"<html>It works!</html>"),
        Says(200, {"items": [{"call_id": "call_9", "metadata": {"attempt_id": ANOTHERS_ID}}]}),
        Says(200, {"calls": []}),
        FAULTS["unauthorized"],
        FAULTS["server_error"],
        FAULTS["throttled"],
        FAULTS["closed"],
    ],
    ids=str,
)
def test_a_search_that_goes_wrong_does_not_make_a_call_unknown(
    retell: FakeRetell, provider: RetellProvider, answer: Any
) -> None:
    request = make_request()
    retell.answer_next(answer)
    if isinstance(answer, Says) and answer.status == 404:
        retell.answer_next(answer)  # nor has it the other list
    assert provider.poll([request], timezone.now()) == []


def test_an_answer_about_another_call_is_not_believed(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request, other = place(provider), place(provider)
    retell.answer_next(Says(200, retell.calls[other.attempt_id]))
    assert provider.poll([request], timezone.now()) == []


def test_one_calls_failure_is_not_the_others(retell: FakeRetell, provider: RetellProvider) -> None:
    requests = [place(provider) for _ in range(4)]
    retell.answer_next("server_error")
    assert len(provider.poll(requests, timezone.now())) == 3


def test_a_retell_that_is_gone_is_not_asked_about_every_call(retell: FakeRetell) -> None:
    provider = provider_at(retell)
    for _ in range(40):
        retell.answer_next("server_error")
    requests = [make_request(provider_call_id=f"call_{number}") for number in range(40)]
    assert provider.poll(requests, timezone.now()) == []
    assert TOO_MANY_FAILURES <= len(retell.asked) < 20


# Closing lines.


@pytest.mark.parametrize("knows_id", [True, False])
@pytest.mark.parametrize("is_answered", [True, False])
def test_a_line_is_closed(
    retell: FakeRetell, provider: RetellProvider, knows_id: bool, is_answered: bool
) -> None:
    request = place(provider)
    if is_answered:
        retell.answer(request.attempt_id)
    provider.cancel(request if knows_id else replace(request, provider_call_id=""))
    assert retell.calls[request.attempt_id]["disconnection_reason"] == "manual_stopped"


@pytest.mark.parametrize("knows_id", [True, False])
def test_a_call_that_is_over_has_no_line_to_close(
    retell: FakeRetell, provider: RetellProvider, knows_id: bool
) -> None:
    request = place(provider)
    retell.end(request.attempt_id, "busy")
    provider.cancel(request if knows_id else replace(request, provider_call_id=""))
    assert retell.calls[request.attempt_id]["disconnection_reason"] == "dial_busy"


@pytest.mark.parametrize("call_id", ["", "call_unknown"])
def test_a_call_that_was_never_opened_has_no_line_to_close(
    provider: RetellProvider, call_id: str
) -> None:
    provider.cancel(make_request(provider_call_id=call_id))


@pytest.mark.parametrize(
    "answer", [*map(FAULTS.get, ["server_error", "throttled", "closed"]), Refuses(400, "No.")]
)
def test_a_line_that_may_be_open_is_closed_later(
    retell: FakeRetell, provider: RetellProvider, answer: Any
) -> None:
    request = place(provider)
    retell.answer_next(answer)
    with pytest.raises((UnexpectedAnswer, httpx2.HTTPError)):
        provider.cancel(request)
    provider.cancel(request)
    assert retell.calls[request.attempt_id]["call_status"] == "not_connected"


def test_a_search_that_fails_closes_no_line(retell: FakeRetell, provider: RetellProvider) -> None:
    retell.answer_next("unavailable")
    with pytest.raises(UnexpectedAnswer):
        provider.cancel(make_request())


# Signatures.

SIGNED = b'{"event":"call_ended","call":{"call_id":"call_1"}}'
SIGNED_AT = 1_767_225_600_000
# printf '%s1767225600000' "$SIGNED" | openssl dgst -sha256 -hmac key_of_the_test
DIGEST = "5d4182d490034d2393c4b329ccfb0b6952885b377154bd1732e06d705dd1b805"
SIGNED_IN_ARABIC = '{"event":"call_started","call":{"call_id":"call_2"},"note":"مرحبا"}'.encode()
# The same with 1767225600123.
DIGEST_IN_ARABIC = "f80bf265d0507f57890370945940f68d6652a4672213f2da791a77ac6a4fc05b"


@pytest.mark.parametrize(
    ("body", "at", "digest"),
    [(SIGNED, SIGNED_AT, DIGEST), (SIGNED_IN_ARABIC, SIGNED_AT + 123, DIGEST_IN_ARABIC)],
)
@pytest.mark.parametrize("name", ["X-Retell-Signature", "x-retell-signature"])
@pytest.mark.parametrize("late", [0, 300, -300])
def test_a_known_signature_is_believed(
    body: bytes, at: int, digest: str, name: str, late: int
) -> None:
    told = f"v={at},d={digest}"
    assert sign("key_of_the_test", body, at) == told
    assert find_fault("key_of_the_test", {name: told}, body, at / 1000 + late) == ""


@pytest.mark.parametrize("late", [300.001, -300.001, 86_400])
def test_a_signature_of_another_time_is_refused(late: float) -> None:
    told = {"X-Retell-Signature": f"v={SIGNED_AT},d={DIGEST}"}
    assert "300 seconds" in find_fault("key_of_the_test", told, SIGNED, SIGNED_AT / 1000 + late)


@pytest.mark.parametrize(
    ("key", "body", "header"),
    [
        ("another", SIGNED, f"v={SIGNED_AT},d={DIGEST}"),
        ("", SIGNED, f"v={SIGNED_AT},d={DIGEST}"),
        ("key_of_the_test", SIGNED + b" ", f"v={SIGNED_AT},d={DIGEST}"),
        ("key_of_the_test", b"", f"v={SIGNED_AT},d={DIGEST}"),
        ("key_of_the_test", SIGNED, f"v={SIGNED_AT + 1},d={DIGEST}"),
        ("key_of_the_test", SIGNED, f"v={SIGNED_AT},d={DIGEST.upper()}"),
        ("key_of_the_test", SIGNED, f"v={SIGNED_AT},d={DIGEST[:-1]}"),
        ("key_of_the_test", SIGNED, f"v={SIGNED_AT},d={DIGEST},d={DIGEST}"),
        ("key_of_the_test", SIGNED, f"v={SIGNED_AT}, d={DIGEST}"),
        ("key_of_the_test", SIGNED, f"v={SIGNED_AT},d="),
        ("key_of_the_test", SIGNED, f"d={DIGEST}"),
        ("key_of_the_test", SIGNED, "v=" + "9" * 5000 + f",d={DIGEST}"),
        ("key_of_the_test", SIGNED, DIGEST),
        ("key_of_the_test", SIGNED, ""),
    ],
)
def test_a_signature_that_is_not_right_in_all_is_refused(
    key: str, body: bytes, header: str
) -> None:
    assert find_fault(key, {"X-Retell-Signature": header}, body, SIGNED_AT / 1000)


def test_a_message_without_a_signature_is_forged(provider: RetellProvider) -> None:
    with pytest.raises(EventRefused) as refused:
        provider.read_events({}, SIGNED)
    assert refused.value.is_forged


def test_a_forged_message_is_refused(retell: FakeRetell, provider: RetellProvider) -> None:
    request = place(provider)
    with pytest.raises(EventRefused) as refused:
        provider.read_events(*retell.forge(retell.answer(request.attempt_id)))
    assert refused.value.is_forged


def test_webhooks_may_have_a_key_of_their_own(retell: FakeRetell) -> None:
    provider = provider_at(retell, {"webhook_key": "key_with_badge"})
    request = place(provider)
    message = retell.answer(request.attempt_id)
    with pytest.raises(EventRefused):
        provider.read_events(*message)
    call = retell.calls[request.attempt_id]
    assert provider.read_events(*retell.message("call_started", call, "key_with_badge"))


def test_an_account_without_a_key_believes_nobody(retell: FakeRetell) -> None:
    provider = provider_at(retell, {"api_key": ""})
    at = int(time.time() * 1000)
    with pytest.raises(EventRefused) as refused:
        provider.read_events({"X-Retell-Signature": signature("", SIGNED, at)}, SIGNED)
    assert refused.value.is_forged


# Events.


def signed(told: Any) -> Message:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    at = int(time.time() * 1000)
    return {"X-Retell-Signature": signature(KEY, body, at)}, body


def test_an_end_brings_what_is_known_by_then(retell: FakeRetell, provider: RetellProvider) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    [event] = provider.read_events(*retell.end(request.attempt_id, start_timestamp=1767225600000))
    ending = event.ending
    assert ending
    assert event.event_id == f"{request.provider_call_id}:call_ended"
    assert (ending.status, ending.reason) == (CallStatus.COMPLETED, "customer_hung_up")
    assert ending.answered_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert ending.duration_seconds == 61
    assert (ending.cost, ending.cost_currency) == (Decimal("0.1235"), "USD")
    assert ending.transcript.startswith("Agent: Hello")
    assert ending.recording_url == "https://retell.example/recording.wav"
    assert (ending.outcome, ending.sentiment, ending.call_back_at) == SAID_NOTHING
    assert ending.analysis_follows


def test_an_analysis_brings_what_was_said(retell: FakeRetell, provider: RetellProvider) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    data = {
        "outcome": "REFUSED",
        "outcome_reasoning": "They said no.",
        "call_back_at": "2026-01-15T17:30:00+03:00",
    }
    message = retell.analyze(
        request.attempt_id, user_sentiment="Negative", custom_analysis_data=data
    )
    [event] = provider.read_events(*message)
    ending = event.ending
    assert (event.kind, ending is None) == (EventKind.ANALYZED, False)
    assert ending
    assert event.event_id == f"{request.provider_call_id}:call_analyzed"
    assert (ending.outcome, ending.outcome_reasoning) == ("REFUSED", "They said no.")
    assert (ending.sentiment, ending.summary) == (
        "NEGATIVE",
        "The person promised to pay on Friday.",
    )
    assert ending.call_back_at == datetime(2026, 1, 15, 14, 30, tzinfo=UTC)
    assert not ending.analysis_follows


@pytest.mark.parametrize("told", ["Unknown", "", None, 7, "POSITIVE"])
def test_a_sentiment_that_is_not_known_is_none(
    retell: FakeRetell, provider: RetellProvider, told: Any
) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    [event] = provider.read_events(*retell.analyze(request.attempt_id, user_sentiment=told))
    assert event.ending
    assert event.ending.sentiment == ""


@pytest.mark.parametrize("told", ["Friday", "2026-01-15T17:30:00", "1768000000", 7, None, "9" * 99])
def test_a_time_to_call_back_without_a_zone_is_none(
    retell: FakeRetell, provider: RetellProvider, told: Any
) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    data = {"outcome": "CALL_BACK", "call_back_at": told}
    [event] = provider.read_events(*retell.analyze(request.attempt_id, custom_analysis_data=data))
    assert event.ending
    assert (event.ending.outcome, event.ending.call_back_at) == ("CALL_BACK", None)


def test_what_a_mailbox_said_is_no_outcome(retell: FakeRetell, provider: RetellProvider) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    [event] = provider.read_events(*retell.analyze(request.attempt_id, in_voicemail=True))
    assert event.ending
    assert (event.ending.status, event.ending.outcome) == (CallStatus.VOICEMAIL, "")


@pytest.mark.parametrize("event", ["transcript_updated", "transfer_started", "chat_ended", ""])
def test_messages_of_other_kinds_tell_nothing(provider: RetellProvider, event: str) -> None:
    assert provider.read_events(*signed({"event": event, "chat": {}})) == []


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        {"event": "call_ended"},
        {"event": "call_ended", "call": {"call_id": "x" * 151}},
        {"event": "call_ended", "call": {"call_id": "a b"}},
        {"event": "call_ended", "call": {"call_id": 7}},
    ],
)
def test_a_message_that_cannot_be_read_is_refused_but_not_forged(
    provider: RetellProvider, told: Any
) -> None:
    with pytest.raises(EventRefused) as refused:
        provider.read_events(*signed(told))
    assert not refused.value.is_forged


def test_odd_fields_do_not_cost_a_call_its_end(provider: RetellProvider) -> None:
    odd = {
        "call_id": "call_1",
        "call_status": "ended",
        "metadata": ["attempt_id"],
        "from_number": "anonymous",
        "start_timestamp": "soon",
        "end_timestamp": -1,
        "duration_ms": 1e300,
        "disconnection_reason": "user_hangup",
        "transcript": {"text": "x"},
        "recording_url": "javascript:alert(1)",
        "call_analysis": [],
        "call_cost": {"combined_cost": -5},
    }
    [event] = provider.read_events(*signed({"event": "call_ended", "call": odd}))
    assert (event.attempt_id, event.number_from) == (None, "")
    ending = event.ending
    assert ending
    assert (ending.status, ending.reason) == (CallStatus.COMPLETED, "customer_hung_up")
    assert (ending.cost, ending.recording_url, ending.transcript) == (None, "", "")
    assert (ending.answered_at, ending.duration_seconds) == (None, 0)


def test_a_recording_whose_address_is_too_long_is_left_out(provider: RetellProvider) -> None:
    address = "https://retell.example/" + "a" * 2000
    call = {"call_id": "call_1", "disconnection_reason": "user_hangup", "recording_url": address}
    [event] = provider.read_events(*signed({"event": "call_ended", "call": call}))
    assert event.ending
    assert event.ending.recording_url == ""


@pytest.mark.parametrize("told", ["not-a-uuid", 7, None, {}])
def test_a_call_that_is_not_ours_has_no_attempt(provider: RetellProvider, told: Any) -> None:
    call = {"call_id": "call_1", "metadata": {"attempt_id": told}}
    [event] = provider.read_events(*signed({"event": "call_started", "call": call}))
    assert (event.attempt_id, event.provider_call_id) == (None, "call_1")


# How calls end.


@pytest.mark.parametrize(("reason", "rule"), RULES.items())
def test_every_reason_makes_the_ending_of_its_rule(
    provider: RetellProvider, reason: str, rule: reasons.Rule
) -> None:
    status = "ended" if rule.status in {CallStatus.COMPLETED, CallStatus.VOICEMAIL} else "error"
    call = {"call_id": "call_1", "call_status": status, "disconnection_reason": reason}
    [event] = provider.read_events(*signed({"event": "call_ended", "call": call}))
    ending = event.ending
    assert ending
    assert (ending.status, ending.reason) == (rule.status, rule.reason)
    assert ending.counts_as_attempt is rule.counts_as_attempt
    assert ending.blames_provider is rule.blames_provider
    assert ending.is_final is rule.is_final
    assert ending.analysis_follows is (rule.status is CallStatus.COMPLETED)


@pytest.mark.parametrize(
    "reason",
    ["no_valid_payment", "scam_detected", "telephony_provider_permission_denied"],
)
def test_faults_of_the_account_blame_the_provider_and_nobodys_telephone(reason: str) -> None:
    rule = rule_of(reason)
    assert (rule.status, rule.blames_provider) == (CallStatus.FAILED, True)
    assert not rule.counts_as_attempt
    assert rule.reason.startswith("account_")


def test_a_fault_within_a_conversation_counts_as_an_attempt(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    retell.answer(request.attempt_id)
    [event] = provider.read_events(
        *retell.end(request.attempt_id, disconnection_reason="error_retell", call_status="error")
    )
    ending = event.ending
    assert ending
    assert (ending.status, ending.blames_provider) == (CallStatus.FAILED, True)
    assert ending.counts_as_attempt
    assert ending.transcript


def test_a_call_that_was_stopped_while_it_rang_was_not_answered(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    [event] = provider.read_events(
        *retell.end(request.attempt_id, disconnection_reason="manual_stopped")
    )
    assert event.ending
    assert (event.ending.status, event.ending.reason) == (CallStatus.NO_ANSWER, "stopped")
    assert not event.ending.analysis_follows


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"call_status": "ended", "start_timestamp": 1767225600000}, CallStatus.COMPLETED),
        ({"call_status": "not_connected"}, CallStatus.FAILED),
        ({"call_status": "error", "start_timestamp": 1767225600000}, CallStatus.FAILED),
    ],
)
def test_an_end_without_a_reason_is_judged_by_whether_somebody_answered(
    provider: RetellProvider, told: Mapping[str, Any], status: CallStatus
) -> None:
    call = {"call_id": "call_1", **told}
    [event] = provider.read_events(*signed({"event": "call_ended", "call": call}))
    assert event.ending
    assert (event.ending.status, event.ending.reason) == (status, "unknown")


def test_a_reason_that_is_not_listed_is_kept_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reasons, "_noted", set())
    told = "error_of_tomorrow" + "x" * 200
    rules = [rule_of(told), rule_of(told)]
    assert {(rule.status, rule.reason) for rule in rules} == {(CallStatus.FAILED, told[:100])}
    assert len(caplog.records) == 1


# The account.


def test_a_check_says_how_many_calls_may_be_under_way(provider: RetellProvider) -> None:
    assert "3 of 20 calls at once" in provider.check()


def test_an_agent_of_another_kind_is_not_looked_into(
    retell: FakeRetell, provider: RetellProvider
) -> None:
    retell.engine = {"type": "custom-llm", "llm_websocket_url": "wss://agent.example"}
    assert provider.check()


@pytest.mark.parametrize("left_out", ["prompt", "begin_message"])
def test_an_agent_that_does_not_say_what_the_template_says_is_found(
    retell: FakeRetell, provider: RetellProvider, left_out: str
) -> None:
    setattr(retell, left_out, "You sell cars.")
    with pytest.raises(AccountError, match="does not use"):
        provider.check()


@pytest.mark.parametrize(
    ("secrets", "settings", "sentence"),
    [
        ({"api_key": "wrong"}, {}, "refuses the API key"),
        ({"api_key": ""}, {}, "no API key"),
        ({}, {"agent_id": "agent_unknown"}, "does not know the agent"),
        ({}, {"agent_id": ""}, "no agent"),
        ({}, {"from_number": "+12025550199"}, "does not know the number"),
    ],
)
def test_a_check_says_what_is_wrong(
    retell: FakeRetell, secrets: Mapping[str, str], settings: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(AccountError, match=sentence):
        provider_at(retell, secrets, **settings).check()


@pytest.mark.usefixtures("silence_is_short")
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("server_error", "answered 500"),
        ("throttled", "answered 429"),
        ("garbage", "cannot be read"),
        ("closed", "cannot be reached"),
        ("silence", "cannot be reached"),
    ],
)
def test_a_check_that_fails_says_so_in_a_sentence(
    retell: FakeRetell, provider: RetellProvider, fault: str, sentence: str
) -> None:
    retell.answer_next(fault)
    with pytest.raises(TemporaryError, match=sentence) as refused:
        provider.check()
    assert not isinstance(refused.value, AccountError)


def test_the_accounts_form_asks_for_what_the_provider_needs() -> None:
    fields = {field.name: field for field in RetellProvider.fields}
    assert {name for name, field in fields.items() if field.is_secret} == {"api_key", "webhook_key"}
    required = {name for name, field in fields.items() if field.is_required}
    assert required == {"api_key", "agent_id", "from_number"}


@pytest.mark.parametrize("number", ["", "12025550100", "+0123456789", "+1202 5550100", "+1٢"])
def test_a_number_to_call_from_is_checked(number: str) -> None:
    check_number(NUMBER)
    with pytest.raises(ValidationError):
        check_number(number)


@pytest.mark.django_db
def test_an_account_of_retell_is_found_by_its_name() -> None:
    credentials = json.dumps({"api_key": KEY})
    account = ProviderAccount.objects.create(
        name="Retell", provider="retell", settings={"agent_id": "a"}, credentials=credentials
    )
    assert isinstance(provider_of(account), RetellProvider)


def test_the_documentation_lists_every_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
    section = page.partition("## Retell\n")[2].partition("\n## ")[0]
    named = {told for told in RULES if not told.startswith("error_")}
    words = {rule.reason for rule in RULES.values()}
    assert {word for word in named | words if f"`{word}`" not in section} == set()


# With the engine around it.


@pytest.fixture
def account(retell: FakeRetell, settings: Any) -> Iterator[ProviderAccount]:
    settings.PUBLIC_URL = "https://calls.example.com"
    known, credentials = retell.account_fields()
    yield ProviderAccount.objects.create(
        name="Retell",
        provider="retell",
        is_default=True,
        settings=known,
        credentials=json.dumps(credentials),
    )
    make_provider.cache_clear()


def post(client: Client, account: ProviderAccount, message: Message) -> int:
    headers, body = message
    answer = client.post(
        f"/hooks/{account.pk}", body, content_type="application/json", headers=headers
    )
    return answer.status_code


@pytest.mark.django_db
def test_a_launched_call_goes_its_way_by_webhooks(
    retell: FakeRetell, account: ProviderAccount, client: Client
) -> None:
    make_template(is_default=True)
    launch({"numberToCall": "+966500000001"})
    place_batch(Batch.objects.get().pk)
    call = CallLog.objects.get()
    assert (call.status, call.number_from) == (CallStatus.DIALING, NUMBER)
    told = retell.calls[call.pk]["retell_llm_dynamic_variables"]
    assert told["system_prompt"] == call.system_prompt
    answered = retell.answer(call.pk)
    assert post(client, account, retell.forge(answered)) == 401
    assert CallLog.objects.get().status == CallStatus.DIALING
    assert post(client, account, answered) == 200
    assert CallLog.objects.get().status == CallStatus.IN_PROGRESS
    ended = retell.end(call.pk)
    assert [post(client, account, ended), post(client, account, ended)] == [200, 200]
    call = CallLog.objects.get()
    assert (call.status, call.ended_reason) == (CallStatus.COMPLETED, "customer_hung_up")
    assert (call.duration_seconds, call.transcript[:5]) == (61, "Agent")
    assert call.answered_at
    assert account.events.count() == 2


@pytest.mark.django_db
def test_a_refused_key_holds_the_account_and_loses_no_call(
    retell: FakeRetell, account: ProviderAccount
) -> None:
    make_template(is_default=True)
    launch({"numberToCall": "+966500000001"})
    retell.answer_next("unauthorized")
    place_batch(Batch.objects.get().pk)
    account.refresh_from_db()
    assert account.is_held
    assert "refuses the API key" in account.hold_sentence
    assert CallLog.objects.get().status == CallStatus.QUEUED


# Retell's own description of its API. It is older than the API: it lacks `/v3/list-calls` and
# `/v2/stop-call`, which the documentation has, and three disconnection reasons.

NEWER_REASONS = {"manual_stopped", "call_take_over", "no_concurrency_fallback"}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    if not (folder := os.environ.get("PROVIDER_SPECS_DIR")):
        pytest.skip("PROVIDER_SPECS_DIR is not set")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    [path] = Path(folder).glob("retell-openapi*.yaml")
    told: dict[str, Any] = yaml.load(path.read_text(), loader)  # noqa: S506
    return told


def validate(spec: Mapping[str, Any], schema: Mapping[str, Any], body: Any) -> None:
    described = {"components": spec["components"], **schema}
    jsonschema.Draft4Validator(described).validate(body)


def body_schema(spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    operation = spec["paths"][path]["post"]
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


@pytest.mark.parametrize(
    "what_matters",
    [{}, {"voice": "retell-Cimo", "language": "en"}, {"outcomes": (), "tags": {}}],
)
def test_a_placement_is_as_retell_describes_it(
    spec: Mapping[str, Any], what_matters: Mapping[str, Any]
) -> None:
    schema = body_schema(spec, "/v2/create-phone-call")
    body = call_body(make_request(**what_matters), NUMBER, AGENT_ID, CALLBACK)
    validate(spec, schema, body)
    schemas = spec["components"]["schemas"]
    assert body.keys() <= schema["properties"].keys()
    agent = body["agent_override"]["agent"]
    assert agent.keys() <= schemas["AgentRequest"]["properties"].keys()
    for question in agent["post_call_analysis_data"]:
        described = schemas[f"{question['type'].capitalize()}AnalysisData"]["properties"]
        assert question.keys() <= described.keys()
    with pytest.raises(jsonschema.ValidationError):
        validate(spec, schema, body | {"to_number": 7})


def test_the_languages_are_retells(spec: Mapping[str, Any]) -> None:
    agent = spec["components"]["schemas"]["AgentRequest"]["properties"]
    assert {*LANGUAGES, "multi"} == set(agent["language"]["enum"])


def test_a_search_is_as_retell_describes_it(spec: Mapping[str, Any]) -> None:
    criteria = search_body(uuid4())["filter_criteria"]
    validate(spec, {"$ref": "#/components/schemas/CallFilter"}, criteria)
    [ours] = criteria["metadata"]
    assert {"type", "op", "value", "key"} == ours.keys()


def test_every_reason_that_retell_lists_has_a_rule(spec: Mapping[str, Any]) -> None:
    listed = set(spec["components"]["schemas"]["DisconnectionReason"]["enum"])
    assert set(RULES) == listed | NEWER_REASONS


def test_the_fake_retell_tells_calls_as_retell_does(
    spec: Mapping[str, Any], retell: FakeRetell, provider: RetellProvider
) -> None:
    request = place(provider)
    call = retell.calls[request.attempt_id]
    described = {"$ref": "#/components/schemas/V2PhoneCallResponse"}
    validate(spec, described, call)
    retell.answer(request.attempt_id)
    retell.end(request.attempt_id)
    retell.analyze(request.attempt_id)
    validate(spec, described, call)


def test_ids_of_attempts_are_told_as_text(retell: FakeRetell, provider: RetellProvider) -> None:
    request = place(provider)
    [(attempt_id, call)] = retell.calls.items()
    assert attempt_id == request.attempt_id == UUID(call["metadata"]["attempt_id"])
