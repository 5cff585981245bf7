from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from calls.accounts import account_of
from calls.dialling import claim_calls
from calls.dispatch import dispatch
from calls.models import CallerNumber, CallLog, ProviderAccount
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from campaigns.models import Batch, Campaign
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

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


# --- Several accounts ---------------------------------------------------------------------------


def make_account(**fields: Any) -> ProviderAccount:
    return ProviderAccount.objects.create(**{"name": "other", "provider": "simulated"} | fields)


def held() -> dict[str, Any]:
    now = timezone.now()
    until = now + timedelta(minutes=1)
    return {"held_since": now, "held_until": until, "held_reason": "provider: closed"}


@pytest.mark.parametrize("why", ["held", "full", "at its caps"])
def test_an_account_that_takes_no_calls_holds_up_no_other_accounts_campaigns(
    dispatched, places, why: str
) -> None:
    blocked = make_account(**held() if why == "held" else {"max_live": 1} if why == "full" else {})
    if why == "full":
        make_call(status=CallStatus.RINGING, account=blocked, batch=make_batch(due_at=None))
    if why == "at its caps":
        CallerNumber.objects.create(account=blocked, number="+12025550100", daily_cap=1)
        past = {"status": "completed", "number_from": "+12025550100"}
        make_call(account=blocked, batch=make_batch(due_at=None), **past)
    # They wait longest, and are more than there are places.
    for _ in range(4):
        make_batches(2, account=blocked)
    free = make_batches(3)
    places(3)
    assert dispatched() == free


def test_the_default_account_that_is_held_holds_up_no_other(dispatched) -> None:
    make_batches(3)
    pace(**held())
    free = make_batches(2, account=make_account())
    assert dispatched() == free


def test_each_account_gets_as_many_workers_as_its_own_pace_can_use(dispatched) -> None:
    slow = make_batches(5, account=make_account(calls_per_second=1))
    fast = make_batches(5)
    assert sorted(dispatched()) == sorted([*slow[:2], *fast])
    assert dispatched() == []


def test_workers_of_one_account_take_no_turns_of_another(dispatched) -> None:
    one = make_batches(3, account=make_account(name="one", max_live=2))
    assert dispatched() == one[:2]
    other = make_batches(3, account=make_account(name="two", max_live=2))
    assert dispatched() == other[:2]


def test_campaigns_of_different_accounts_share_the_places_in_turns(dispatched, places) -> None:
    one = make_batches(3, account=make_account())
    other = make_batches(3)
    places(1)
    assert [dispatched()[0] for _ in range(4)] == [one[0], other[0], one[1], other[1]]


def test_a_campaign_that_names_the_default_shares_its_turns_with_those_that_name_none(
    dispatched,
) -> None:
    pace(max_live=2)
    named = make_batches(2, account=ProviderAccount.objects.default())
    unnamed = make_batches(2)
    assert dispatched() == [named[0], unnamed[0]]
    assert dispatched() == []


def test_a_campaigns_own_account_comes_before_its_templates_and_that_before_the_default() -> None:
    default = ProviderAccount.objects.default()
    own, of_template = make_account(name="own"), make_account(name="of the template")
    template = make_template()
    plain = make_campaign(template_version=template.current)
    assert account_of(plain.pk) == default
    template.account = of_template
    template.save()
    named = make_campaign(template_version=template.current, account=own)
    assert account_of(plain.pk) == of_template
    assert account_of(named.pk) == own


def test_calls_are_claimed_with_their_campaigns_account_and_its_room_alone() -> None:
    pace(max_live=1)
    make_call(status=CallStatus.RINGING)
    other = make_account(max_live=2)
    batch = make_batch(campaign=make_campaign(account=other))
    for _ in range(3):
        make_call(batch=batch)
    # Campaigns that wait for the default account have no share in the other's room.
    make_call(batch=make_batch())
    batch.take_lease(60)
    claim = claim_calls(batch)
    assert [call.account for call in claim.calls] == [other, other]
