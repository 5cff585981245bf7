from datetime import timedelta

import pytest
from django.utils import timezone

from calls.models import SingletonTask, WebhookDelivery
from calls.statuses import CallStatus
from calls.sweeper import sweep
from calls.tests.factories import make_call, make_endpoint
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def swept(monkeypatch, django_capture_on_commit_callbacks):
    """A function that sweeps and returns what was woken."""

    def sweep_and_tell() -> list[tuple[object, ...]]:
        woken: list[tuple[object, ...]] = []
        monkeypatch.setattr("calls.queue.async_task", lambda *args, **_: woken.append(args))
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        return woken

    return sweep_and_tell


def test_nothing_to_do_wakes_nobody(swept) -> None:
    make_call(batch=make_batch(woken_at=timezone.now()))
    make_call(batch=make_batch(due_at=timezone.now() + MINUTE))
    make_call(batch=make_batch(due_at=None), status=CallStatus.DIALING)
    assert swept() == []


def test_a_batch_nobody_works_on_is_woken_once(swept) -> None:
    call = make_call()
    assert swept() == [("calls.tasks.place_batch", call.batch_id)]
    assert swept() == []


def test_a_batch_whose_note_was_lost_is_found_by_its_calls(swept) -> None:
    call = make_call(batch=make_batch(due_at=None), not_before=timezone.now() - MINUTE)
    make_call(batch=make_batch(due_at=None), not_before=timezone.now() + MINUTE)
    assert swept() == [("calls.tasks.place_batch", call.batch_id)]


def test_due_polls_and_deliveries_are_woken_unless_someone_is_at_them(swept) -> None:
    done = make_batch(due_at=None)
    call = make_call(batch=done, status=CallStatus.DIALING, poll_at=timezone.now())
    WebhookDelivery.objects.create(
        endpoint=make_endpoint(), event_type="phone_call.ended", call=call
    )
    assert swept() == [("calls.tasks.poll_calls",), ("calls.tasks.deliver_webhooks",)]
    for name in ("deliver_webhooks", "poll_calls"):
        SingletonTask.named(name).take_lease(60)
    assert swept() == []


def test_a_delivery_that_waits_for_its_next_try_wakes_nobody(swept) -> None:
    WebhookDelivery.objects.create(
        endpoint=make_endpoint(),
        event_type="phone_call.ended",
        call=make_call(batch=make_batch(due_at=None), status=CallStatus.FAILED),
        next_attempt_at=timezone.now() + MINUTE,
    )
    assert swept() == []


def test_a_campaign_is_completed_when_its_last_call_has_ended(swept) -> None:
    call = make_call(status=CallStatus.COMPLETED)
    open_call = make_call(batch=call.batch, status=CallStatus.RINGING)
    swept()
    assert Campaign.objects.get().status == "running"
    type(open_call).objects.filter(pk=open_call.pk).update(
        status=CallStatus.BUSY, ended_at=timezone.now()
    )
    swept()
    campaign = Campaign.objects.get()
    assert campaign.status == "completed"
    assert campaign.ended_at


def test_a_sweep_takes_few_statements(swept, django_assert_max_num_queries) -> None:
    for _ in range(5):
        make_call()
    SingletonTask.named("mend").take_lease(60)
    with django_assert_max_num_queries(36):
        swept()
