"""Campaigns that are begun, called off and copied by several at once."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.control import NotAllowed, cancel_campaign
from calls.lifecycle import start_campaign, start_due_campaigns, unschedule_campaign
from calls.models import CallLog
from calls.tests.factories import make_call
from calls.tests.test_concurrency import at_once
from campaigns.models import Batch, Campaign
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db(transaction=True)


def make_due(number: int = 1) -> list[Campaign]:
    """Scheduled campaigns of one call whose time has come."""
    past = timezone.now() - timedelta(minutes=1)
    campaigns = [make_campaign(status="scheduled", starts_at=past) for _ in range(number)]
    for campaign in campaigns:
        make_call(batch=make_batch(campaign=campaign, woken_at=None))
    return campaigns


@pytest.fixture
def woken(monkeypatch) -> Counter[int]:
    """How often a worker was called to each batch."""
    batches: Counter[int] = Counter()
    monkeypatch.setattr("calls.queue.async_task", lambda _task, *ids, **_: batches.update(ids))
    return batches


def trying(act: Callable[[Campaign], None], campaign: Campaign) -> Callable[[], None]:
    """The action by a worker of its own, which may be refused."""

    def run() -> None:
        with suppress(NotAllowed):
            act(Campaign.objects.get(pk=campaign.pk))

    return run


def test_workers_that_sweep_at_once_begin_each_campaign_once(woken: Counter[int]) -> None:
    make_due(6)  # no more than the queue takes
    at_once(*[start_due_campaigns] * 4)
    start_due_campaigns()
    assert set(Campaign.objects.values_list("status", flat=True)) == {"running"}
    assert woken == Counter(Batch.objects.values_list("pk", flat=True))


def test_a_start_by_hand_beside_the_sweep_begins_once(woken: Counter[int]) -> None:
    [campaign] = make_due()
    by_hand = trying(start_campaign, campaign)
    at_once(start_due_campaigns, by_hand, start_due_campaigns, by_hand)
    assert Campaign.objects.get().status == "running"
    assert woken == {campaign.batches.get().pk: 1}


def test_what_is_called_off_as_it_begins_has_either_begun_or_not(woken: Counter[int]) -> None:
    for _ in range(5):
        woken.clear()
        [campaign] = make_due()
        at_once(start_due_campaigns, trying(unschedule_campaign, campaign))
        campaign.refresh_from_db()
        expected = {"running": 1, "draft": 0}[campaign.status]
        assert woken[campaign.batches.get().pk] == expected


def test_a_cancelled_campaign_is_never_started_after_all(woken: Counter[int]) -> None:
    for _ in range(5):
        [campaign] = make_due()
        at_once(
            start_due_campaigns, trying(cancel_campaign, campaign), trying(start_campaign, campaign)
        )
        campaign.refresh_from_db()
        assert campaign.status == "cancelling"


def test_a_form_that_is_sent_twice_at_once_launches_once() -> None:
    template, token = make_template(system_prompt="{{amount}}"), str(uuid4())
    user = User.objects.create_superuser("boss")
    answers = []

    def send() -> None:
        client = Client()
        client.force_login(user)
        file = SimpleUploadedFile("a.csv", b"numberToCall,promptTags.amount\n+966500000001,5\n")
        data = {"template": str(template.pk), "batch_size": 50, "file": file, "start": "now"}
        answers.append(
            client.post(reverse("admin:campaigns_campaign_add"), data | {"token": token})
        )

    at_once(*[send] * 3)
    page = reverse("admin:campaigns_campaign_change", args=[token])
    assert [answer.headers.get("Location") for answer in answers] == [page] * 3
    assert (CallLog.objects.count(), Campaign.objects.count(), LogEntry.objects.count()) == (
        1,
        1,
        1,
    )


def test_a_copy_that_is_asked_for_twice_at_once_is_made_once() -> None:
    campaign = make_campaign(status="completed", ended_at=timezone.now())
    make_call(batch=make_batch(campaign=campaign), status="busy")
    user, token = User.objects.create_superuser("boss"), str(uuid4())
    address = reverse("admin:campaigns_campaign_retry", args=[campaign.pk])
    answers = []

    def send() -> None:
        client = Client()
        client.force_login(user)
        answers.append(client.post(address, {"token": token}))

    at_once(*[send] * 3)
    page = reverse("admin:campaigns_campaign_change", args=[token])
    assert [answer.headers.get("Location") for answer in answers] == [page] * 3
    assert campaign.copies.count() == 1
    assert CallLog.objects.count() == 2
