from typing import Any

import pytest
from django.utils import timezone

from calls import tasks
from calls.models import CallLog, SingletonTask, WebhookDelivery
from calls.statuses import TERMINAL, CallStatus
from calls.tests.factories import make_call, make_endpoint
from campaigns.models import Campaign

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> Any:
    """A function that runs a task and returns what it woke."""

    def run(task: Any, *args: Any) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        monkeypatch.setattr("calls.queue.async_task", lambda *args, **_: found.append(args))
        with django_capture_on_commit_callbacks(execute=True):
            task(*args)
        return found

    return run


def test_a_queue_full_of_batches_does_not_hold_up_the_calls_under_way(woken) -> None:
    live = make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    queued = make_call()
    found = woken(tasks.place_batch, queued.batch_id)
    live.refresh_from_db()
    queued.refresh_from_db()
    assert live.status in TERMINAL
    assert queued.status == CallStatus.QUEUED
    assert ("calls.tasks.place_batch", queued.batch_id) in found


def test_nor_their_webhooks(woken) -> None:
    call = make_call(status=CallStatus.COMPLETED)
    delivery = WebhookDelivery.objects.create(
        endpoint=make_endpoint(), event_type="phone_call.ended", call=call
    )
    woken(tasks.place_batch, make_call().batch_id)
    delivery.refresh_from_db()
    assert delivery.tries == 1


def test_what_another_worker_is_at_is_left_to_it(woken) -> None:
    make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    SingletonTask.named("poll_calls").take_lease(60)
    queued = make_call()
    woken(tasks.place_batch, queued.batch_id)
    queued.refresh_from_db()
    assert queued.status == CallStatus.DIALING


def test_a_campaign_that_only_waits_for_conversations_to_end_holds_up_nobody(woken) -> None:
    talking = make_call(status=CallStatus.IN_PROGRESS)
    Campaign.objects.filter(pk=talking.campaign_id).update(status="cancelling")
    queued = make_call()
    woken(tasks.place_batch, queued.batch_id)
    queued.refresh_from_db()
    assert queued.status == CallStatus.DIALING


def test_a_failure_of_what_comes_first_does_not_keep_a_batch_from_being_placed(
    woken, monkeypatch
) -> None:
    def fail() -> None:
        raise RuntimeError

    make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    monkeypatch.setitem(tasks.FIRST, "poll_calls", fail)
    queued = make_call()
    woken(tasks.place_batch, queued.batch_id)
    assert CallLog.objects.get(pk=queued.pk).status == CallStatus.DIALING
