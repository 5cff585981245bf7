"""How soon real workers do what is asked: from the button to the last dial, and to the next."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from calls.tests.far_side import SECRET, Asked, FarSide, Says
from calls.webhooks.signing import signed_headers
from tests.processes import Platform, free_port, wait_until

pytestmark = pytest.mark.workers
CALLS = 600
IN_FORCE_WITHIN = 2.0


class Agent(FarSide):
    """Takes every call after a moment, and tells of no end by itself: `end` does."""

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: dict[str, str] = {}
        self.placed: dict[str, float] = {}
        self.cancelled: set[str] = set()
        self.answer = self.take

    def take(self, asked: Asked) -> Says:
        match asked.path.strip("/").split("/"):
            case ["calls"]:
                body = json.loads(asked.body)
                call_id = body["callId"]
                self.callbacks[call_id] = body["callbackUrl"]
                self.placed[call_id] = time.monotonic()
                time.sleep(0.2)
                return Says(200, {"id": f"a-{call_id}", "from": "+12025550100"})
            case ["calls", call_id, "cancel"] if call_id in self.placed:
                self.cancelled.add(call_id)
                return Says(200, {})
            case ["calls", call_id] if call_id in self.placed:
                return Says(200, {"id": f"a-{call_id}", "from": "+12025550100", "events": []})
        return Says(404, {"reason": "unknown_call"})

    def end(self, call_id: str) -> float:
        """Tell that nobody answered; return when the platform had noted it."""
        event: dict[str, Any] = {
            "id": f"evt_{call_id}",
            "type": "ended",
            "callId": call_id,
            "providerCallId": f"a-{call_id}",
            "at": datetime.now(UTC).isoformat(),
            "ending": {"status": "no_answer", "reason": "rang_out"},
        }
        body = json.dumps(event).encode()
        headers = signed_headers([SECRET], event["id"], int(time.time()), body)
        headers["content-type"] = "application/json"
        answer = httpx2.post(self.callbacks[call_id], content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return time.monotonic()


@pytest.fixture
def agent(platform: Platform) -> Iterator[Agent]:
    """An agent, and the account that reaches it as the platform's default."""
    with Agent() as agent:
        fields = {
            "name": "agent",
            "provider": "http",
            "is_default": True,
            "settings": {"url": agent.url},
            "credentials": json.dumps({"secret": SECRET}),
        }
        platform.evaluate(f"ProviderAccount.objects.create(**{fields!r}).pk")
        platform.evaluate(
            "AISettingsTemplate.objects.create(name='t', is_default=True)"
            ".revise(system_prompt='You call {{numberToCall}}.').pk"
        )
        yield agent


@pytest.fixture
def api(platform: Platform) -> Iterator[httpx2.Client]:
    """The API with a token; calls are to be told of at its address."""
    port = free_port()
    platform.environment["PUBLIC_URL"] = f"http://127.0.0.1:{port}"
    known = json.loads(platform.manage("create_api_client", "test"))
    with httpx2.Client(base_url=platform.start_web(port), timeout=60) as client:
        answer = client.post("/auth/v1/api-key/auth", json=known).json()
        client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        yield client


def test_pause_and_cancel_are_in_force_within_two_seconds_and_lose_nothing(
    platform: Platform, agent: Agent, api: httpx2.Client
) -> None:
    platform.start_worker()
    contacts = [{"numberToCall": f"+96650{number:07d}"} for number in range(CALLS)]
    launched = post(api, "/ai/phone-calls/action/call-bulk", {"contacts": contacts})
    campaign = f"/ai/campaigns/{launched['campaignId']}"

    wait_until(lambda: len(agent.placed) > 50, 60)
    paused_after = seconds_to_the_last_dial(api, campaign, "pause", agent)
    placed = len(agent.placed)
    assert paused_after < IN_FORCE_WITHIN
    assert placed < CALLS
    counts = api.get(campaign).json()["counts"]["status"]
    assert counts == {"dialing": placed, "queued": CALLS - placed}

    post(api, f"{campaign}/action/resume")
    wait_until(lambda: len(agent.placed) > placed + 20, 20)
    cancelled_after = seconds_to_the_last_dial(api, campaign, "cancel", agent)
    assert cancelled_after < IN_FORCE_WITHIN
    assert len(agent.placed) < CALLS
    wait_until(lambda: api.get(campaign).json()["status"] == "cancelled", 30)
    wait_until(lambda: agent.cancelled == set(agent.placed), 30)
    assert api.get(campaign).json()["counts"]["status"] == {"cancelled": CALLS}
    print(f"pause: last dial after {paused_after:.2f} s; cancel: {cancelled_after:.2f} s")


def test_a_freed_slot_is_used_within_two_seconds_and_no_slot_twice(
    platform: Platform, agent: Agent, api: httpx2.Client
) -> None:
    platform.evaluate("ProviderAccount.objects.update(max_live=3)")
    platform.start_worker()
    contacts = [{"numberToCall": f"+96650{number:07d}"} for number in range(12)]
    post(api, "/ai/phone-calls/action/call-bulk", {"contacts": contacts})
    waits, ended = [], set[str]()
    wait_until(lambda: len(agent.placed) == 3, 60)
    for placed in range(3, len(contacts)):
        call_id = next(call for call in agent.placed if call not in ended)
        ended.add(call_id)
        freed_at = agent.end(call_id)
        wait_until(lambda placed=placed: len(agent.placed) > placed, 20)  # type: ignore[misc]
        waits.append(max(agent.placed.values()) - freed_at)
        assert len(agent.placed) - len(ended) == 3
    print(f"a freed slot is used after {max(waits):.2f} s at most")
    assert max(waits) < IN_FORCE_WITHIN


def post(api: httpx2.Client, path: str, body: object = None) -> Any:
    answer = api.post(path, json=body)
    assert answer.is_success, answer.text
    return answer.json()


def seconds_to_the_last_dial(api: httpx2.Client, campaign: str, action: str, agent: Agent) -> float:
    """Press the button; when it is over for certain, say when the last call went out."""
    pressed = time.monotonic()
    post(api, f"{campaign}/action/{action}")
    time.sleep(2 * IN_FORCE_WITHIN)
    return max(0.0, max(agent.placed.values()) - pressed)
