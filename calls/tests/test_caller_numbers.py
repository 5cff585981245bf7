from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calls.caller_numbers import midnight_before
from calls.dialling import Claim, Halt, call_request, claim_calls, note_placements
from calls.dispatch import dispatch
from calls.models import CallerNumber, CallLog, ProviderAccount
from calls.providers.base import Placement
from calls.tests.factories import make_call
from calls.tests.test_concurrency import at_once
from campaigns.clock import database_now
from campaigns.models import Batch
from campaigns.tests.factories import make_batch
from contacts.tests.factories import make_contact

pytestmark = pytest.mark.django_db
ONE, TWO = "+12025550101", "+12025550102"


def make_number(number: str, **what_matters: Any) -> CallerNumber:
    account = what_matters.pop("account", None) or ProviderAccount.objects.default()
    return CallerNumber.objects.create(account=account, number=number, **what_matters)


def make_calls(count: int) -> Batch:
    batch = make_batch()
    for _ in range(count):
        make_call(batch=batch)
    return batch


def make_past_call(number: str, **what_matters: Any) -> CallLog:
    return make_call(status="completed", number_from=number, **what_matters)


def claim(batch: Batch) -> Claim:
    batch.take_lease(60)
    return claim_calls(batch)


def numbers_of(batch: Batch) -> list[str]:
    """From which numbers the batch's claimed calls are placed."""
    claim(batch)
    calls = batch.calls.exclude(started_at=None).order_by("position")
    return list(calls.values_list("number_from", flat=True))


def test_without_numbers_the_provider_chooses() -> None:
    make_number(ONE, is_active=False)
    make_number(TWO, account=ProviderAccount.objects.create(name="other", provider="simulated"))
    assert numbers_of(make_calls(1)) == [""]


def test_the_number_that_has_called_least_today_calls_next() -> None:
    make_number(ONE)
    make_number(TWO)
    make_past_call(ONE)
    assert numbers_of(make_calls(3)) == [TWO, ONE, TWO]


def test_a_person_is_called_from_the_number_that_called_them_last() -> None:
    make_number(ONE)
    make_number(TWO)
    known, now = make_contact(), database_now()
    make_past_call(ONE, contact=known, started_at=now - timedelta(days=3))
    make_past_call(TWO, contact=known, started_at=now - timedelta(days=2))
    make_past_call(TWO)
    batch = make_batch()
    make_call(batch=batch, contact=known)
    assert numbers_of(batch) == [TWO]


@pytest.mark.parametrize("why", ["inactive", "at its cap", "of another account"])
def test_a_number_that_may_not_call_is_not_kept_for_the_person(why: str) -> None:
    last = make_number(ONE)
    make_number(TWO)
    known = make_contact()
    call = make_past_call(ONE, contact=known)
    if why == "inactive":
        CallerNumber.objects.filter(pk=last.pk).update(is_active=False)
    elif why == "at its cap":
        CallerNumber.objects.filter(pk=last.pk).update(daily_cap=1)
    else:
        other = ProviderAccount.objects.create(name="other", provider="simulated")
        CallLog.objects.filter(pk=call.pk).update(account=other)
        make_past_call(ONE)
    batch = make_batch()
    make_call(batch=batch, contact=known)
    assert numbers_of(batch) == [TWO]


def test_no_number_places_more_calls_a_day_than_its_cap() -> None:
    make_number(ONE, daily_cap=2)
    make_number(TWO, daily_cap=1)
    make_past_call(ONE)
    batch = make_calls(5)
    assert sorted(numbers_of(batch)) == [ONE, TWO]
    nothing = claim(batch)
    assert (nothing.calls, nothing.halt) == ([], Halt.NO_ROOM)
    assert batch.calls.queued().count() == 3


def test_a_number_without_a_cap_takes_what_the_others_may_not() -> None:
    make_number(ONE, daily_cap=1)
    make_number(TWO)
    assert sorted(numbers_of(make_calls(4))) == [ONE, TWO, TWO, TWO]


def test_no_worker_is_called_until_tomorrow_where_all_numbers_are_at_their_cap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("calls.dispatch.free_places", lambda: 8)
    woken: list[int] = []
    monkeypatch.setattr("calls.dispatch.wake", lambda _task, ids: woken.extend(ids))
    make_number(ONE, daily_cap=1)
    past = make_past_call(ONE, batch=make_batch(due_at=None))
    batch = make_calls(2)
    dispatch()
    assert woken == []
    yesterday = midnight_before(database_now()) - timedelta(seconds=1)
    CallLog.objects.filter(pk=past.pk).update(started_at=yesterday)
    dispatch()
    assert woken == [batch.pk]
    assert numbers_of(batch) == [ONE]


def test_a_day_begins_at_midnight_of_the_time_zone(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Riyadh"
    late = datetime(2026, 1, 15, 21, 30, tzinfo=UTC)
    assert midnight_before(late) == datetime(2026, 1, 15, 21, tzinfo=UTC)
    assert midnight_before(late - timedelta(hours=1)) == datetime(2026, 1, 14, 21, tzinfo=UTC)


def test_the_number_is_asked_for_and_stays_what_the_provider_may_say() -> None:
    make_number(ONE)
    batch = make_calls(1)
    (call,) = claim(batch).calls
    assert call_request(call).number_from == ONE
    note_placements([(call, Placement("p-1", TWO))])
    call.refresh_from_db()
    assert (call.provider_call_id, call.number_from) == ("p-1", ONE)


def test_a_call_that_was_not_placed_uses_up_nothing() -> None:
    make_number(ONE, daily_cap=1)
    batch = make_calls(1)
    (call,) = claim(batch).calls
    call.queue_again(database_now())
    call.refresh_from_db()
    assert call.number_from == ""
    assert numbers_of(batch) == [ONE]


def test_a_claim_with_numbers_takes_the_same_statements_for_any_number_of_calls(
    django_assert_max_num_queries: Any,
) -> None:
    """Each claimed call is written by a statement of its own."""
    for last in range(10, 30):
        make_number(f"+120255501{last}", daily_cap=5)
    batch = make_calls(8)
    batch.take_lease(60)
    with django_assert_max_num_queries(22 + 8):
        assert len(claim_calls(batch).calls) == 8


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_share_a_cap() -> None:
    make_number(ONE, daily_cap=3)
    batches = [make_calls(3) for _ in range(3)]
    at_once(*[lambda batch=batch: claim(batch) for batch in batches])
    assert CallLog.objects.filter(number_from=ONE).count() == 3
