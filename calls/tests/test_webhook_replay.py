"""A dead delivery is sent again when somebody asks for it."""

from datetime import timedelta
from http import HTTPStatus
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.models import WebhookDelivery
from calls.tests.factories import make_call, make_endpoint
from calls.tests.test_webhooks import make_delivery
from calls.webhooks.delivery import RETRY_AFTER, deliver_webhooks
from calls.webhooks.replay import replay

pytestmark = pytest.mark.django_db
LIST = reverse("admin:calls_webhookdelivery_changelist")
LONG_AGO = timezone.now() - timedelta(days=30)


def make_dead(**what_matters: Any) -> WebhookDelivery:
    endpoint = what_matters.pop("endpoint", None) or make_endpoint()
    return make_delivery(endpoint, **{"status": "dead", "tries": 8} | what_matters)


def make_delivered(**what_matters: Any) -> WebhookDelivery:
    return make_dead(status="delivered", delivered_at=timezone.now(), **what_matters)


def run(*options: str) -> str:
    out = StringIO()
    call_command("replay_webhooks", *options, stdout=out)
    return out.getvalue()


def pending() -> set[WebhookDelivery]:
    return set(WebhookDelivery.objects.pending())


def test_a_replayed_delivery_arrives_under_its_old_id(receiver: Any) -> None:
    delivery = make_dead(endpoint=make_endpoint(url=receiver.url))
    assert replay(WebhookDelivery.objects.dead()) == 1
    deliver_webhooks()
    assert receiver.received[0].headers["webhook-id"] == str(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries) == ("delivered", 1)


def test_the_tries_of_a_replayed_delivery_start_anew_with_the_schedule(receiver: Any) -> None:
    receiver.answer = lambda _: HTTPStatus.BAD_GATEWAY
    delivery = make_dead(endpoint=make_endpoint(url=receiver.url))
    replay(WebhookDelivery.objects.all())
    deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries) == ("pending", 1)
    wait = delivery.next_attempt_at - timezone.now()
    assert RETRY_AFTER[0] * 0.5 < wait < RETRY_AFTER[0] * 1.2


def test_a_replay_wakes_the_workers(monkeypatch, django_capture_on_commit_callbacks) -> None:
    woken: list[Any] = []
    monkeypatch.setattr("calls.queue.async_task", lambda *args, **_: woken.append(args))
    make_dead()
    with django_capture_on_commit_callbacks(execute=True):
        replay(WebhookDelivery.objects.dead())
    assert woken == [("calls.tasks.deliver_webhooks",)]


def test_the_command_replays_dead_deliveries_alone() -> None:
    dead, delivered = make_dead(), make_delivered()
    assert run() == "Deliveries due again: 1.\n"
    assert pending() == {dead}
    delivered.refresh_from_db()
    assert delivered.status == "delivered"
    assert run("--dead") == "Deliveries due again: 0.\n"


def test_a_dry_run_counts_and_changes_nothing() -> None:
    make_dead()
    assert run("--dry-run") == "Deliveries that would be due again: 1.\n"
    assert pending() == set()


def test_the_command_picks_by_endpoint_call_and_time() -> None:
    one, other, old = make_dead(), make_dead(), make_dead(created_at=LONG_AGO)
    assert one.call
    call_id = one.call.call_id
    retry = make_call(
        id=uuid4(), call_id=call_id, attempt=2, batch=one.call.batch, contact=one.call.contact,
        is_last_attempt=False,
    )  # fmt: skip
    second = make_dead(call=retry)
    run("--call", str(call_id))
    assert pending() == {one, second}
    run("--endpoint", str(other.endpoint_id))
    assert pending() == {one, second, other}
    run("--since", f"{timezone.now():%Y-%m-%d}")
    assert pending() == {one, second, other}
    run("--since", f"{LONG_AGO - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S+00:00}")
    assert pending() == {one, second, other, old}


def test_delivered_ones_are_replayed_when_asked_for() -> None:
    delivered = make_delivered()
    with pytest.raises(CommandError, match="--since"):
        run("--all")
    run("--all", "--endpoint", str(delivered.endpoint_id))
    assert pending() == {delivered}


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "yesterday"],
        ["--since", "2026-02-31"],
        ["--since", "2026-01-15T25:00"],
        ["--endpoint", "x"],
        ["--endpoint", str(uuid4())],
        ["--call", "x"],
        ["--all", "--dead"],
    ],
)
def test_the_command_refuses_what_it_cannot_read(options: list[str]) -> None:
    make_dead()
    with pytest.raises(CommandError):
        run(*options)
    assert pending() == set()


def test_staff_replay_deliveries_from_the_list(admin_client: Client) -> None:
    chosen, other = [make_dead(), make_delivered()], make_dead()
    data = {"action": "replay", "_selected_action": [delivery.pk for delivery in chosen]}
    said = admin_client.post(LIST, data, follow=True).content.decode()
    assert "2 deliveries are due again." in said
    assert pending() == set(chosen)
    other.refresh_from_db()
    assert other.status == "dead"
    assert LogEntry.objects.count() == 2


def test_staff_replay_a_delivery_from_its_page(admin_client: Client) -> None:
    delivery = make_dead()
    page = reverse("admin:calls_webhookdelivery_change", args=[delivery.pk])
    text = admin_client.get(page).content.decode()
    assert 'name="action" value="replay"' in text
    assert f'name="_selected_action" value="{delivery.pk}"' in text


def test_who_may_only_look_replays_nothing(client: Client, django_user_model: Any) -> None:
    delivery = make_dead()
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_webhookdelivery"))
    client.force_login(viewer)
    page = reverse("admin:calls_webhookdelivery_change", args=[delivery.pk])
    assert "replay" not in client.get(page).content.decode()
    client.post(LIST, {"action": "replay", "_selected_action": [delivery.pk]})
    assert pending() == set()
