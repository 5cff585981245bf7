"""`python -m tests.chaos.far_side`: the far side of the telephone line, in a process of its own.

It speaks the protocol of the `http` provider, version 1, plays calls of a second or so, and writes
down every placement. What it can do wrong stands in `MISCHIEF`; which call meets what depends on
the seed and the number alone. `GET /record` tells everything it has seen.

Nothing here comes from the platform: it is the other half of the contract.
"""

import argparse
import base64
import hashlib
import heapq
import hmac
import json
import queue
import random
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Condition, Lock, Thread
from typing import Any, ClassVar
from urllib.parse import urlsplit

from collections_platform.ops.tether import tie_process_tree

# What can go wrong, and how often when everything does.
MISCHIEF = {
    "slow": 0.03,  # the answer to a placement takes up to 3 s
    "refused": 0.01,  # 422: the number can never be called
    "turned_away": 0.02,  # 429 or 503: nothing taken
    "error_before": 0.03,  # 500 or 502, nothing taken
    "dropped_before": 0.02,  # the connection breaks, nothing taken
    "error_after": 0.03,  # 500 or 502, and the call is on
    "dropped_after": 0.03,  # the connection breaks, and the call is on
    "early": 0.05,  # the events come before the answer to the placement
    "repeated": 0.1,  # each event comes up to three times
    "reordered": 0.1,  # the events come in any order
    "strange": 0.05,  # events of calls that nobody has placed
    "forged": 0.05,  # an ending that is signed with another secret
    "two_endings": 0.05,  # a second ending that says something else
    "silent": 0.05,  # no event comes: only asking tells
    "lost": 0.1,  # half of the events do not come
    "mute": 0.05,  # 500 to a question
}
SLOWEST_SECONDS = 3.0
SHORTEST_CALL, LONGEST_CALL = 0.2, 2.0
NUMBER_FROM = "+12025550100"
# How calls end, and how often.
ENDINGS = {
    "completed": 60,
    "no_answer": 14,
    "voicemail": 10,
    "busy": 8,
    "failed": 5,
    "rejected": 3,
}
SENDERS = 8
FIRST_PAUSE, LONGEST_PAUSE, MAX_TRIES = 0.2, 3.0, 100


def dice_of(*seed: object) -> random.Random:
    """Dice that fall alike for the same seed."""
    return random.Random(":".join(map(str, seed)))  # noqa: S311  a play, no secret


def signature(secret: str, identity: str, timestamp: str, body: bytes) -> str:
    """The `webhook-signature` of Standard Webhooks, for a secret `whsec_…`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def signed(secret: str, identity: str, body: bytes) -> dict[str, str]:
    timestamp = str(int(time.time()))
    return {
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, identity, timestamp, body),
    }


def signature_fault(
    secret: str, headers: Mapping[str, str], body: bytes, tolerance: float
) -> str | None:
    """What is wrong with the signature of a request; None if nothing."""
    timestamp = headers.get("webhook-timestamp") or ""
    if not timestamp.isdecimal() or not headers.get("webhook-id"):
        return "unsigned"
    if abs(time.time() - int(timestamp)) > tolerance:
        return "the wrong time"
    right = signature(secret, headers["webhook-id"], timestamp, body)
    given = (headers.get("webhook-signature") or "").split()
    return None if right in given else "the wrong signature"


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@dataclass
class Line:
    """A call that was placed. Times in seconds of Unix; `happenings` are its events with theirs."""

    call_id: str
    number: str
    placed_at: float
    ends_at: float
    mischief: set[str]
    provider_call_id: str = field(default_factory=lambda: f"far_{uuid.uuid4().hex}")
    happenings: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    repeats: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    cancelled_at: float | None = None

    def is_live(self, now: float) -> bool:
        return now < self.ends_at

    def happened(self, now: float) -> list[dict[str, Any]]:
        return [event for at, event in self.happenings if at <= now]

    def add(self, kind: str, at: float, ending: dict[str, Any] | None = None) -> None:
        event = {
            "id": f"evt_{uuid.uuid4().hex}",
            "type": kind,
            "callId": self.call_id,
            "providerCallId": self.provider_call_id,
            "at": iso(at),
            "from": NUMBER_FROM,
        }
        self.happenings.append((at, event | ({"ending": ending} if ending else {})))

    def as_json(self) -> dict[str, Any]:
        return {
            "callId": self.call_id,
            "number": self.number,
            "providerCallId": self.provider_call_id,
            "placedAt": self.placed_at,
            "endsAt": self.ends_at,
            "cancelledAt": self.cancelled_at,
            "mischief": sorted(self.mischief),
            "repeats": self.repeats,
            "asked": self.asked,
            "events": [(at, event["type"]) for at, event in self.happenings],
            "endings": [e["ending"]["status"] for _, e in self.happenings if "ending" in e],
        }


class Exchange:
    """The lines and what is written down of them. Methods take the time, and may be called by
    several threads.
    """

    def __init__(self, seed: str = "", chances: Mapping[str, float] | None = None) -> None:
        self.seed = seed
        self.chances = dict(chances or {})
        self.placements: list[Line] = []
        self.overlaps: list[dict[str, Any]] = []
        self.refused: list[dict[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.most_live = 0
        self._lines: dict[str, Line] = {}
        self._by_number: dict[str, list[Line]] = {}
        self._live: list[Line] = []
        self._requests: Counter[str] = Counter()
        self._lock = Lock()

    def draw(self, call_id: str, number: str) -> tuple[random.Random, set[str]]:
        """The dice of one request to place a call, and the mischief it meets."""
        with self._lock:
            self._requests[call_id] += 1
            request = self._requests[call_id]
        dice = dice_of(self.seed, number, request)
        return dice, {name for name, chance in self.chances.items() if dice.random() < chance}

    def find(self, call_id: str) -> Line | None:
        return self._lines.get(call_id)

    def repeat(self, call_id: str, now: float) -> Line | None:
        """The line of a call that is placed already, and the request for it noted."""
        with self._lock:
            if line := self._lines.get(call_id):
                line.repeats.append(now)
            return line

    def place(self, request: Mapping[str, Any], now: float, dice: random.Random) -> Line:
        """Open a line, whatever else is on it: that is written down, not prevented."""
        call_id, number = str(request["callId"]), str(request["to"])
        line = Line(call_id, number, now, now + dice.uniform(SHORTEST_CALL, LONGEST_CALL), set())
        plan(line, request, dice)
        with self._lock:
            others = [other for other in self._by_number.get(number, []) if other.is_live(now)]
            self.overlaps += [
                {"number": number, "callIds": [other.call_id, call_id], "at": now}
                for other in others
            ]
            self.placements.append(line)
            self._lines.setdefault(call_id, line)
            self._by_number.setdefault(number, []).append(line)
            self._count_live(line, now)
        return line

    def cancel(self, call_id: str, now: float) -> Line | None:
        """Close the line if it is still open."""
        with self._lock:
            line = self._lines.get(call_id)
            if line and line.is_live(now):
                line.cancelled_at = line.ends_at = now
                line.happenings = [(at, event) for at, event in line.happenings if at <= now]
                line.add("ended", now, {"status": "failed", "reason": "cancelled"})
            return line

    def note(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def as_json(self) -> dict[str, Any]:
        with self._lock:
            return {
                "placements": [line.as_json() for line in self.placements],
                "overlaps": list(self.overlaps),
                "refused": list(self.refused),
                "mostLive": self.most_live,
                "counts": dict(self.counts),
            }

    def _count_live(self, line: Line, now: float) -> None:
        self._live = [line, *(other for other in self._live if other.is_live(now))]
        self.most_live = max(self.most_live, len(self._live))


def plan(line: Line, request: Mapping[str, Any], dice: random.Random) -> None:
    """Decide what will happen on the line."""
    length = line.ends_at - line.placed_at
    status = dice.choices(list(ENDINGS), list(ENDINGS.values()))[0]
    ending: dict[str, Any] = {"status": status, "reason": f"far_{status}"}
    line.add("ringing", line.placed_at + length * 0.1)
    if status in {"completed", "voicemail"}:
        answered_at = line.placed_at + length * 0.4
        line.add("answered", answered_at)
        ending |= {"answeredAt": iso(answered_at), "durationSeconds": round(length)}
    if status == "completed":
        words = [outcome["word"] for outcome in request.get("outcomes", [])]
        ending |= {
            "outcome": dice.choice(words) if words else "",
            "sentiment": "NEUTRAL",
            "summary": "…",
            "transcript": "agent: السلام عليكم\nperson: وعليكم السلام",
        }
    line.add("ended", line.ends_at, ending)


class Teller:
    """Sends events at their time, each until it is taken."""

    def __init__(self, secret: str, note: Callable[[str], None]) -> None:
        self.secret = secret
        self.note = note
        self._later: list[tuple[float, int, str, bytes, str, int]] = []
        self._numbers = count()
        self._changed = Condition()
        self._due: queue.SimpleQueue[tuple[str, bytes, str, int]] = queue.SimpleQueue()
        for run in [self._wait, *[self._send] * SENDERS]:
            Thread(target=run, daemon=True).start()

    def tell(
        self, at: float, url: str, event: Mapping[str, Any], secret: str = "", tries: int = 0
    ) -> None:
        self._put(at, url, json.dumps(event).encode(), secret or self.secret, tries)

    def _put(self, at: float, url: str, body: bytes, secret: str, tries: int) -> None:
        with self._changed:
            heapq.heappush(self._later, (at, next(self._numbers), url, body, secret, tries))
            self._changed.notify()

    def _wait(self) -> None:
        while True:
            with self._changed:
                while not self._later or self._later[0][0] > time.time():
                    pause = self._later[0][0] - time.time() if self._later else None
                    self._changed.wait(pause if pause is None else max(pause, 0))
                message = heapq.heappop(self._later)[2:]
            self._due.put(message)

    def _send(self) -> None:
        connections: dict[str, HTTPConnection] = {}
        while True:
            url, body, secret, tries = self._due.get()
            status = _post(connections, url, body, secret)
            self.note(f"told: {status or 'no answer'}")
            is_refused = status is not None and 400 <= status < 500
            if is_refused or (status is not None and status < 300) or tries >= MAX_TRIES:
                continue
            pause = min(FIRST_PAUSE * 2**tries, LONGEST_PAUSE)
            self._put(time.time() + pause, url, body, secret, tries + 1)


def _post(connections: dict[str, HTTPConnection], url: str, body: bytes, secret: str) -> int | None:
    """The status of the answer; None without one."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    headers |= signed(secret, json.loads(body)["id"], body)
    for _ in range(2):  # once more, because a kept connection may have been closed meanwhile
        connection = connections.get(parts.netloc)
        fresh = connection is None
        if connection is None:
            connection = connections[parts.netloc] = HTTPConnection(parts.netloc, timeout=10)
        try:
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connections.pop(parts.netloc).close()
            if fresh:
                return None
        else:
            return answer.status
    return None


class FarSide(ThreadingHTTPServer):
    """Listens on 127.0.0.1. `tolerance`: how many seconds a request's timestamp may be off."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, port: int, secret: str, exchange: Exchange, tolerance: float = 300) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret = secret
        self.exchange = exchange
        self.tolerance = tolerance
        self.teller = Teller(secret, exchange.note)
        self.dice = dice_of(exchange.seed)

    def handle_error(self, *_: object) -> None:
        """Callers die in the middle of a request: that is what happens here."""

    def play(self, line: Line, url: str, mischief: set[str], dice: random.Random) -> None:
        """Have the events of the line told, as rightly or wrongly as the mischief has it."""
        line.mischief = mischief
        if "two_endings" in mischief:
            first = line.happenings[-1][1]["ending"]["status"]
            other = dice.choice([status for status in ENDINGS if status != first])
            after = line.ends_at + dice.uniform(0, 0.5)
            line.add("ended", after, {"status": other, "reason": f"far_second_{other}"})
        if not url or "silent" in mischief:
            return
        events = list(line.happenings)
        if "lost" in mischief:
            events = [event for event in events if dice.random() < 0.5]
        if "repeated" in mischief:
            events += [(at + dice.uniform(0, 1), e) for at, e in events for _ in range(2)]
        if "reordered" in mischief:
            events = [(line.ends_at + dice.uniform(0, 0.3), event) for _, event in events]
        if "strange" in mischief:
            stranger = Line(str(uuid.uuid4()), line.number, line.placed_at, line.ends_at, set())
            plan(stranger, {}, dice)
            events += stranger.happenings
        for at, event in events:
            self.teller.tell(at, url, event)
        if "forged" in mischief:
            forged = Line(line.call_id, line.number, line.placed_at, line.ends_at, set())
            told = {e["ending"]["status"] for _, e in line.happenings if "ending" in e}
            status = dice.choice([status for status in ENDINGS if status not in told])
            forged.add("ended", line.placed_at, {"status": status, "reason": "forged"})
            other_secret = "whsec_" + base64.b64encode(b"another secret" * 2).decode()
            self.teller.tell(line.placed_at, url, forged.happenings[0][1], secret=other_secret)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FarSide
    timeout: ClassVar[float] = 300  # seconds that a connection may idle

    def do_POST(self) -> None:
        exchange, body = self.server.exchange, self._body()
        if self.path == "/mischief":
            exchange.chances = json.loads(body)
            return self._answer(200, {})
        if not self._is_signed(body):
            return None
        match self.path.strip("/").split("/"):
            case ["calls"]:
                return self._place(json.loads(body))
            case ["calls", call_id, "cancel"]:
                line = exchange.cancel(call_id, time.time())
                exchange.note("cancel")
                return self._answer(200, {}) if line else self._unknown()
        return self._answer(404, {"reason": "no such address"})

    def do_GET(self) -> None:
        exchange, body = self.server.exchange, self._body()
        if self.path == "/record":
            return self._answer(200, exchange.as_json())
        if not self._is_signed(body):
            return None
        exchange.note("question")
        if self.server.dice.random() < exchange.chances.get("mute", 0):
            return self._answer(500, {"reason": "mischief"})
        now = time.time()
        line = exchange.find(self.path.rpartition("/")[2])
        if line is None:
            exchange.note("question about no call")
            return self._unknown()
        line.asked.append(now)
        told = {"id": line.provider_call_id, "from": NUMBER_FROM, "events": line.happened(now)}
        return self._answer(200, told)

    def _place(self, request: dict[str, Any]) -> None:
        exchange, call_id = self.server.exchange, request["callId"]
        exchange.note("request")
        if self.headers.get("Idempotency-Key") != call_id:
            exchange.note("wrong key")
        if known := exchange.repeat(call_id, time.time()):
            return self._taken(known)
        dice, mischief = exchange.draw(call_id, request["to"])
        if "refused" in mischief:
            exchange.refused.append({"callId": call_id, "number": request["to"]})
            return self._answer(422, {"reason": "invalid_number"})
        if refuse := self._refusal(mischief, dice):
            return refuse()
        line = exchange.place(request, time.time(), dice)
        self.server.play(line, request.get("callbackUrl") or "", mischief, dice)
        if "early" in mischief:
            time.sleep(line.ends_at - line.placed_at + 0.2)
        if "slow" in mischief:
            time.sleep(dice.uniform(0.5, SLOWEST_SECONDS))
        if "error_after" in mischief:
            return self._answer(dice.choice([500, 502]), {"reason": "mischief"})
        if "dropped_after" in mischief:
            return self._drop()
        return self._taken(line)

    def _refusal(self, mischief: set[str], dice: random.Random) -> Callable[[], None] | None:
        """What is done instead of taking the call."""
        if "turned_away" in mischief:
            return lambda: self._answer(dice.choice([429, 503]), {"reason": "not_now"})
        if "error_before" in mischief:
            return lambda: self._answer(dice.choice([500, 502]), {"reason": "mischief"})
        return self._drop if "dropped_before" in mischief else None

    def _taken(self, line: Line) -> None:
        self._answer(201, {"id": line.provider_call_id, "from": NUMBER_FROM})

    def _unknown(self) -> None:
        self._answer(404, {"reason": "unknown_call"})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _is_signed(self, body: bytes) -> bool:
        """True, or False and answered."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = signature_fault(self.server.secret, headers, body, self.server.tolerance)
        if fault:
            self.server.exchange.note(f"refused: {fault}")
            self._answer(401, {"reason": fault})
        return fault is None

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        # In one piece: two would wait for each other's acknowledgement.
        with suppress(OSError):
            self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the record tells."""


def main() -> None:
    tie_process_tree()
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--seed", default="")
    parser.add_argument("--tolerance", type=float, default=300)
    parser.add_argument("--mischief", action="store_true")
    options = parser.parse_args()
    exchange = Exchange(options.seed, MISCHIEF if options.mischief else {})
    server = FarSide(options.port, options.secret, exchange, options.tolerance)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever(0.5)


if __name__ == "__main__":
    main()
