"""The end of a campaign is told once to every endpoint that asked for it."""

import json
import threading
from typing import Any

import pytest
import standardwebhooks
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.endings import announce_campaigns
from calls.models import WebhookDelivery
from calls.statuses import CallStatus
from calls.sweeper import sweep
from calls.tests.factories import make_call, make_endpoint
from calls.webhooks.delivery import deliver_webhooks
from campaigns.models import Campaign

pytestmark = pytest.mark.django_db
EVENTS = ["campaign.completed"]


def make_finished_campaign() -> Campaign:
    call = make_call(status=CallStatus.COMPLETED, outcome="DISPUTE")
    make_call(batch=call.batch, status=CallStatus.BUSY)
    campaign: Campaign = call.campaign
    return campaign


def test_the_end_of_a_campaign_is_told_with_its_counts(receiver: Any) -> None:
    endpoint = make_endpoint(url=receiver.url, events=EVENTS)
    campaign = make_finished_campaign()
    sweep()
    deliver_webhooks()
    (request,) = receiver.received
    secret = endpoint.secrets.get().value
    message = standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))
    campaign.refresh_from_db()
    assert campaign.ended_at
    assert message == {
        "type": "campaign.completed",
        "timestamp": f"{campaign.ended_at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        "data": {
            "campaignId": str(campaign.pk),
            "status": "completed",
            "counts": {"status": {"completed": 1, "busy": 1}, "outcome": {"DISPUTE": 1}},
        },
    }


def test_only_endpoints_that_asked_for_it_are_told() -> None:
    make_endpoint()
    make_endpoint(events=EVENTS, disabled_at=timezone.now())
    both = make_endpoint(events=["phone_call.ended", *EVENTS])
    make_finished_campaign()
    sweep()
    assert WebhookDelivery.objects.get().endpoint == both


def test_a_campaign_is_told_once_however_often_it_is_swept() -> None:
    make_endpoint(events=EVENTS)
    campaigns = [make_finished_campaign() for _ in range(3)]
    for _ in range(3):
        sweep()
    announce_campaigns([campaign.pk for campaign in campaigns])
    told = WebhookDelivery.objects.values_list("campaign", flat=True)
    assert sorted(told) == sorted(campaign.pk for campaign in campaigns)


def test_a_cancelled_campaign_is_told_as_such(receiver: Any) -> None:
    make_endpoint(url=receiver.url, events=EVENTS)
    campaign = make_finished_campaign()
    with transaction.atomic():
        Campaign.objects.update(status="cancelled", ended_at=timezone.now())
        announce_campaigns([campaign.pk])
    deliver_webhooks()
    assert json.loads(receiver.received[0].body)["data"]["status"] == "cancelled"


def test_a_campaign_does_not_end_without_its_deliveries(monkeypatch: Any) -> None:
    def fail(_: object) -> None:
        raise RuntimeError

    make_finished_campaign()
    monkeypatch.setattr("calls.sweeper.announce_campaigns", fail)
    with pytest.raises(RuntimeError):
        sweep()
    assert Campaign.objects.get().status == "running"


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_the_same_time_tell_a_campaign_once() -> None:
    make_endpoint(events=EVENTS)
    for _ in range(5):
        make_finished_campaign()
    start = threading.Barrier(4)

    def sweep_at_once() -> None:
        start.wait()
        try:
            sweep()
        finally:
            connection.close()

    threads = [threading.Thread(target=sweep_at_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Campaign.objects.values_list("status", flat=True)) == {"completed"}
    assert WebhookDelivery.objects.count() == 5


def test_a_delivery_is_about_what_its_event_is_about() -> None:
    endpoint, call = make_endpoint(), make_call()
    subjects: list[tuple[str, dict[str, Any]]] = [
        ("phone_call.ended", {}),
        ("phone_call.ended", {"campaign": call.campaign}),
        ("phone_call.ended", {"call": call, "campaign": call.campaign}),
        ("campaign.completed", {}),
        ("campaign.completed", {"call": call}),
        ("nonsense", {"call": call}),
    ]
    for event, subject in subjects:
        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookDelivery.objects.create(endpoint=endpoint, event_type=event, **subject)


def test_the_admin_shows_what_a_delivery_is_about(admin_client: Client) -> None:
    make_endpoint(events=EVENTS)
    campaign = make_finished_campaign()
    sweep()
    delivery = WebhookDelivery.objects.get()
    link = reverse("admin:campaigns_campaign_change", args=[campaign.pk])
    page = reverse("admin:calls_webhookdelivery_changelist")
    for address in (
        page,
        f"{page}?q={campaign.pk}",
        reverse("admin:calls_webhookdelivery_change", args=[delivery.pk]),
    ):
        assert link in admin_client.get(address).content.decode()
