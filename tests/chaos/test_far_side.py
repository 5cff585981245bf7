"""The far side keeps to its protocol, and its eyes are open."""

import base64
import json
import time
from collections.abc import Iterator
from http import HTTPStatus
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from collections_platform.ops.webhook_receiver import Received, WebhookReceiver
from tests.chaos.far_side import MISCHIEF, Exchange, FarSide, Line, dice_of, signed
from tests.processes import wait_until

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW = 1_800_000_000.0
DICE = dice_of("any")


@pytest.fixture
def far_side() -> Iterator[FarSide]:
    server = FarSide(0, SECRET, Exchange("seed"))
    Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def wanted(number: str = "+966500000001", call_id: str = "", **more: Any) -> dict[str, Any]:
    return {"callId": call_id or str(uuid4()), "to": number, "outcomes": [], **more}


def ask(
    server: FarSide, method: str, path: str, content: Any = None, secret: str = SECRET
) -> httpx2.Response:
    body = b"" if content is None else json.dumps(content).encode()
    headers = signed(secret, "msg_1", body)
    if content:
        headers["Idempotency-Key"] = content["callId"]
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return httpx2.request(method, url, content=body, headers=headers, timeout=20)


def events_of(receiver: WebhookReceiver) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in list(receiver.received)]


def test_two_live_calls_to_one_number_are_an_overlap() -> None:
    exchange = Exchange()
    first = exchange.place(wanted(), NOW, DICE)

    second = exchange.place(wanted(), first.ends_at - 0.01, DICE)

    [overlap] = exchange.as_json()["overlaps"]
    assert overlap["callIds"] == [first.call_id, second.call_id]
    assert exchange.most_live == 2


def test_a_call_after_the_end_or_the_cancelling_of_another_is_no_overlap() -> None:
    exchange = Exchange()
    first = exchange.place(wanted(), NOW, DICE)
    second = exchange.place(wanted(), first.ends_at, DICE)
    exchange.cancel(second.call_id, first.ends_at + 0.1)
    exchange.place(wanted(), first.ends_at + 0.1, DICE)
    exchange.place(wanted("+966500000002"), first.ends_at + 0.1, DICE)

    assert exchange.as_json()["overlaps"] == []


def test_a_repeated_request_places_no_second_call(far_side: FarSide) -> None:
    request = wanted()

    answers = [ask(far_side, "POST", "/calls", request) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    [line] = far_side.exchange.as_json()["placements"]
    assert len(line["repeats"]) == 2


def test_a_call_is_told_to_its_end_with_right_signatures(
    far_side: FarSide, receiver: WebhookReceiver
) -> None:
    request = wanted(callbackUrl=receiver.url)
    ask(far_side, "POST", "/calls", request)

    wait_until(lambda: any(e["type"] == "ended" for e in events_of(receiver)), 10)

    events = events_of(receiver)
    assert [events[0]["type"], events[-1]["type"]] == ["ringing", "ended"]
    assert {event["callId"] for event in events} == {request["callId"]}
    assert all(request.is_signed_with(SECRET) for request in receiver.received)
    told = ask(far_side, "GET", f"/calls/{request['callId']}").json()
    assert told["events"] == events


def test_an_event_is_repeated_with_its_id_until_it_is_taken(far_side: FarSide) -> None:
    class Refusing(WebhookReceiver):
        def answer(self, request: Received) -> HTTPStatus:
            return HTTPStatus.SERVICE_UNAVAILABLE if len(self.received) < 3 else HTTPStatus.OK

    with Refusing() as receiver:
        far_side.teller.tell(time.time(), receiver.url, {"id": "evt_1"})
        wait_until(lambda: len(receiver.received) == 3, 10)

    assert events_of(receiver) == [{"id": "evt_1"}] * 3


def test_what_is_not_signed_by_us_is_refused_and_counted(far_side: FarSide) -> None:
    other = "whsec_" + base64.b64encode(b"o" * 32).decode()

    answers = [
        ask(far_side, "POST", "/calls", wanted(), secret=other),
        ask(far_side, "GET", f"/calls/{uuid4()}", secret=other),
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    record = far_side.exchange.as_json()
    assert record["placements"] == []
    assert record["counts"]["refused: the wrong signature"] == 2


def test_a_call_it_never_saw_is_unknown(far_side: FarSide) -> None:
    for method, path in ("GET", f"/calls/{uuid4()}"), ("POST", f"/calls/{uuid4()}/cancel"):
        answer = ask(far_side, method, path)
        assert (answer.status_code, answer.json()) == (404, {"reason": "unknown_call"})


def test_a_cancelled_line_is_closed_and_says_so(far_side: FarSide) -> None:
    request = wanted()
    ask(far_side, "POST", "/calls", request)

    assert ask(far_side, "POST", f"/calls/{request['callId']}/cancel").status_code == 200

    told = ask(far_side, "GET", f"/calls/{request['callId']}").json()
    assert told["events"][-1]["ending"]["reason"] == "cancelled"
    line = far_side.exchange.find(request["callId"])
    assert line
    assert not line.is_live(time.time())


@pytest.mark.parametrize("mischief", ["error_before", "dropped_before", "turned_away", "refused"])
def test_mischief_before_the_placement_places_nothing(far_side: FarSide, mischief: str) -> None:
    far_side.exchange.chances = {mischief: 1.0}

    assert status_of_placing(far_side) in {None, 422, 429, 500, 502, 503}

    assert far_side.exchange.placements == []


@pytest.mark.parametrize("mischief", ["error_after", "dropped_after"])
def test_mischief_after_the_placement_leaves_the_call_on(far_side: FarSide, mischief: str) -> None:
    far_side.exchange.chances = {mischief: 1.0}

    assert status_of_placing(far_side) in {None, 500, 502}

    assert len(far_side.exchange.placements) == 1


def status_of_placing(far_side: FarSide) -> int | None:
    try:
        return ask(far_side, "POST", "/calls", wanted()).status_code
    except httpx2.TransportError:
        return None


def told_under(mischief: str, receiver: WebhookReceiver, far_side: FarSide) -> tuple[Line, float]:
    """A call that was placed and answered under some mischief, and when the answer came."""
    far_side.exchange.chances = {mischief: 1.0}
    ask(far_side, "POST", "/calls", wanted(callbackUrl=receiver.url))
    return far_side.exchange.placements[0], time.time()


def test_early_events_come_before_the_answer(far_side: FarSide, receiver: WebhookReceiver) -> None:
    line, answered_at = told_under("early", receiver, far_side)

    assert line.ends_at < answered_at
    assert "ended" in {event["type"] for event in events_of(receiver)}


def test_repeated_events_keep_their_id(far_side: FarSide, receiver: WebhookReceiver) -> None:
    line, _ = told_under("repeated", receiver, far_side)
    wait_until(lambda: len(receiver.received) == 3 * len(line.happenings), 10)

    assert len({event["id"] for event in events_of(receiver)}) == len(line.happenings)


def test_two_endings_differ(far_side: FarSide, receiver: WebhookReceiver) -> None:
    line, _ = told_under("two_endings", receiver, far_side)

    assert len(set(line.as_json()["endings"])) == 2


def test_a_forged_ending_is_none_of_the_lines_and_wrongly_signed(
    far_side: FarSide, receiver: WebhookReceiver
) -> None:
    line, _ = told_under("forged", receiver, far_side)
    wait_until(lambda: len(receiver.received) == 1 + len(line.happenings), 10)

    [forged] = [r for r in receiver.received if not r.is_signed_with(SECRET)]
    assert json.loads(forged.body)["ending"]["status"] not in line.as_json()["endings"]


def test_strange_events_are_of_calls_that_nobody_placed(
    far_side: FarSide, receiver: WebhookReceiver
) -> None:
    line, _ = told_under("strange", receiver, far_side)
    wait_until(lambda: len(receiver.received) > len(line.happenings), 10)

    assert {event["callId"] for event in events_of(receiver)} - {line.call_id}


def test_a_silent_call_is_told_only_when_asked(
    far_side: FarSide, receiver: WebhookReceiver
) -> None:
    line, _ = told_under("silent", receiver, far_side)
    wait_until(lambda: not line.is_live(time.time()), 10)

    assert ask(far_side, "GET", f"/calls/{line.call_id}").json()["events"][-1]["type"] == "ended"
    assert receiver.received == []


def test_the_same_seed_brings_the_same_mischief_to_a_number() -> None:
    def drawn(seed: str) -> list[set[str]]:
        exchange = Exchange(seed, MISCHIEF)
        return [exchange.draw(str(uuid4()), f"+9665{number:08d}")[1] for number in range(50)]

    assert drawn("a") == drawn("a") != drawn("b")
