"""Retell for tests: a real HTTP server on loopback that takes calls, tells of them and signs its
webhooks as the documentation says.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Event as Flag
from threading import Lock
from typing import Any, Self
from uuid import UUID

from calls.tests.far_side import Asked, Drops, FarSide, Hangs, Says

KEY, AGENT_ID, LLM_ID, NUMBER = (
    "key_93f1a0c4",
    "agent_oBeDLoLOeuAbiuaMF",
    "llm_234sdf",
    "+12025550100",
)
MISSING = "Cannot find requested asset under given api key."
Message = tuple[dict[str, str], bytes]

# How a call that we would call so has ended.
REASONS = {
    "completed": "user_hangup",
    "no_answer": "dial_no_answer",
    "busy": "dial_busy",
    "voicemail": "voicemail_reached",
    "rejected": "user_declined",
    "invalid_number": "invalid_destination",
    "failed": "dial_failed",
}


@dataclass(frozen=True, slots=True)
class Refuses:
    """An error in Retell's words; `retry_after` in seconds."""

    status: int
    message: str = "An unexpected server error occurred."
    retry_after: int | None = None

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        body = json.dumps({"status": "error", "message": self.message}).encode()
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(len(body)))
        if self.retry_after is not None:
            handler.send_header("Retry-After", str(self.retry_after))
        handler.end_headers()
        handler.wfile.write(body)


Fault = Refuses | Says | Drops | Hangs

FAULTS: dict[str, Fault] = {
    "unauthorized": Refuses(401, "API key is missing or invalid."),
    "no_credit": Refuses(402, "Trial has ended, please add payment method."),
    "forbidden": Refuses(403, "Forbidden"),
    "not_found": Refuses(404, "The requested resource was not found."),
    "invalid_number": Refuses(422, "to_number is not a valid E.164 number."),
    "throttled": Refuses(429, "Account rate limited, please throttle your requests."),
    "throttled_for_a_while": Refuses(429, "Account rate limited.", retry_after=30),
    "server_error": Refuses(500),
    "unavailable": Refuses(503),
    "garbage": Says(200, b"<html>It works!</html>"),
    "closed": Drops(),
    "silence": Hangs(),
}


class FakeRetell:
    """Listens inside its `with` block. `calls` are Retell's by our id; `asked` is what came in.

    `has_v3`: false for a Retell of before `/v3/list-calls`.
    """

    def __init__(self) -> None:
        self._far_side = FarSide()
        self._far_side.answer = self._answer  # type: ignore[assignment]
        self._calls: dict[str, dict[str, Any]] = {}
        self._faults: list[tuple[Fault, bool]] = []
        self._lock = Lock()
        self.has_v3 = True
        self.limit, self.current = 20, 3
        self.prompt, self.begin_message = "{{system_prompt}}", "{{ first_message }}"
        self.engine: dict[str, Any] = {"type": "retell-llm", "llm_id": LLM_ID, "version": 0}

    def __enter__(self) -> Self:
        self._far_side.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._far_side.__exit__(*failure)

    @property
    def url(self) -> str:
        return self._far_side.url

    @property
    def asked(self) -> list[Asked]:
        return self._far_side.asked

    def account_fields(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The settings and the credentials of an account here."""
        known = {"agent_id": AGENT_ID, "from_number": NUMBER, "base_url": self.url}
        return known, {"api_key": KEY}

    @property
    def calls(self) -> dict[UUID, dict[str, Any]]:
        return {UUID(call["metadata"]["attempt_id"]): call for call in self._calls.values()}

    def answer_next(self, fault: Fault | str, *, takes_call: bool = False) -> None:
        """Answer the next request so, or as the fault of that name. `takes_call`: what is asked
        for is done before.
        """
        self._faults.append((FAULTS[fault] if isinstance(fault, str) else fault, takes_call))

    # What happens to a call; `attempt_id` is ours. Each gives the webhook that tells of it.

    def ring(self, attempt_id: UUID) -> None:
        """Retell sends no webhook of it."""
        self.calls[attempt_id]["call_status"] = "registered"

    def answer(self, attempt_id: UUID) -> Message:
        call = self.calls[attempt_id]
        call |= {"call_status": "ongoing", "start_timestamp": _now()}
        return self.message("call_started", call)

    def end(self, attempt_id: UUID, status: str = "completed", **told: Any) -> Message:
        """`told`: fields of the call, such as `disconnection_reason`."""
        call = self.calls[attempt_id]
        start = call.get("start_timestamp")
        call |= {
            "call_status": "ended" if start else "not_connected",
            "end_timestamp": _now(),
            "disconnection_reason": REASONS[status],
        }
        if start:
            call |= {
                "duration_ms": 61_400,
                "transcript": "Agent: Hello\nUser: I will pay on Friday.\n",
                "recording_url": "https://retell.example/recording.wav",
                "call_cost": {
                    "product_costs": [{"product": "elevenlabs_tts", "cost": 12.35}],
                    "total_duration_seconds": 61,
                    "total_duration_unit_price": 0.2,
                    "combined_cost": 12.35,
                },
            }
        call |= told
        return self.message("call_ended", call)

    def analyze(self, attempt_id: UUID, outcome: str = "PROMISE_TO_PAY", **told: Any) -> Message:
        """`told`: fields of the analysis."""
        call = self.calls[attempt_id]
        call["call_analysis"] = {
            "call_summary": "The person promised to pay on Friday.",
            "user_sentiment": "Positive",
            "in_voicemail": False,
            "call_successful": True,
            "custom_analysis_data": {
                "outcome": outcome,
                "outcome_reasoning": "They named a day.",
                "call_back_at": "",
            },
        } | told
        return self.message("call_analyzed", call)

    def message(self, event: str, call: Mapping[str, Any], key: str = KEY) -> Message:
        """A webhook as it would come in just now."""
        body = json.dumps({"event": event, "call": call}).encode()
        return {"X-Retell-Signature": signature(key, body, _now())}, body

    def forge(self, message: Message) -> Message:
        """The message, signed by somebody who does not know the key."""
        return {"X-Retell-Signature": signature("key_guessed", message[1], _now())}, message[1]

    # The API.

    def _answer(self, asked: Asked) -> Fault:
        with self._lock:
            fault, is_done = self._faults.pop(0) if self._faults else (None, True)
            answer = self._serve(asked) if is_done else Says(500)
            return fault or answer

    def _serve(self, asked: Asked) -> Fault:
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return FAULTS["unauthorized"]
        body = json.loads(asked.body) if asked.body else {}
        for (method, pattern), serve in self._routes().items():
            found = re.fullmatch(pattern, asked.path)
            if found and method == asked.method:
                return serve(*found.groups()) if found.groups() else serve(body)
        return FAULTS["not_found"]

    def _routes(self) -> dict[tuple[str, str], Callable[[Any], Fault]]:
        lists = {("POST", "/v3/list-calls"): self._list} if self.has_v3 else {}
        return lists | {
            ("POST", "/v2/create-phone-call"): self._create,
            ("GET", "/v2/get-call/(.+)"): self._get,
            ("POST", "/v2/list-calls"): self._list_of_old,
            ("POST", "/v2/stop-call/(.+)"): self._stop,
            ("GET", "/get-agent/(.+)"): self._get_agent,
            ("GET", "/get-retell-llm/(.+)"): self._get_llm,
            ("GET", "/get-phone-number/(.+)"): self._get_number,
            ("GET", "/get-concurrency"): self._get_concurrency,
        }

    def _create(self, body: Any) -> Fault:
        variables = body.get("retell_llm_dynamic_variables", {})
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", body["to_number"]):
            return FAULTS["invalid_number"]
        if body["from_number"] != NUMBER or body["override_agent_id"] != AGENT_ID:
            return FAULTS["not_found"]
        if not all(isinstance(value, str) for value in variables.values()):
            return Refuses(400, "Invalid request format, please check API reference.")
        call_id = f"call_{len(self._calls):027x}"
        self._calls[call_id] = {
            "call_id": call_id,
            "call_type": "phone_call",
            "agent_id": AGENT_ID,
            "agent_version": 0,
            "call_status": "registered",
            "from_number": body["from_number"],
            "to_number": body["to_number"],
            "direction": "outbound",
            "metadata": body["metadata"],
            "retell_llm_dynamic_variables": variables,
        }
        return Says(201, self._calls[call_id])

    def _get(self, call_id: str) -> Fault:
        call = self._calls.get(call_id)
        return Says(200, call) if call else Refuses(422, MISSING)

    def _list(self, body: Any) -> Fault:
        [wanted] = body["filter_criteria"]["metadata"]
        assert (wanted["type"], wanted["op"]) == ("string", "eq")
        left_out = {"transcript", "recording_url"}
        found = [
            {name: told for name, told in call.items() if name not in left_out}
            for call in self._calls.values()
            if call["metadata"].get(wanted["key"]) == wanted["value"]
        ]
        return Says(200, {"items": found, "has_more": False})

    def _list_of_old(self, body: Any) -> Fault:
        wanted = body["filter_criteria"]["metadata.attempt_id"]
        calls = self._calls.values()
        return Says(200, [call for call in calls if call["metadata"]["attempt_id"] in wanted])

    def _stop(self, call_id: str) -> Fault:
        call = self._calls.get(call_id)
        if call is None:
            return Refuses(422, MISSING)
        if call["call_status"] not in {"registered", "ongoing"}:
            return Refuses(400, "Call is not ongoing.")
        call |= {
            "call_status": "ended" if call.get("start_timestamp") else "not_connected",
            "end_timestamp": _now(),
            "disconnection_reason": "manual_stopped",
        }
        return Says(204)

    def _get_agent(self, agent_id: str) -> Fault:
        if agent_id != AGENT_ID:
            return Refuses(422, MISSING)
        return Says(200, {"agent_id": AGENT_ID, "version": 0, "response_engine": self.engine})

    def _get_llm(self, llm_id: str) -> Fault:
        prompts = {"general_prompt": self.prompt, "begin_message": self.begin_message}
        return Says(200, {"llm_id": llm_id} | prompts)

    def _get_number(self, number: str) -> Fault:
        is_ours = number == NUMBER.replace("+", "%2B")
        return Says(200, {"phone_number": NUMBER}) if is_ours else Refuses(422, MISSING)

    def _get_concurrency(self, _body: Any) -> Fault:
        told = {"current_concurrency": self.current, "concurrency_limit": self.limit}
        return Says(200, told)


def signature(key: str, body: bytes, milliseconds: int) -> str:
    told = body + str(milliseconds).encode()
    return f"v={milliseconds},d={hmac.new(key.encode(), told, hashlib.sha256).hexdigest()}"


def _now() -> int:
    return int(time.time() * 1000)
