"""Vapi for tests: a real HTTP server on loopback that behaves as its documentation says."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from threading import Event as Flag
from threading import Lock
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import httpx2

from calls.statuses import CallStatus
from calls.tests.far_side import Asked, Drips, Drops, FarSide, Hangs, Says
from contacts.times import iso

KEY = "5f0c1d2e-private-key"
TOKEN = "a-token-of-events"
NUMBER_ID = "0b5f9e9c-2f0c-4c53-9d06-6d7b1f3e1a01"
CREDENTIAL_ID = "1c6f0f0d-3f1d-4d64-8e17-7e8c2f4f2b02"
NUMBER = "+12025550100"

Fault = Says | Hangs | Drips | Drops
Message = tuple[dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class SaysWith(Says):
    """An answer with headers of its own."""

    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        handler.send_response(self.status)
        for name, value in {**self.headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


FAULTS: dict[str, Fault] = {
    "unauthorized": Says(401, {"message": "Invalid Key.", "statusCode": 401}),
    "no_credit": Says(402, {"message": "Payment required.", "statusCode": 402}),
    "forbidden": Says(403, {"message": "Forbidden resource", "statusCode": 403}),
    "not_found": Says(404, {"message": "Not Found", "statusCode": 404}),
    "throttled": Says(429, {"message": "Too many requests", "statusCode": 429}),
    "throttled_for_a_while": SaysWith(429, {"statusCode": 429}, {"Retry-After": "30"}),
    "server_error": Says(500, {"message": "Internal server error", "statusCode": 500}),
    "unavailable": Says(503),
    "invalid_number": Says(
        400,
        {
            "message": ["customer.number must be a valid phone number in the E.164 format."],
            "statusCode": 400,
        },
    ),
    "garbage": Says(200, b"<html>"),
    "closed": Drops(),
    "silence": Hangs(),
}
REASONS = {
    CallStatus.COMPLETED: "customer-ended-call",
    CallStatus.NO_ANSWER: "customer-did-not-answer",
    CallStatus.BUSY: "customer-busy",
    CallStatus.VOICEMAIL: "voicemail",
    CallStatus.REJECTED: "call.in-progress.error-providerfault-outbound-sip-603-decline",
    CallStatus.INVALID_NUMBER: "twilio-reported-customer-misdialed",
    CallStatus.CANCELLED: "manually-canceled",
    CallStatus.FAILED: "call.in-progress.error-vapifault-worker-not-available",
}
PICKED_UP = (CallStatus.COMPLETED, CallStatus.VOICEMAIL)
TRANSCRIPT = "Agent: Hello.\nCustomer: Hello, I pay on Sunday.\n"


class FakeVapi:
    """Listens on a free port inside its `with` block. `calls` holds, by our id, what was placed;
    `scheme` is how it proves its events: bearer or hmac. With `posts_events` it also sends them to
    the address that a call was placed with.
    """

    def __init__(self, scheme: str = "hmac", *, posts_events: bool = False) -> None:
        self._far_side = _FarSide()
        self._far_side.answer = self._answer
        self.url, self.asked = self._far_side.url, self._far_side.asked
        self._lock = Lock()
        self.scheme, self.posts_events = scheme, posts_events
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.calls: dict[UUID, dict[str, Any]] = {}
        self.numbers = {NUMBER_ID: {"id": NUMBER_ID, "provider": "twilio", "number": NUMBER}}
        self.ends_when_told = True
        self._faults: list[tuple[Fault, bool]] = []

    def __enter__(self) -> Self:
        self._far_side.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._far_side.__exit__()

    # --- What tests do -------------------------------------------------------------------------

    def account_fields(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The settings and the credentials of an account with this server."""
        settings = {"baseUrl": self.url, "phoneNumberId": NUMBER_ID, "webhookScheme": self.scheme}
        if self.scheme == "hmac":
            settings["credentialId"] = CREDENTIAL_ID
        return settings, {"apiKey": KEY, "webhookSecret": TOKEN}

    def answer_next(self, fault: Fault | str, *, takes_call: bool = False) -> None:
        """Answer the next request so; `takes_call`: a call in it is taken all the same."""
        self._faults.append((FAULTS[fault] if isinstance(fault, str) else fault, takes_call))

    def ring(self, attempt_id: UUID) -> Message:
        return self._move(attempt_id, "ringing")

    def answer(self, attempt_id: UUID) -> Message:
        self.calls[attempt_id]["startedAt"] = iso(self.now())
        return self._move(attempt_id, "in-progress")

    def end(
        self,
        attempt_id: UUID,
        status: CallStatus = CallStatus.COMPLETED,
        *,
        reason: str = "",
        seconds: float = 42,
        said: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Message:
        """The report of a call that is over. `said`: the structured data; `fields` stand in the
        call as they are.
        """
        call = self.calls[attempt_id]
        now = self.now()
        call |= {"status": "ended", "endedReason": reason or REASONS[status], "endedAt": iso(now)}
        call |= {"cost": 0.0213, "analysis": {}, "artifact": {}}
        if status in PICKED_UP:
            call["startedAt"] = iso(now - timedelta(seconds=seconds))
        if status is CallStatus.COMPLETED:
            call["analysis"] = {"summary": "They pay.", "structuredData": dict(said or {})}
            url = "https://storage.vapi.ai/recording.wav"
            call["artifact"] = {"transcript": TRANSCRIPT, "recordingUrl": url}
        call |= fields
        call["updatedAt"] = iso(now)
        names = ("endedReason", "analysis", "artifact", "cost", "startedAt", "endedAt")
        told = {name: call[name] for name in names if name in call}
        return self.tell(call, "end-of-call-report", **told)

    def tell(self, call: Mapping[str, Any], kind: str, **fields: Any) -> Message:
        """A message about a call, proven as the account says."""
        message = {
            "type": kind,
            "timestamp": int(self.now().timestamp() * 1000),
            "phoneNumber": self.numbers[NUMBER_ID],
            "customer": call["customer"],
            "assistant": call["assistant"],
            "call": {n: v for n, v in call.items() if n not in {"analysis", "artifact"}},
            **fields,
        }
        body = json.dumps({"message": message}, ensure_ascii=False).encode()
        headers = self.prove(body)
        url = call["assistant"].get("server", {}).get("url")
        if self.posts_events and url:
            httpx2.post(url, content=body, headers=headers, trust_env=False)
        return headers, body

    def prove(self, body: bytes, secret: str = TOKEN, at: float | None = None) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if self.scheme == "bearer":
            return headers | {"x-vapi-secret": secret}
        stamp = str(int((time.time() if at is None else at) * 1000))
        signed = stamp.encode() + b"." + body
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return headers | {"x-timestamp": stamp, "x-signature": digest}

    def forge(self, message: Message) -> Message:
        """The same message from somebody who does not know the secret."""
        return self.prove(message[1], secret="somebody else's"), message[1]

    # --- What it answers -----------------------------------------------------------------------

    def _answer(self, asked: Asked) -> Fault:
        with self._lock:
            fault, takes_call = self._faults.pop(0) if self._faults else (None, True)
            answer = self._right_answer(asked) if takes_call else None
        if fault is not None:
            return fault
        if answer is None:
            raise AssertionError("nothing to answer")
        return answer

    def _right_answer(self, asked: Asked) -> Says:
        url = urlsplit(asked.path)
        if url.path.startswith("/control/"):
            return self._control(url.path.removeprefix("/control/"), asked.body)
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return Says(401, {"message": "Invalid Key.", "statusCode": 401})
        kind, _slash, identity = url.path.strip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match asked.method, kind, identity:
            case "POST", "call", "":
                return self._create(json.loads(asked.body))
            case "GET", "call", "":
                return self._list(query)
            case "GET", "phone-number", "":
                return Says(200, list(self.numbers.values()))
            case "GET", "phone-number", _:
                return self._found(self.numbers.get(identity))
            case "GET", "call", _:
                return self._found(self._by_id(identity))
            case "DELETE", "call", _:
                return self._delete(identity)
        return Says(404, {"message": f"Cannot {asked.method}", "statusCode": 404})

    def _create(self, body: dict[str, Any]) -> Says:
        if not _is_e164(body["customer"]["number"]):
            return _refused(["customer.number must be a valid phone number in the E.164 format."])
        if body.get("phoneNumberId") not in self.numbers:
            return _refused("Phone Number Not Found.")
        call_id, now = str(uuid4()), iso(self.now())
        call = body | {
            "id": call_id,
            "orgId": str(uuid4()),
            "type": "outboundPhoneCall",
            "status": "queued",
            "createdAt": now,
            "updatedAt": now,
            "monitor": {"controlUrl": f"{self.url}/control/{call_id}"},
        }
        self.calls[UUID(body["assistant"]["metadata"]["attemptId"])] = call
        return Says(201, call)

    def _list(self, query: Mapping[str, str]) -> Says:
        since, until = query.get("createdAtGe", ""), query.get("createdAtLe", "9")
        limit = int(query.get("limit", "100"))
        newest = sorted(self.calls.values(), key=lambda call: str(call["createdAt"]), reverse=True)
        return Says(200, [c for c in newest if since <= c["createdAt"] <= until][:limit])

    def _control(self, call_id: str, body: bytes) -> Says:
        call = self._by_id(call_id)
        if call is None or call["status"] == "ended" or json.loads(body) != {"type": "end-call"}:
            return Says(404)
        if self.ends_when_told:
            ended = {"status": "ended", "endedReason": "manually-canceled"}
            call |= ended | {"endedAt": iso(self.now())}
        return Says(200)

    def _delete(self, call_id: str) -> Says:
        for attempt_id, call in list(self.calls.items()):
            if call["id"] == call_id:
                return Says(200, self.calls.pop(attempt_id))
        return self._found(None)

    def _by_id(self, call_id: str) -> dict[str, Any] | None:
        return next((call for call in self.calls.values() if call["id"] == call_id), None)

    def _found(self, what: Any) -> Says:
        return (
            Says(404, {"message": "Not found", "statusCode": 404})
            if what is None
            else Says(200, what)
        )

    def _move(self, attempt_id: UUID, status: str) -> Message:
        call = self.calls[attempt_id]
        call |= {"status": status, "updatedAt": iso(self.now())}
        return self.tell(call, "status-update", status=status)


class _FarSide(FarSide):
    """One that calls can be deleted at."""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        handler = super()._handler()
        handler.do_DELETE = handler.do_POST  # type: ignore[attr-defined]
        return handler


def _refused(message: str | list[str]) -> Says:
    return Says(400, {"message": message, "error": "Bad Request", "statusCode": 400})


def _is_e164(number: str) -> bool:
    return number.startswith("+") and number[1:].isdigit() and 8 <= len(number) <= 16
