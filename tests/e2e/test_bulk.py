"""Bulk requests through real web and worker processes, to the last webhook."""

import json
import os
import re
from collections import Counter
from typing import Any

import httpx2
import pytest

from collections_platform.ops.webhook_receiver import WebhookReceiver
from tests.processes import Platform, wait_until

pytestmark = pytest.mark.workers
TROUBLE = re.compile(r"ERROR|CRITICAL|Traceback|database is locked|WARNING")
# What each mode is to be drained in; the test is of completeness, not of speed.
DRAIN_SECONDS = 240


def bulk_request(count: int) -> bytes:
    contacts = [
        {
            "numberToCall": f"+96650{number:07d}",
            "firstName": "أحمد",
            "metadata": {"number": number},
            "promptTags": {"amount": f"{number} SAR", "due_date": "January 15, 2026"},
        }
        for number in range(count)
    ]
    return json.dumps({"contacts": contacts, "batchSize": 100}).encode()


def prepare(platform: Platform, receiver: WebhookReceiver) -> str:
    """Demo data and a webhook endpoint; returns the endpoint's secret."""
    platform.environment |= {"DEMO": "1", "LOG_LEVEL": "DEBUG"}
    platform.manage("load_demo_data")
    return str(json.loads(platform.manage("add_webhook_endpoint", receiver.url))["secret"])


def post_bulk(platform: Platform, url: str, body: bytes) -> Any:
    client = json.loads(platform.manage("create_api_client", "test"))
    token = httpx2.post(f"{url}/auth/v1/api-key/auth", json=client).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    path = f"{url}/ai/phone-calls/action/call-bulk"
    answer = httpx2.post(path, content=body, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()


def webhook_ids(receiver: WebhookReceiver) -> set[str]:
    return {request.headers["webhook-id"] for request in list(receiver.received)}


def counts(platform: Platform) -> dict[str, int]:
    expression = "CallLog.objects.counts()['status']"
    return dict(platform.evaluate(expression))


def assert_each_was_placed_once(platform: Platform, call_ids: set[str]) -> None:
    placed = Counter(re.findall(r"Placing call (\S+)", platform.log.read_text()))
    assert set(placed) <= call_ids
    assert set(placed.values()) == {1}
    skipped = counts(platform).get("skipped", 0)
    assert len(placed) + skipped == len(call_ids)


def assert_no_trouble(platform: Platform) -> None:
    trouble = [line for line in platform.log.read_text().splitlines() if TROUBLE.search(line)]
    assert trouble == []


def test_two_workers_place_each_of_2000_calls_once_and_tell_of_each(
    platform: Platform, receiver: WebhookReceiver
) -> None:
    secret = prepare(platform, receiver)
    for _ in range(2):
        platform.start_worker()
    answer = post_bulk(platform, platform.start_web(), bulk_request(2000))
    call_ids = {call["callId"] for call in answer["calls"]}
    assert len(call_ids) == 2000

    wait_until(lambda: len(webhook_ids(receiver)) >= 2000, DRAIN_SECONDS)
    wait_until(
        lambda: platform.evaluate("Campaign.objects.get().status") == "completed", DRAIN_SECONDS
    )
    platform.stop()

    assert sum(counts(platform).values()) == 2000
    assert platform.evaluate("CallLog.objects.exclude(ended_at=None).count()") == 2000
    assert_each_was_placed_once(platform, call_ids)
    assert all(request.is_signed_with(secret) for request in receiver.received)
    told = Counter(json.loads(request.body)["data"]["callId"] for request in receiver.received)
    assert set(told) == call_ids
    assert set(told.values()) == {1}
    numbers = {
        json.loads(request.body)["data"]["metadata"]["requestMetadata"]["number"]
        for request in receiver.received
    }
    assert numbers == set(range(2000))
    assert platform.evaluate("WebhookDelivery.objects.pending().count()") == 0
    assert_no_trouble(platform)


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="speaks of SQLite")
def test_sqlite_takes_and_drains_10000_calls_without_an_error_in_any_log(
    platform: Platform, receiver: WebhookReceiver, tmp_path
) -> None:
    prepare(platform, receiver)
    platform.start_worker()
    file = tmp_path / "request.json"
    file.write_bytes(bulk_request(10_000))
    done = platform.run("call_bulk", str(file), "--wait")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["calls"]) == 10_000
    wait_until(lambda: len(webhook_ids(receiver)) >= 10_000, DRAIN_SECONDS)
    platform.stop()
    assert sum(counts(platform).values()) == 10_000
    assert_no_trouble(platform)
