"""A test event goes the way of every event, at once, and its result is shown."""

import json
from http import HTTPStatus
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
import standardwebhooks
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.models import WebhookDelivery, WebhookEndpoint
from calls.tests.factories import make_endpoint
from calls.webhooks.delivery import deliver_webhooks, send_test

pytestmark = pytest.mark.django_db


def page_of(endpoint: WebhookEndpoint, name: str = "change") -> str:
    return reverse(f"admin:calls_webhookendpoint_{name}", args=[endpoint.pk])


def test_a_test_event_arrives_signed_and_says_that_nothing_happened(receiver: Any) -> None:
    endpoint = make_endpoint(url=receiver.url)
    delivery = send_test(endpoint)
    (request,) = receiver.received
    secret = endpoint.secrets.get().value
    message = standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))
    assert request.headers["webhook-id"] == str(delivery.pk)
    assert message["type"] == "webhook.test"
    assert message["timestamp"].endswith("Z")
    assert message["data"] == {
        "message": "This is a test: nothing happened.",
        "endpointId": str(endpoint.pk),
        "simulated": True,
    }
    assert (delivery.status, delivery.tries, delivery.last_result) == ("delivered", 1, "204")
    deliver_webhooks()
    assert len(receiver.received) == 1


def test_a_flat_endpoint_gets_the_tests_data_alone(receiver: Any) -> None:
    send_test(make_endpoint(url=receiver.url, form="flat"))
    assert json.loads(receiver.received[0].body)["simulated"] is True


def test_a_test_that_failed_is_repeated_like_any_other(receiver: Any) -> None:
    receiver.answer = lambda _: HTTPStatus.BAD_GATEWAY
    endpoint = make_endpoint(url=receiver.url)
    delivery = send_test(endpoint)
    assert (delivery.status, delivery.tries, delivery.last_result) == ("pending", 1, "502")
    endpoint.refresh_from_db()
    assert endpoint.failing_since
    WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    deliver_webhooks()
    assert [request.headers["webhook-id"] for request in receiver.received] == [
        str(delivery.pk)
    ] * 2


def test_an_endpoint_can_be_tested_again_and_again(receiver: Any) -> None:
    endpoint = make_endpoint(url=receiver.url)
    assert send_test(endpoint).pk != send_test(endpoint).pk


def test_the_button_sends_one_and_shows_the_result(admin_client: Client, receiver: Any) -> None:
    endpoint = make_endpoint(url=receiver.url)
    assert page_of(endpoint, "test") in admin_client.get(page_of(endpoint)).content.decode()
    shown = admin_client.post(page_of(endpoint, "test"), follow=True).content.decode()
    delivery = WebhookDelivery.objects.get()
    link = reverse("admin:calls_webhookdelivery_change", args=[delivery.pk])
    assert f'The test event was taken: <a href="{link}">204</a>' in shown
    assert admin_client.get(link).status_code == 200
    receiver.answer = lambda _: HTTPStatus.NOT_FOUND
    shown = admin_client.post(page_of(endpoint, "test"), follow=True).content.decode()
    assert "It was not taken: <a" in shown
    assert ">404</a>" in shown


def test_a_disabled_endpoint_is_sent_no_test(admin_client: Client, receiver: Any) -> None:
    endpoint = make_endpoint(url=receiver.url, disabled_at=timezone.now())
    shown = admin_client.post(page_of(endpoint, "test"), follow=True).content.decode()
    assert "Enable the endpoint first." in shown
    with pytest.raises(CommandError, match="disabled"):
        call_command("send_test_webhook", str(endpoint.pk))
    assert receiver.received == []


def test_a_test_is_a_post_of_someone_who_may_change_endpoints(
    admin_client: Client, client: Client, django_user_model: Any, receiver: Any
) -> None:
    endpoint = make_endpoint(url=receiver.url)
    assert admin_client.get(page_of(endpoint, "test")).status_code == 405
    client.force_login(django_user_model.objects.create_user("viewer", is_staff=True))
    assert client.post(page_of(endpoint, "test")).status_code == 403
    assert receiver.received == []


def test_the_command_says_how_it_was_answered(receiver: Any) -> None:
    endpoint, out = make_endpoint(url=receiver.url), StringIO()
    call_command("send_test_webhook", str(endpoint.pk), stdout=out)
    delivery = WebhookDelivery.objects.get()
    assert out.getvalue() == f"The test event {delivery.pk} was taken: 204.\n"
    receiver.answer = lambda _: HTTPStatus.GONE
    with pytest.raises(CommandError, match="not taken: 410"):
        call_command("send_test_webhook", str(endpoint.pk))
    for unknown in (str(uuid4()), "x"):
        with pytest.raises(CommandError):
            call_command("send_test_webhook", unknown)


def test_nobody_subscribes_to_tests(admin_client: Client) -> None:
    with pytest.raises(CommandError, match="--event"):
        call_command("add_webhook_endpoint", "https://8.8.8.8/", "--event", "webhook.test")
    add = reverse("admin:calls_webhookendpoint_add")
    data = {"url": "https://8.8.8.8/", "form": "flat", "events": ["webhook.test"]}
    assert admin_client.post(add, data).status_code == 200
    assert not WebhookEndpoint.objects.exists()
