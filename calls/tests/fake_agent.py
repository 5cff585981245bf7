"""An agent of the protocol `http` whose calls a test moves: it keeps what it took, says so when it
is looked up, and makes the signed events that it would send.
"""

import json
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Event as Flag
from threading import Lock
from typing import Any, Self
from uuid import UUID

from calls.statuses import CallStatus
from calls.tests.far_side import SECRET, Asked, Drops, FarSide, Hangs, Says
from calls.webhooks.signing import find_fault, signed_headers
from campaigns.clock import followed_now
from contacts.times import iso

Message = tuple[dict[str, str], bytes]
NUMBER = "+12025550100"
UNKNOWN = Says(404, {"reason": "unknown_call"})


@dataclass(frozen=True, slots=True)
class Throttles:
    """429, with the seconds to wait."""

    retry_after: int

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        handler.send_response(429)
        handler.send_header("Content-Length", "0")
        handler.send_header("Retry-After", str(self.retry_after))
        handler.end_headers()


Fault = Says | Drops | Hangs | Throttles

FAULTS: dict[str, Fault] = {
    "unauthorized": Says(401),
    "no_credit": Says(402, {"reason": "no_credit"}),
    "forbidden": Says(403),
    "not_found": Says(404),
    "invalid_number": Says(422, {"reason": "invalid_number"}),
    "throttled": Says(429),
    "throttled_for_a_while": Throttles(30),
    "server_error": Says(500),
    "unavailable": Says(503),
    "garbage": Says(200, b"<html>It works!</html>"),
    "closed": Drops(),
    "silence": Hangs(),
}


@dataclass(slots=True)
class TakenCall:
    id: str
    request: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return any(event["type"] == "ended" for event in self.events)


class FakeAgent:
    """Serves inside its `with` block. `calls` holds what was placed, by our id; `asked` is what
    came in.
    """

    def __init__(self) -> None:
        self.calls: dict[UUID, TakenCall] = {}
        self._faults: list[tuple[Fault, bool]] = []
        self._lock = Lock()
        self._far_side = FarSide()
        self._far_side.answer = self._answer  # type: ignore[assignment]

    def __enter__(self) -> Self:
        self._far_side.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._far_side.__exit__(*failure)

    @property
    def asked(self) -> list[Asked]:
        return self._far_side.asked

    def account_fields(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The settings and the credentials of an account here."""
        return {"url": self._far_side.url}, {"secret": SECRET}

    def answer_next(self, fault: Fault | str, *, takes_call: bool = False) -> None:
        """Answer the next request so, or as the fault of that name. `takes_call`: what is asked
        for is done before.
        """
        self._faults.append((FAULTS[fault] if isinstance(fault, str) else fault, takes_call))

    # What happens to a call; `attempt_id` is ours. Each gives the message that tells of it.

    def ring(self, attempt_id: UUID) -> Message:
        return self._happens(attempt_id, "ringing")

    def answer(self, attempt_id: UUID) -> Message:
        return self._happens(attempt_id, "answered")

    def end(self, attempt_id: UUID, status: str = CallStatus.COMPLETED, **told: Any) -> Message:
        """`told`: fields of the ending."""
        ending = {"status": status, "reason": f"told_{status}"} | told
        return self._happens(attempt_id, "ended", ending=ending)

    def message(self, event: dict[str, Any], secret: str = SECRET) -> Message:
        """An event as it would come in just now, by the platform's clock."""
        body = json.dumps(event).encode()
        stamp = int(followed_now().timestamp())
        return signed_headers([secret], event["id"], stamp, body), body

    def forge(self, message: Message) -> Message:
        """The message, signed by somebody who does not know the secret."""
        return self.message(json.loads(message[1]), "whsec_" + "A" * 32)

    def _happens(self, attempt_id: UUID, kind: str, **more: Any) -> Message:
        call = self.calls[attempt_id]
        event = {
            "id": f"evt_{attempt_id}_{len(call.events)}",
            "type": kind,
            "callId": str(attempt_id),
            "providerCallId": call.id,
            "at": iso(followed_now()),
            "from": NUMBER,
        }
        call.events.append(event | more)
        return self.message(event | more)

    # What it is asked.

    def _answer(self, asked: Asked) -> Fault:
        with self._lock:
            fault, is_done = self._faults.pop(0) if self._faults else (None, True)
            answer = self._serve(asked) if is_done else Says(500)
            return fault or answer

    def _serve(self, asked: Asked) -> Fault:
        # The platform's clock may have travelled: of the signature only the key matters here.
        sent_at = float(asked.headers.get("webhook-timestamp", time.time()))
        if find_fault(SECRET, asked.headers, asked.body, sent_at):
            return FAULTS["unauthorized"]
        match asked.path.strip("/").split("/"):
            case ["calls"]:
                return self._place(json.loads(asked.body))
            case ["calls", told] if call := self.calls.get(UUID(told)):
                return Says(200, {"id": call.id, "from": NUMBER, "events": call.events})
            case ["calls", told, "cancel"] if call := self.calls.get(UUID(told)):
                if not call.is_over:
                    self.end(UUID(told), CallStatus.FAILED, reason="hung_up")
                return Says(200, {})
        return UNKNOWN

    def _place(self, request: dict[str, Any]) -> Fault:
        attempt_id = UUID(request["callId"])
        call = self.calls.setdefault(attempt_id, TakenCall(f"agent-{attempt_id}", request))
        return Says(200, {"id": call.id, "from": NUMBER})
