from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from calls.dispatch import dispatch
from calls.models import CallLog, ProviderAccount
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from campaigns.models import Batch, Campaign
from campaigns.tests.factories import make_batch, make_campaign

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def places(monkeypatch) -> Any:
    """A function that sets how many tasks the queue takes; 8 at first."""

    def let(number: int) -> None:
        monkeypatch.setattr("calls.dispatch.free_places", lambda: number)

    let(8)
    return let


@pytest.fixture
def dispatched(monkeypatch):
    """A function that dispatches and returns the batches that workers were called to."""

    def dispatch_and_tell() -> list[int]:
        woken: list[int] = []
        monkeypatch.setattr("calls.dispatch.wake", lambda _task, ids: woken.extend(ids))
        dispatch()
        return woken

    return dispatch_and_tell


def make_batches(count: int, **campaign: Any) -> list[int]:
    """The batches of a new campaign, by their keys."""
    made = make_campaign(**campaign)
    return [make_batch(campaign=made).pk for _ in range(count)]


def test_no_more_batches_are_called_for_than_the_queue_takes(dispatched, places) -> None:
    batches = make_batches(5)
    places(3)
    assert dispatched() == batches[:3]
    places(0)
    assert dispatched() == []


def test_a_small_campaign_is_not_stuck_behind_a_large_one(dispatched, places) -> None:
    large = make_batches(100)
    small = make_batches(1)
    places(4)
    assert dispatched() == [large[0], small[0], large[1], large[2]]


def test_campaigns_take_turns_from_one_dispatch_to_the_next(dispatched, places) -> None:
    one, other = make_batches(3), make_batches(3)
    places(1)
    assert [dispatched()[0] for _ in range(4)] == [one[0], other[0], one[1], other[1]]


def test_a_batch_that_a_worker_is_on_the_way_to_is_called_for_once(dispatched) -> None:
    batches = make_batches(2)
    assert dispatched() == batches
    assert dispatched() == []


def test_a_worker_that_never_came_is_called_again(dispatched) -> None:
    batches = make_batches(1)
    Batch.objects.update(woken_at=timezone.now() - timedelta(minutes=1))
    assert dispatched() == batches


def test_a_batch_in_a_workers_hands_is_left_until_the_lease_runs_out(dispatched) -> None:
    batch = Batch.objects.get(pk=make_batches(1)[0])
    batch.take_lease(60)
    assert dispatched() == []
    batch.renew_lease(-1)
    assert dispatched() == [batch.pk]


@pytest.mark.parametrize("status", ["draft", "paused", "cancelling"])
def test_a_campaign_that_does_not_run_has_no_turn(dispatched, status: str) -> None:
    make_batches(1, status=status)
    assert dispatched() == []


def test_a_batch_has_no_turn_before_anything_of_it_is_due(dispatched) -> None:
    make_batch(due_at=timezone.now() + timedelta(minutes=1))
    make_batch(due_at=None)
    assert dispatched() == []


def test_a_full_account_calls_nobody_until_a_call_ends(dispatched) -> None:
    (batch,) = make_batches(1)
    pace(max_live=2)
    for _ in range(2):
        make_call(status=CallStatus.RINGING, batch=make_batch(due_at=None))
    assert dispatched() == []
    Campaign.objects.filter(batches=batch).update(served_at=None)
    make_call_end()
    assert dispatched() == [batch]


def test_a_slow_account_gets_few_workers(dispatched) -> None:
    """More would only wait for each other at its pace."""
    batches = make_batches(6)
    pace(calls_per_second=1)
    assert dispatched() == batches[:2]
    assert dispatched() == []


def test_a_held_account_calls_nobody_until_its_time(dispatched) -> None:
    batches = make_batches(3)
    now = timezone.now()
    pace(held_since=now, held_until=now + timedelta(minutes=1), held_reason="provider: closed")
    assert dispatched() == []
    pace(held_until=now)
    assert dispatched() == batches[:1]


def test_a_dispatch_takes_few_statements(django_assert_max_num_queries, dispatched) -> None:
    for _ in range(3):
        make_batches(3)
    ProviderAccount.objects.default()
    with django_assert_max_num_queries(14):
        assert len(dispatched()) == 8


def pace(**fields: Any) -> None:
    account = ProviderAccount.objects.default()
    ProviderAccount.objects.filter(pk=account.pk).update(**fields)


def make_call_end() -> None:
    call = CallLog.objects.live().first()
    assert call
    CallLog.objects.filter(pk=call.pk).update(status="completed", ended_at=timezone.now())
