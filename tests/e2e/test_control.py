"""From the button to the last dial: pausing, resuming and cancelling with real workers."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from calls.tests.far_side import SECRET, Asked, FarSide, Says
from tests.processes import Platform, wait_until

pytestmark = pytest.mark.workers
CALLS = 600
IN_FORCE_WITHIN = 2.0


class Agent(FarSide):
    """Takes every call after a moment, and tells nothing of it; its callers are never answered."""

    def __init__(self) -> None:
        super().__init__()
        self.placed: dict[str, float] = {}
        self.cancelled: set[str] = set()
        self.answer = self.take

    def take(self, asked: Asked) -> Says:
        match asked.path.strip("/").split("/"):
            case ["calls"]:
                call_id = json.loads(asked.body)["callId"]
                self.placed[call_id] = time.monotonic()
                time.sleep(0.2)
                return Says(200, {"id": f"a-{call_id}", "from": "+12025550100"})
            case ["calls", call_id, "cancel"] if call_id in self.placed:
                self.cancelled.add(call_id)
                return Says(200, {})
            case ["calls", call_id] if call_id in self.placed:
                return Says(200, {"id": f"a-{call_id}", "from": "+12025550100", "events": []})
        return Says(404, {"reason": "unknown_call"})


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
    known = json.loads(platform.manage("create_api_client", "test"))
    with httpx2.Client(base_url=platform.start_web(), timeout=60) as client:
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
