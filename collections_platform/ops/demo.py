"""The demo: the example request goes in over HTTP, signed webhooks come back."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2
from django.utils import timezone

from calls.models import ProviderAccount, WebhookEndpoint
from calls.webhooks.addresses import is_in_allowed_networks
from collections_platform.api.models import ApiClient, SecretRefused
from collections_platform.api.openapi.examples import BULK_REQUEST
from collections_platform.ops.demo_data import TEMPLATE_ID
from collections_platform.ops.processes import TICK_SECONDS, Child, stop_children
from collections_platform.ops.supervisor import MANAGE, is_ready
from collections_platform.ops.webhook_receiver import Received, WebhookReceiver
from templates.models import AISettingsTemplate

NAME = "demo"
START_SECONDS = 60
STOP_SECONDS = 30
WAIT_SECONDS = 60


class DemoFailed(Exception):
    """What is missing or wrong, in one sentence."""


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one call."""

    number: str
    status: str
    outcome: str
    duration: int
    webhook: str


def check_that_nobody_is_called() -> None:
    """Raise `DemoFailed` unless calls are simulated and the demo's template is there."""
    provider = ProviderAccount.objects.default().provider
    if provider != "simulated":
        raise DemoFailed(f"The demo places only simulated calls; this provider is “{provider}”.")
    if not AISettingsTemplate.objects.filter(pk=TEMPLATE_ID).exists():
        raise DemoFailed("The demo's template is missing: run `DEMO=1 make demo`.")
    if not is_in_allowed_networks(ip_address("127.0.0.1")):
        raise DemoFailed(
            "The demo's receiver is on this machine: add 127.0.0.0/8 to WEBHOOK_ALLOWED_NETWORKS."
        )


@contextmanager
def platform(url: str, start: bool) -> Iterator[None]:
    """The platform answers at `url` inside the block: the one that runs there, or, with `start`,
    one that ends with the block.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    if is_ready(host, port):
        yield
        return
    if not start:
        raise DemoFailed(f"Nothing answers at {url}: start the platform with `make run`.")
    serve = [*MANAGE, "serve", "--host", host, "--port", str(port)]
    server = Child("platform", serve, stdout=subprocess.DEVNULL)
    try:
        server.start()
        deadline = time.monotonic() + START_SECONDS
        while not is_ready(host, port):
            if not server.is_running or time.monotonic() > deadline:
                raise DemoFailed(f"The platform did not start at {url}.")
            time.sleep(TICK_SECONDS)
        yield
    finally:
        stop_children([server], STOP_SECONDS)


def run_example(url: str, report: Callable[[int, int], None]) -> list[Row]:
    """Send the example and wait for its webhooks; `report` hears how many of how many came.

    Raises `DemoFailed`.
    """
    with (
        WebhookReceiver() as receiver,
        _endpoint(receiver.url) as webhook_secret,
        _credentials() as credentials,
        httpx2.Client(base_url=url, timeout=30, trust_env=False) as http,
    ):
        token = _ask(http, "POST", "/auth/v1/api-key/auth", json=credentials)["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        accepted = _ask(http, "POST", "/ai/phone-calls/action/call-bulk", json=BULK_REQUEST)
        webhooks = _wait(receiver, [call["callId"] for call in accepted["calls"]], report)
        return [
            _row(call, _ask(http, "GET", f"/ai/phone-calls/{call['callId']}"), webhook)
            for call in accepted["calls"]
            for webhook in [_verdict(webhooks.get(call["callId"]), webhook_secret)]
        ]


def _ask(http: httpx2.Client, method: str, path: str, **request: Any) -> dict[str, Any]:
    try:
        answer = http.request(method, path, **request)
    except httpx2.HTTPError as error:
        raise DemoFailed(f"{method} {path} failed: {type(error).__name__}.") from error
    if not answer.is_success:
        raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
    body: dict[str, Any] = answer.json()
    return body


def _wait(
    receiver: WebhookReceiver, call_ids: list[str], report: Callable[[int, int], None]
) -> dict[str, Received]:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        by_call = {_data(webhook)["callId"]: webhook for webhook in list(receiver.received)}
        found = {call_id: by_call[call_id] for call_id in call_ids if call_id in by_call}
        report(len(found), len(call_ids))
        if len(found) == len(call_ids) or time.monotonic() > deadline:
            return found
        time.sleep(TICK_SECONDS)


def _data(webhook: Received) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(webhook.body)["data"]
    return data


def _verdict(webhook: Received | None, secret: str) -> str:
    if webhook is None:
        return "MISSING"
    return "verified" if webhook.is_signed_with(secret) else "WRONG SIGNATURE"


def _row(call: dict[str, Any], now: dict[str, Any], webhook: str) -> Row:
    number = call["numberToCall"]
    return Row(number, now["status"], now["callOutput"], now["duration"], webhook)


@contextmanager
def _credentials() -> Iterator[dict[str, str]]:
    """What buys a token for the API client `demo` inside the block, for an hour at most."""
    client, _ = ApiClient.objects.get_or_create(name=NAME)
    _revoke_secrets(client)
    try:
        secret = client.add_secret(expires_at=timezone.now() + timedelta(hours=1))
    except SecretRefused as error:
        raise DemoFailed(f"The API client “{NAME}” gets no secret. {error}") from error
    try:
        yield {"clientId": str(client.pk), "clientSecret": secret}
    finally:
        _revoke_secrets(client)


def _revoke_secrets(client: ApiClient) -> None:
    client.secrets.filter(revoked_at=None).update(revoked_at=timezone.now())


@contextmanager
def _endpoint(url: str) -> Iterator[str]:
    """The only secret of the webhook endpoint `demo`, which is enabled inside the block."""
    endpoint = WebhookEndpoint.objects.filter(description=NAME).first()
    endpoint = endpoint or WebhookEndpoint(description=NAME)
    endpoint.url = url
    endpoint.enable()
    endpoint.save()
    endpoint.secrets.all().delete()
    try:
        yield endpoint.add_secret()
    finally:
        endpoint.disable()
        endpoint.save(update_fields=["disabled_at", "failing_since"])
