"""An endpoint has up to two live secrets, and each of them signs."""

import base64
import hashlib
import hmac
import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import standardwebhooks
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from calls.models import WebhookEndpoint
from calls.models.webhook import generate_secret
from calls.tests.factories import make_endpoint
from calls.tests.test_webhooks import make_delivery
from calls.webhooks.delivery import deliver_webhooks
from campaigns.clock import database_now

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def live_secrets(endpoint: WebhookEndpoint) -> list[str]:
    live = endpoint.secrets.live(database_now()).order_by("-created_at")
    return [secret.value for secret in live]


def is_signed_by_svix_rules(secret: str, headers: Any, body: bytes) -> bool:
    """https://docs.svix.com/receiving/verifying-payloads/how-manual, on the raw body."""
    content = f"{headers['svix-id']}.{headers['svix-timestamp']}.".encode() + body
    key = base64.b64decode(secret.split("_")[1])
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    versions = [signature.split(",") for signature in headers["svix-signature"].split(" ")]
    return ["v1", expected] in versions


def new_secret_page(endpoint: WebhookEndpoint) -> str:
    return reverse("admin:calls_webhookendpoint_new_secret", args=[endpoint.pk])


def test_a_secret_is_whsec_and_base64_of_32_random_bytes() -> None:
    secrets = {generate_secret() for _ in range(20)}
    assert len(secrets) == 20
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret[6:], validate=True)) == 32


def test_every_live_secret_signs_and_both_standards_accept_each(receiver) -> None:
    endpoint = make_endpoint(url=receiver.url)
    endpoint.add_secret()
    new, old = live_secrets(endpoint)
    delivery = make_delivery(endpoint)
    deliver_webhooks()
    (request,) = receiver.received
    assert request.headers["webhook-signature"].count("v1,") == 2
    for secret in (new, old):
        assert standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))
        assert is_signed_by_svix_rules(secret, request.headers, request.body)
    assert not is_signed_by_svix_rules(generate_secret(), request.headers, request.body)
    assert not is_signed_by_svix_rules(new, request.headers, request.body + b" ")
    assert request.headers["svix-id"] == str(delivery.pk)
    for name in ("id", "timestamp", "signature"):
        assert request.headers[f"svix-{name}"] == request.headers[f"webhook-{name}"]


def test_the_old_secret_signs_for_24_hours_and_then_stops(receiver, let_pass) -> None:
    endpoint = make_endpoint(url=receiver.url)
    (old,) = live_secrets(endpoint)
    new = endpoint.add_secret()
    let_pass(hours=23, minutes=59)
    assert live_secrets(endpoint) == [new, old]
    let_pass(minutes=2)
    assert live_secrets(endpoint) == [new]
    make_delivery(endpoint)
    deliver_webhooks()
    (request,) = receiver.received
    assert is_signed_by_svix_rules(new, request.headers, request.body)
    assert not is_signed_by_svix_rules(old, request.headers, request.body)


def test_at_most_two_secrets_are_live() -> None:
    endpoint = make_endpoint()
    made = [endpoint.add_secret() for _ in range(4)]
    assert live_secrets(endpoint) == [made[-1], made[-2]]
    assert endpoint.secrets.count() == 5
    with pytest.raises(IntegrityError), transaction.atomic():
        endpoint.secrets.create(value=generate_secret())


def test_staff_make_a_new_secret_that_is_shown_once(admin_client: Client) -> None:
    endpoint = make_endpoint()
    page = reverse("admin:calls_webhookendpoint_change", args=[endpoint.pk])
    assert new_secret_page(endpoint) in admin_client.get(page).content.decode()
    shown = admin_client.post(new_secret_page(endpoint), follow=True).content.decode()
    new, _ = live_secrets(endpoint)
    assert re.findall(r"<code>(.+?)</code>", shown) == [new]
    again = admin_client.get(page).content.decode()
    assert not any(secret in again for secret in live_secrets(endpoint))
    assert "New secret" in LogEntry.objects.get().change_message


def test_a_new_secret_is_a_post_with_permission(admin_client: Client, client: Client) -> None:
    endpoint = make_endpoint()
    assert admin_client.get(new_secret_page(endpoint)).status_code == 405
    assert client.post(new_secret_page(endpoint)).status_code == 302
    assert len(live_secrets(endpoint)) == 1


def test_someone_who_may_only_look_makes_no_secret(client: Client, django_user_model) -> None:
    endpoint = make_endpoint()
    client.force_login(django_user_model.objects.create_user("viewer", is_staff=True))
    assert client.post(new_secret_page(endpoint)).status_code == 403
    assert len(live_secrets(endpoint)) == 1


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_secret_that_a_receiver_has_already_is_taken_over(length: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(length))).decode()
    out = StringIO()
    call_command("add_webhook_endpoint", "https://8.8.8.8/", "--secret", secret, stdout=out)
    endpoint = WebhookEndpoint.objects.get()
    assert json.loads(out.getvalue()) == {
        "id": str(endpoint.pk),
        "url": "https://8.8.8.8/",
        "secret": secret,
    }
    assert live_secrets(endpoint) == [secret]


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
        base64.b64encode(b"x" * 32).decode(),
        "whsec_" + "!" * 44,
        "whsec_" + base64.b64encode(b"x" * 32).decode().rstrip("="),
        "whsec_" + "é" * 44,
    ],
)
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(CommandError, match="whsec_ and the base64 of 24 to 64 bytes"):
        call_command("add_webhook_endpoint", "https://8.8.8.8/", f"--secret={secret}")
    assert not WebhookEndpoint.objects.exists()


def test_an_endpoint_is_added_with_events_form_and_description() -> None:
    call_command(
        "add_webhook_endpoint",
        "https://8.8.8.8/",
        *("--event", "phone_call.ended", "--event", "phone_call.ended"),
        *("--form", "flat", "--description", "ERP"),
        stdout=StringIO(),
    )
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.events == ["phone_call.ended"]
    assert (endpoint.form, endpoint.description) == ("flat", "ERP")


def test_an_endpoint_hears_of_ended_calls_in_envelope_form_unless_told_otherwise() -> None:
    out = StringIO()
    call_command("add_webhook_endpoint", "https://8.8.8.8/", stdout=out)
    endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.events, endpoint.form) == (["phone_call.ended"], "envelope")
    assert json.loads(out.getvalue()).keys() == {"id", "url", "secret"}


def test_an_event_that_there_is_not_is_refused() -> None:
    with pytest.raises(CommandError, match="--event"):
        call_command("add_webhook_endpoint", "https://8.8.8.8/", "--event", "nonsense")
