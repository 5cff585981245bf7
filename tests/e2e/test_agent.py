"""The agent in examples/agent: by itself, as the provider `http` asks it, and with the platform."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx2
import pytest
from django.utils import timezone

from calls.providers.base import Access, CallRequest, Event, PermanentError, Poll
from calls.providers.http import HttpProvider
from calls.statuses import CallStatus
from calls.tests.far_side import SECRET, Asked, FarSide
from calls.tests.test_http_provider import make_request as request_of_long_ago
from calls.webhooks.signing import find_fault, signed_headers
from collections_platform.api.openapi import examples
from collections_platform.ops.processes import PROJECT
from collections_platform.ops.webhook_receiver import WebhookReceiver
from tests.processes import Platform, free_port, wait_until

OUTCOMES = (("PROMISE_TO_PAY", "The person promises to pay."), ("REFUSED", "They refuse."))
TALKS, IS_BUSY, IS_SILENT = "+966500000002", "+966500000007", "+966500000006"


class ExampleAgent:
    """The program as a process, on a port and a database that it keeps when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "PORT": str(self.port),
            "AGENT_SECRET": SECRET,
            "AGENT_DATABASE": str(self.folder / "agent.sqlite3"),
        }
        with (self.folder / "agent.log").open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(PROJECT / "examples" / "agent" / "agent.py")],
                env=os.environ | environment,
                stderr=said,
            )
        wait_until(self.answers, 20)

    def answers(self) -> bool:
        try:
            return httpx2.get(self.url, trust_env=False).status_code == 401
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process
        self.process.terminate()
        self.process.wait(20)
        print((self.folder / "agent.log").read_text())  # pytest shows it when the test has failed


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ExampleAgent]:
    with ExampleAgent(tmp_path) as agent:
        yield agent


@pytest.fixture
def callbacks() -> Iterator[FarSide]:
    with FarSide() as callbacks:
        callbacks.says(200, {"status": "ok"})
        yield callbacks


@pytest.fixture(autouse=True)
def _clock_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.clock._anchor", (time.monotonic(), timezone.now()))


def provider_at(agent: ExampleAgent, callbacks: FarSide | None = None) -> HttpProvider:
    callback = f"{callbacks.url}/hooks/1" if callbacks else ""
    return HttpProvider(Access({"url": agent.url}, {"secret": SECRET}, callback))


def make_request(**what_matters: Any) -> CallRequest:
    fields = {"number_to": TALKS, "outcomes": OUTCOMES, "started_at": timezone.now()}
    return request_of_long_ago(**fields | what_matters)


def look_up(provider: HttpProvider, request: CallRequest) -> Poll:
    [poll] = provider.poll([request], timezone.now())
    return poll


def ending_of(provider: HttpProvider, request: CallRequest) -> Event:
    wait_until(lambda: look_up(provider, request).poll_at is None, 20)
    return look_up(provider, request).events[-1]


# --- By itself ----------------------------------------------------------------------------------


def test_a_call_is_placed_once_and_told_whole(agent: ExampleAgent, callbacks: FarSide) -> None:
    provider, request = provider_at(agent, callbacks), make_request()
    placed = provider.place(request)
    assert provider.place(replace(request, number_to=IS_BUSY)) == placed, "the first counts"

    event = ending_of(provider, request)
    assert event.ending
    assert (event.ending.status, event.ending.outcome) == (CallStatus.COMPLETED, "PROMISE_TO_PAY")
    assert event.ending.sentiment == "POSITIVE"
    assert request.first_message in event.ending.transcript
    assert "nobody was called" in event.ending.summary
    kinds = [event.kind for event in look_up(provider, request).events]
    assert kinds == ["ringing", "answered", "ended"]
    assert {event.provider_call_id for event in look_up(provider, request).events} == {
        placed.provider_call_id
    }

    wait_until(lambda: len(callbacks.asked) >= 3, 20)
    told = [event for asked in callbacks.asked for event in provider.read_events(*signed(asked))]
    by_id = {event.event_id: event for event in look_up(provider, request).events}
    assert {event.event_id: event for event in told} == by_id, "sent as they are looked up"
    assert [asked.path for asked in callbacks.asked] == ["/hooks/1"] * 3


def signed(asked: Asked) -> tuple[Any, bytes]:
    return asked.headers, asked.body


def test_the_number_says_how_the_call_ends(agent: ExampleAgent) -> None:
    provider = provider_at(agent)
    statuses = {
        IS_BUSY: CallStatus.BUSY,
        IS_SILENT: CallStatus.NO_ANSWER,
        "+966500000008": CallStatus.VOICEMAIL,
        "+966500000009": CallStatus.REJECTED,
        "+966500000001": CallStatus.COMPLETED,
    }
    requests = [make_request(number_to=number) for number in statuses]
    for request in requests:
        provider.place(request)
    endings = [ending_of(provider, request).ending for request in requests]
    assert [ending and ending.status for ending in endings] == list(statuses.values())
    assert [bool(ending and ending.transcript) for ending in endings] == [False] * 4 + [True]
    with pytest.raises(PermanentError) as refused:
        provider.place(make_request(number_to="+12"))
    assert refused.value.status == CallStatus.INVALID_NUMBER


def test_a_call_that_was_never_taken_is_unknown(agent: ExampleAgent) -> None:
    provider, request = provider_at(agent), make_request()
    assert look_up(provider, request).is_unknown
    provider.cancel(request)  # it rings nowhere
    assert look_up(provider, request).is_unknown


@pytest.mark.parametrize("after", [0, 1.5], ids=["ringing", "talking"])
def test_a_line_is_closed_when_the_answer_says_so(agent: ExampleAgent, after: float) -> None:
    provider, request = provider_at(agent), make_request()
    provider.place(request)
    kind = "answered" if after else "ringing"
    wait_until(lambda: kind in [event.kind for event in look_up(provider, request).events], 20)
    provider.cancel(request)
    poll = look_up(provider, request)
    assert poll.poll_at is None
    assert poll.events[-1].ending
    assert poll.events[-1].ending.reason == "hung_up_by_platform"
    provider.cancel(request)


def test_calls_and_events_survive_the_agents_death(agent: ExampleAgent, callbacks: FarSide) -> None:
    provider = provider_at(agent, callbacks)
    ended, broken_off = make_request(number_to=IS_BUSY), make_request()
    callbacks.says(503)
    placed = provider.place(ended)
    provider.place(broken_off)
    before = ending_of(provider, ended)
    wait_until(lambda: bool(look_up(provider, broken_off).events), 20)
    agent.kill()
    agent.start()

    assert provider.place(ended) == placed
    assert look_up(provider, ended).events == (before,)
    after = ending_of(provider, broken_off)
    assert after.ending
    assert (after.ending.status, after.ending.reason) == (CallStatus.FAILED, "agent_restarted")
    kinds = [event.kind for event in look_up(provider, broken_off).events]
    assert kinds == ["ringing", "ended"], "it is not dialled again"

    callbacks.says(200, {"status": "ok"})
    sent = before.event_id
    wait_until(lambda: ids_of(callbacks).count(sent) > 1, 20)
    tries = [asked for asked in callbacks.asked if asked.headers["webhook-id"] == sent]
    assert len({asked.body for asked in tries}) == 1
    now = time.time()
    assert not any(find_fault(SECRET, asked.headers, asked.body, now) for asked in tries)


def ids_of(callbacks: FarSide) -> list[str]:
    return [asked.headers["webhook-id"] for asked in callbacks.asked]


def test_a_call_that_comes_to_the_telephone_too_late_is_not_dialled(agent: ExampleAgent) -> None:
    provider = provider_at(agent)
    request = make_request(started_at=timezone.now() - timedelta(minutes=2))
    provider.place(request)
    event = ending_of(provider, request)
    assert event.ending
    assert event.ending.reason == "too_late"
    assert [event.kind for event in look_up(provider, request).events] == ["ended"]


def ask(agent: ExampleAgent, method: str, path: str, body: bytes, **headers: Any) -> int:
    answer = httpx2.request(
        method, agent.url + path, content=body, headers=headers, trust_env=False
    )
    return answer.status_code


Spoil = Callable[[dict[str, str]], dict[str, str]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers: {},
        lambda headers: headers | {"webhook-signature": "v1,AAAA"},
        lambda headers: headers | {"webhook-id": f"place_{uuid4()}_x"},
        lambda headers: headers | {"webhook-timestamp": str(int(time.time()) - 301)},
    ],
    ids=["unsigned", "wrong", "another id", "another time"],
)
def test_what_is_not_signed_is_refused_and_dials_nobody(agent: ExampleAgent, spoil: Spoil) -> None:
    call_id = uuid4()
    body = json.dumps({"callId": str(call_id)}).encode()
    headers = signed_headers([SECRET], f"place_{call_id}_1", int(time.time()), body)
    assert ask(agent, "POST", "/calls", body, **spoil(headers)) == 401
    assert look_up(provider_at(agent), make_request(attempt_id=call_id)).is_unknown


@pytest.mark.parametrize(
    ("method", "path", "identity", "body", "status"),
    [
        ("POST", "/calls", "place_{}_1", b"", 400),
        ("POST", "/calls", "place_{}_1", b'{"callId": 7}', 400),
        ("POST", "/calls", "place_{}_1", b"[" * 100_000, 400),
        ("POST", "/other", "place_{}_1", b"{}", 404),
        ("DELETE", "/calls", "place_{}_1", b"{}", 501),
        ("POST", "/calls/{}/cancel", "look-up_{}_1", b"", 401),
        ("GET", "/calls/{}", "cancel_{}_1", b"", 401),
        ("GET", "/calls/{}", "look-up_{}_1", b"", 404),
    ],
)
def test_what_does_not_fit_is_refused(
    agent: ExampleAgent, method: str, path: str, identity: str, body: bytes, status: int
) -> None:
    call_id = uuid4()
    headers = signed_headers([SECRET], identity.format(call_id), int(time.time()), body)
    assert ask(agent, method, path.format(call_id), body, **headers) == status


# --- With the platform --------------------------------------------------------------------------


@pytest.fixture
def deployed(platform: Platform, agent: ExampleAgent) -> Platform:
    """A platform that knows the agent from its environment alone."""
    platform.environment |= {
        "DEMO": "1",
        "CALL_PROVIDER": "http",
        "CALL_PROVIDER_SETTINGS": json.dumps({"url": agent.url}),
        "CALL_PROVIDER_CREDENTIALS": json.dumps({"secret": SECRET}),
    }
    platform.manage("load_demo_data")
    return platform


@pytest.mark.workers
@pytest.mark.parametrize("is_told", [True, False], ids=["events", "polls only"])
def test_the_readmes_calls_are_placed_with_the_agent_to_the_last_webhook(
    deployed: Platform, receiver: WebhookReceiver, is_told: bool
) -> None:
    secret = json.loads(deployed.manage("add_webhook_endpoint", receiver.url))["secret"]
    client = json.loads(deployed.manage("create_api_client", "test"))
    url = deployed.start_web()
    deployed.environment["PUBLIC_URL"] = url if is_told else ""
    deployed.start_worker()

    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as api:
        token = api.post("/auth/v1/api-key/auth", json=client).json()["access_token"]
        api.headers["Authorization"] = f"Bearer {token}"
        answer = api.post("/ai/phone-calls/action/call-bulk", json=examples.BULK_REQUEST)
        assert answer.status_code == 201, answer.text
        campaign = f"/ai/campaigns/{answer.json()['campaignId']}"
        call_ids = {call["callId"] for call in answer.json()["calls"]}
        wait_until(lambda: len(told(receiver)) == len(call_ids) == 2, 90)
        wait_until(lambda: api.get(campaign).json()["status"] == "completed", 20)
        calls = [api.get(f"/ai/phone-calls/{call_id}").json() for call_id in sorted(call_ids)]

    assert all(request.is_signed_with(secret) for request in receiver.received)
    assert set(told(receiver)) == call_ids
    assert {call["status"] for call in calls} == {"completed"}
    assert {call["callOutput"] for call in calls} == {"ALREADY_PAID", "DISPUTE"}
    assert all("(scripted)" in call["transcription"] for call in calls)
    assert not any(call["simulated"] for call in calls), "an agent of one's own is a real provider"
    kinds = "sorted(ProviderEvent.objects.values_list('kind', flat=True))"
    assert deployed.evaluate(kinds) == ["answered"] * 2 + ["ended"] * 2 + ["ringing"] * 2


def told(receiver: WebhookReceiver) -> dict[str, Any]:
    bodies = [json.loads(request.body)["data"] for request in list(receiver.received)]
    return {body["callId"]: body for body in bodies}
