import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from calls.providers.base import (
    Access,
    AccountError,
    CallRequest,
    EventKind,
    EventRefused,
    PermanentError,
    Placement,
    ProviderError,
    TemporaryError,
)
from calls.providers.http import AT_ONCE, TOO_MANY_FAILURES, HttpProvider
from calls.providers.http.agent import MAX_ANSWER_BYTES, UnexpectedAnswer
from calls.statuses import CallStatus
from calls.tests.far_side import SECRET, Asked, Drips, Drops, FarSide, Hangs, Says
from calls.webhooks.signing import signed_headers

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
TAKEN = {"id": "agent-1", "from": "+12025550100"}
UNKNOWN = {"reason": "unknown_call"}


@pytest.fixture
def far_side() -> Iterator[FarSide]:
    with FarSide() as far_side:
        yield far_side


@pytest.fixture(autouse=True)
def _clock_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, so that a provider needs no database."""
    monkeypatch.setattr("campaigns.clock._anchor", (time.monotonic(), timezone.now()))


def provider_at(url: str, secret: str = SECRET, callback_url: str = "") -> HttpProvider:
    return HttpProvider(Access({"url": url}, {"secret": secret}, callback_url))


@pytest.fixture
def provider(far_side: FarSide) -> HttpProvider:
    return provider_at(far_side.url)


@pytest.fixture
def silence_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls.providers.http.agent.AGENT_SECONDS", 0.4)


def make_request(**what_matters: Any) -> CallRequest:
    fields: dict[str, Any] = {
        "attempt_id": uuid4(),
        "attempt": 1,
        "number_to": "+966500000001",
        "system_prompt": "You speak for “Acme”.",
        "first_message": "مرحبا",
        "voice": "",
        "language": "ar",
        "max_duration_seconds": 300,
        "outcomes": (("PROMISE_TO_PAY", "The person promises to pay."),),
        "started_at": NOW,
    }
    return CallRequest(**fields | what_matters)


def told_event(call_id: UUID, kind: str = "ringing", **what_matters: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": f"evt_{kind}",
        "type": kind,
        "callId": str(call_id),
        "providerCallId": "agent-1",
        "at": "2026-01-15T12:30:05.250+03:00",
    }
    if kind == "ended":
        told["ending"] = {"status": "completed", "reason": "customer_ended_call"}
    return told | what_matters


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    stamp = int(time.time() if at is None else at)
    return signed_headers([secret], "evt_1", stamp, body)


def read(provider: HttpProvider, told: Any) -> Any:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    [event] = provider.read_events(signed(body), body)
    return event


def brief(value: Any) -> str:
    return str(value)[:60]


# --- Placing ------------------------------------------------------------------------------------


def test_a_call_is_placed_with_all_that_the_agent_needs(far_side: FarSide) -> None:
    far_side.says(201, TAKEN)
    request = make_request()
    callback = "https://calls.example.com/hooks/3"
    placement = provider_at(far_side.url + "/", callback_url=callback).place(request)
    assert placement == Placement("agent-1", "+12025550100", NOW + timedelta(seconds=30))
    [asked] = far_side.asked
    assert (asked.method, asked.path) == ("POST", "/calls")
    assert asked.headers["idempotency-key"] == str(request.attempt_id)
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == {
        "callId": str(request.attempt_id),
        "from": None,
        "attempt": 1,
        "to": "+966500000001",
        "systemPrompt": "You speak for “Acme”.",
        "firstMessage": "مرحبا",
        "voice": "",
        "language": "ar",
        "maxDurationSeconds": 300,
        "outcomes": [{"word": "PROMISE_TO_PAY", "description": "The person promises to pay."}],
        "startedAt": "2026-01-15T09:30:00.000Z",
        "callbackUrl": callback,
    }


def test_without_an_address_of_ours_there_is_no_callback(far_side, provider) -> None:
    far_side.says(200, TAKEN)
    provider.place(make_request())
    assert json.loads(far_side.asked[0].body)["callbackUrl"] is None


def test_every_request_is_signed_as_another_library_verifies(far_side, provider) -> None:
    far_side.says(200, TAKEN | {"events": []})
    request = make_request()
    provider.place(request)
    provider.poll([request], NOW)
    provider.cancel(request)
    assert len(far_side.asked) == 3
    for asked in far_side.asked:
        Webhook(SECRET).verify(asked.body, dict(asked.headers), json_parse=False)


def test_the_signed_id_names_the_action_and_the_call(far_side, provider) -> None:
    far_side.says(200, TAKEN | {"events": []})
    request = make_request()
    provider.place(request)
    provider.poll([request], NOW)
    provider.cancel(request)
    ids = [asked.headers["webhook-id"].rsplit("_", 1) for asked in far_side.asked]
    call_id = request.attempt_id
    assert [name for name, _ in ids] == [
        f"{action}_{call_id}" for action in ("place", "look-up", "cancel")
    ]
    assert len({unique for _, unique in ids}) == 3


@pytest.mark.parametrize(
    ("status", "reason", "final", "ended_reason"),
    [
        (422, "invalid_number", CallStatus.INVALID_NUMBER, "invalid_number"),
        (422, "unknown_language", CallStatus.FAILED, "unknown_language"),
        (400, "invalid_number", CallStatus.INVALID_NUMBER, "invalid_number"),
        (413, None, CallStatus.FAILED, "agent_answered_413"),
        (422, "no call to +966500000001", CallStatus.FAILED, "agent_answered_422"),
        (422, ["list"], CallStatus.FAILED, "agent_answered_422"),
    ],
)
def test_what_the_agent_refuses_is_refused_for_good(
    far_side, provider, status, reason, final, ended_reason
) -> None:
    far_side.says(status, {"reason": reason})
    with pytest.raises(PermanentError) as refused:
        provider.place(make_request())
    assert (refused.value.status, refused.value.reason) == (final, ended_reason)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_an_account_that_is_at_fault_is_told_in_words(far_side, provider, status) -> None:
    far_side.says(status, {"reason": "no_credit"})
    with pytest.raises(AccountError, match=str(status)):
        provider.place(make_request())


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_agent_has_not_taken_the_call(far_side, provider, status) -> None:
    far_side.says(status)
    with pytest.raises(TemporaryError) as refused:
        provider.place(make_request())
    assert not isinstance(refused.value, AccountError)


def test_where_nobody_listens_nothing_was_taken() -> None:
    with FarSide() as gone:
        pass
    with pytest.raises(TemporaryError) as refused:
        provider_at(gone.url).place(make_request())
    assert refused.value.reason == "agent_unreachable"


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'a' * 64}.example", "a..b"])
def test_a_name_that_leads_nowhere_takes_no_calls(host: str) -> None:
    with pytest.raises(TemporaryError):
        provider_at(f"http://{host}").place(make_request())


@pytest.mark.parametrize(
    "answer",
    [
        Says(500),
        Says(502),
        Says(504, TAKEN),
        Says(408),
        Says(301),
        Says(200, b""),
        Says(200, b"<html>"),
        Says(200, b'{"id": "agent-1"'),
        Says(200, b"[" * 100_000),
        Says(200, []),
        Says(200, {}),
        Says(200, {"id": 7}),
        Says(200, {"id": ""}),
        Says(200, {"id": "x" * 201}),
        Says(200, {"id": "nul\0"}),
        Says(200, {"id": "agent-1", "from": "+" + "1" * 21}),
        Says(200, {"id": "agent-1", "from": 12025550100}),
        Says(200, b" " * MAX_ANSWER_BYTES + json.dumps(TAKEN).encode()),
        Drops(),
    ],
    ids=brief,
)
def test_whatever_else_comes_leaves_it_open_whether_the_call_was_taken(
    far_side, provider, answer
) -> None:
    far_side.answer = lambda asked: answer
    with pytest.raises(Exception) as left_open:  # noqa: PT011
        provider.place(make_request())
    assert isinstance(left_open.value, UnexpectedAnswer | httpx2.TransportError)
    assert not isinstance(left_open.value, ProviderError)
    assert len(far_side.asked) == 1


@pytest.mark.parametrize("answer", [Hangs(), Drips()], ids=["hangs", "drips"])
@pytest.mark.usefixtures("silence_is_short")
def test_an_answer_is_waited_for_no_longer_than_the_whole_request_may_take(
    far_side, provider, answer
) -> None:
    far_side.answer = lambda asked: answer
    began = time.monotonic()
    with pytest.raises(httpx2.ReadTimeout):
        provider.place(make_request())
    assert time.monotonic() - began < 3


def test_a_redirect_is_not_followed(far_side, provider) -> None:
    far_side.says(307)
    with pytest.raises(UnexpectedAnswer):
        provider.place(make_request())
    assert len(far_side.asked) == 1


def test_fields_that_are_not_known_are_ignored_and_null_equals_absent(far_side, provider) -> None:
    far_side.says(200, {"id": "agent-1", "from": None, "queue": 3})
    assert provider.place(make_request()).number_from == ""


@pytest.mark.parametrize(
    "access",
    [
        Access(),
        Access({"url": "http://127.0.0.1:9"}),
        Access({"url": "http://127.0.0.1:9"}, {"secret": "hunter2"}),
        Access({"url": "http://127.0.0.1:9"}, {"secret": "whsec_AAAA"}),
        Access({}, {"secret": SECRET}),
        Access({"url": 7}, {"secret": SECRET}),
        Access({"url": "ftp://agent.example"}, {"secret": SECRET}),
        Access({"url": "http://"}, {"secret": SECRET}),
    ],
    ids=str,
)
def test_an_account_that_lacks_address_or_secret_says_so(access: Access) -> None:
    provider = HttpProvider(access)
    with pytest.raises(AccountError, match="The account has no"):
        provider.place(make_request())
    with pytest.raises(AccountError):
        provider.poll([make_request()], NOW)
    with pytest.raises(AccountError):
        provider.cancel(make_request())
    with pytest.raises(EventRefused) as refused:
        provider.read_events(signed(b"{}"), b"{}")
    assert refused.value.is_forged


# --- Cancelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Says(200, {}), Says(204), Says(404, UNKNOWN)], ids=str)
def test_a_line_is_closed_or_was_never_opened(far_side, provider, answer) -> None:
    far_side.answer = lambda asked: answer
    request = make_request()
    provider.cancel(request)
    [asked] = far_side.asked
    assert (asked.method, asked.path) == ("POST", f"/calls/{request.attempt_id}/cancel")
    assert asked.body == b""


@pytest.mark.parametrize(
    "answer", [Says(404), Says(404, b"<html>"), Says(409), Says(500), Says(302), Drops()], ids=str
)
def test_a_line_that_may_be_open_is_reported_as_such(far_side, provider, answer) -> None:
    far_side.answer = lambda asked: answer
    with pytest.raises((UnexpectedAnswer, httpx2.TransportError)):
        provider.cancel(make_request())


# --- Polling ------------------------------------------------------------------------------------


def test_a_poll_brings_the_events_so_far(far_side, provider) -> None:
    request = make_request()
    call_id = request.attempt_id
    told = [told_event(call_id), told_event(call_id, "answered", providerCallId=None)]
    far_side.says(200, TAKEN | {"events": told})
    [poll] = provider.poll([request], NOW)
    [asked] = far_side.asked
    assert (asked.method, asked.path, asked.body) == ("GET", f"/calls/{call_id}", b"")
    ringing, answered = poll.events
    assert (ringing.kind, answered.kind) == (EventKind.RINGING, EventKind.ANSWERED)
    assert ringing.occurred_at == NOW + timedelta(seconds=5, milliseconds=250)
    assert {event.attempt_id for event in poll.events} == {call_id}
    # What the answer to the placement said, should it have been lost.
    assert {event.provider_call_id for event in poll.events} == {"agent-1"}
    assert {event.number_from for event in poll.events} == {"+12025550100"}
    assert (poll.poll_at, poll.is_unknown) == (NOW + timedelta(seconds=30), False)


def test_a_call_that_is_over_is_not_asked_about_again(far_side, provider) -> None:
    request = make_request()
    far_side.says(200, TAKEN | {"events": [told_event(request.attempt_id, "ended")]})
    [poll] = provider.poll([request], NOW)
    assert poll.events[0].ending
    assert poll.poll_at is None


def test_a_call_that_the_agent_never_saw_is_unknown(far_side, provider) -> None:
    far_side.says(404, UNKNOWN)
    [poll] = provider.poll([make_request()], NOW)
    assert (poll.is_unknown, poll.events) == (True, ())
    assert poll.poll_at == NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    "answer",
    [
        Says(404),
        Says(404, {"reason": "other"}),
        Says(401),
        Says(500),
        Says(200, b"<html>"),
        Says(200, TAKEN),
        Says(200, TAKEN | {"events": {}}),
        Says(200, TAKEN | {"events": [{"id": "evt_1"}]}),
        Says(200, TAKEN | {"events": [told_event(uuid4())]}),
        Says(200, b" " * MAX_ANSWER_BYTES + json.dumps(TAKEN | {"events": []}).encode()),
        Drops(),
    ],
    ids=brief,
)
def test_a_call_that_could_not_be_asked_about_has_no_answer_and_costs_no_other_its_own(
    far_side, provider, answer
) -> None:
    lost, found = make_request(), make_request()

    def tell(asked: Asked) -> Any:
        is_lost = str(lost.attempt_id) in asked.path
        return answer if is_lost else Says(200, TAKEN | {"events": []})

    far_side.answer = tell
    polls = provider.poll([lost, found], NOW)
    assert [poll.attempt_id for poll in polls] == [found.attempt_id]


def test_calls_are_asked_about_several_at_once(far_side, provider) -> None:
    together = Barrier(AT_ONCE)

    def tell(asked: Asked) -> Says:
        together.wait(10)
        return Says(200, TAKEN | {"events": []})

    far_side.answer = tell
    requests = [make_request() for _ in range(AT_ONCE * 2)]
    polls = provider.poll(requests, NOW)
    assert [poll.attempt_id for poll in polls] == [request.attempt_id for request in requests]
    assert far_side.most_at_once == AT_ONCE


def test_an_agent_that_is_gone_is_not_asked_about_every_call() -> None:
    with FarSide() as gone:
        pass
    began = time.monotonic()
    assert provider_at(gone.url).poll([make_request() for _ in range(500)], NOW) == []
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("silence_is_short")
def test_an_agent_that_stays_silent_is_not_waited_for_about_every_call(far_side, provider) -> None:
    far_side.answer = lambda asked: Hangs()
    assert provider.poll([make_request() for _ in range(500)], NOW) == []
    assert len(far_side.asked) <= AT_ONCE + TOO_MANY_FAILURES


def test_a_slow_agent_is_asked_for_a_while_only(far_side, provider, monkeypatch) -> None:
    monkeypatch.setattr("calls.providers.http.POLL_SECONDS", 0.3)

    def tell(asked: Asked) -> Says:
        time.sleep(0.1)
        return Says(404, UNKNOWN)

    far_side.answer = tell
    polls = provider.poll([make_request() for _ in range(500)], NOW)
    assert 0 < len(polls) == len(far_side.asked) < 200


def test_no_call_is_nothing_to_ask(far_side, provider) -> None:
    assert provider.poll([], NOW) == []
    assert far_side.asked == []


# --- Events -------------------------------------------------------------------------------------


def test_an_ending_is_read_to_its_last_field(provider) -> None:
    call_id = uuid4()
    ending = {
        "status": "completed",
        "reason": "customer_ended_call",
        "answeredAt": "2026-01-15T09:30:10Z",
        "durationSeconds": 61,
        "outcome": "PROMISE_TO_PAY",
        "outcomeReasoning": "Pays on Friday.",
        "sentiment": "POSITIVE",
        "sentimentReasoning": "Friendly.",
        "summary": "Pays.",
        "transcript": "Agent: مرحبا",
        "recordingUrl": "https://agent.example/1.mp3",
        "callBackAt": "2026-01-16T12:00:00+03:00",
    }
    event = read(provider, told_event(call_id, "ended", ending=ending) | {"from": "+12025550100"})
    assert (event.event_id, event.kind, event.attempt_id) == ("evt_ended", "ended", call_id)
    assert (event.provider_call_id, event.number_from) == ("agent-1", "+12025550100")
    end = event.ending
    assert (end.status, end.reason) == (CallStatus.COMPLETED, "customer_ended_call")
    assert end.answered_at == NOW + timedelta(seconds=10)
    assert (end.duration_seconds, end.outcome, end.sentiment) == (61, "PROMISE_TO_PAY", "POSITIVE")
    assert (end.outcome_reasoning, end.sentiment_reasoning) == ("Pays on Friday.", "Friendly.")
    assert (end.summary, end.transcript) == ("Pays.", "Agent: مرحبا")
    assert end.recording_url == "https://agent.example/1.mp3"
    assert end.call_back_at == datetime(2026, 1, 16, 9, tzinfo=UTC)
    assert end.is_final is False


@pytest.mark.parametrize(
    "status",
    ["completed", "no_answer", "busy", "voicemail", "rejected", "invalid_number", "failed"],
)
def test_of_an_ending_status_and_reason_are_enough(provider, status: str) -> None:
    ending = {"status": status, "reason": ""}
    event = read(provider, told_event(uuid4(), "ended", ending=ending))
    assert event.ending.status is CallStatus(status)
    assert (event.ending.outcome, event.ending.answered_at) == ("", None)


def test_null_equals_absent_and_unknown_fields_are_ignored(provider) -> None:
    ending = {"status": "busy", "reason": "busy", "outcome": None, "callBackAt": None, "x": 1}
    told = told_event(uuid4(), "ended", ending=ending, providerCallId=None, mood="fine")
    event = read(provider, told | {"from": None})
    assert (event.provider_call_id, event.number_from) == ("", "")
    assert event.ending.call_back_at is None
    assert read(provider, told_event(uuid4(), ending=None)).ending is None


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"id": ""}, ["body", "id"]),
        ({"id": None}, ["body", "id"]),
        ({"id": "x" * 201}, ["body", "id"]),
        ({"id": "a\0b"}, ["body", "id"]),
        ({"type": "hold"}, ["body", "type"]),
        ({"callId": "7"}, ["body", "callId"]),
        ({"callId": None}, ["body", "callId"]),
        ({"providerCallId": "x" * 201}, ["body", "providerCallId"]),
        ({"from": "+" + "1" * 21}, ["body", "from"]),
        ({"at": "2026-01-15T09:30:00"}, ["body", "at"]),
        ({"at": "yesterday"}, ["body", "at"]),
        ({"at": 1768469400}, ["body", "at"]),
        ({"at": "1768469400"}, ["body", "at"]),
        ({"at": "0001-01-01T00:00:00+14:00"}, ["body", "at"]),
        ({"at": "9999-12-31T23:59:59-14:00"}, ["body", "at"]),
        ({"type": "ended"}, ["body"]),
        ({"ending": {"status": "busy", "reason": ""}}, ["body"]),
        ({"type": "ended", "ending": {"status": "queued", "reason": ""}}, ["body", "ending"]),
        ({"type": "ended", "ending": {"status": "busy"}}, ["body", "ending"]),
        ({"type": "ended", "ending": []}, ["body", "ending"]),
    ],
    ids=str,
)
def test_an_event_that_cannot_be_read_is_refused_by_its_faults(provider, change, loc) -> None:
    with pytest.raises(EventRefused) as refused:
        read(provider, told_event(uuid4()) | change)
    assert not refused.value.is_forged
    assert refused.value.errors
    assert all(fault["loc"][: len(loc)] == loc for fault in refused.value.errors)


@pytest.mark.parametrize(
    "change",
    [
        {"durationSeconds": -1},
        {"durationSeconds": 2**31},
        {"durationSeconds": 1.5},
        {"sentiment": "HAPPY"},
        {"transcript": ["Agent", "Customer"]},
        {"recordingUrl": "https://agent.example/" + "x" * 2000},
        {"recordingUrl": "javascript:alert(1)"},
        {"recordingUrl": "https://agent.example/\0"},
        {"answeredAt": "2026-01-15T09:30:00"},
        {"callBackAt": "9999-12-31T23:59:59Z"},
    ],
    ids=brief,
)
def test_an_ending_that_cannot_be_read_is_refused_by_its_faults(provider, change) -> None:
    ending = {"status": "completed", "reason": "x"} | change
    with pytest.raises(EventRefused) as refused:
        read(provider, told_event(uuid4(), "ended", ending=ending))
    [name] = change
    assert {tuple(fault["loc"][:3]) for fault in refused.value.errors} == {("body", "ending", name)}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'"\\ud800"'])
def test_what_is_no_event_at_all_is_refused(provider, body: bytes) -> None:
    with pytest.raises(EventRefused) as refused:
        read(provider, body)
    assert not refused.value.is_forged


def test_a_refusal_holds_nothing_of_what_was_refused(provider) -> None:
    told = told_event(uuid4(), at="Ahmed", type="Ahmed", callId="Ahmed")
    with pytest.raises(EventRefused) as refused:
        read(provider, told)
    assert len(refused.value.errors) == 3
    assert "Ahmed" not in f"{refused.value} {refused.value.errors}"


# --- Signatures ---------------------------------------------------------------------------------


def test_what_another_library_signs_is_believed(provider) -> None:
    body = json.dumps(told_event(uuid4()), ensure_ascii=False)
    at = timezone.now()
    signature = Webhook(SECRET).sign("evt_1", at, body)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": f"v2,AAAA {signature} v1,AAAA",
    }
    assert provider.read_events(headers, body.encode())


@pytest.mark.parametrize("seconds", [-290, 290])
def test_clocks_may_differ_a_little(provider, seconds: int) -> None:
    body = json.dumps(told_event(uuid4())).encode()
    assert provider.read_events(signed(body, at=time.time() + seconds), body)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-id": ""},
        {"webhook-timestamp": "0"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "٣"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,é"},
    ],
    ids=brief,
)
def test_what_is_not_signed_is_forged(provider, change: dict[str, str]) -> None:
    body = json.dumps(told_event(uuid4())).encode()
    with pytest.raises(EventRefused) as refused:
        provider.read_events(signed(body) | change, body)
    assert refused.value.is_forged


@pytest.mark.parametrize("seconds", [-310, 310])
def test_what_was_signed_too_long_ago_or_ahead_is_forged(provider, seconds: int) -> None:
    body = json.dumps(told_event(uuid4())).encode()
    with pytest.raises(EventRefused, match="300 seconds") as refused:
        provider.read_events(signed(body, at=time.time() + seconds), body)
    assert refused.value.is_forged


def test_another_secret_another_body_another_version_is_forged(provider) -> None:
    body = json.dumps(told_event(uuid4())).encode()
    headers = signed(body)
    other = signed(body, secret="whsec_" + "A" * 32)
    v2 = headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}
    for tried, told in ((headers, body + b" "), (other, body), (v2, body), ({}, body)):
        with pytest.raises(EventRefused) as refused:
            provider.read_events(tried, told)
        assert refused.value.is_forged
