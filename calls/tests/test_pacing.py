import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from calls.dialling import claim_calls, place_batch
from calls.models import CallLog, ProviderAccount
from calls.pacing import (
    FAILURES_TO_HOLD,
    HOLD_SECONDS,
    NotAsked,
    Room,
    find_room,
    note_results,
    retry_now,
    use_room,
)
from calls.providers.base import AccountError, PermanentError, Placement, TemporaryError
from calls.providers.simulated import SimulatedProvider
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from calls.tests.test_concurrency import at_once
from campaigns.clock import database_now
from campaigns.tests.factories import make_batch

pytestmark = pytest.mark.django_db
PLACED = Placement("p-1")
CLOSED = TemporaryError("closed")


def make_account(**fields: Any) -> ProviderAccount:
    account = ProviderAccount.objects.default()
    ProviderAccount.objects.filter(pk=account.pk).update(**fields)
    account.refresh_from_db()
    return account


def room(account: ProviderAccount, wanted: int = 10) -> Room:
    with transaction.atomic():
        return find_room(ProviderAccount.objects.get(pk=account.pk), wanted)[1]


def use(account: ProviderAccount, calls: int) -> None:
    with transaction.atomic():
        account.refresh_from_db()
        use_room(account, database_now(), calls)


def test_an_account_without_a_pace_has_room_for_all() -> None:
    assert room(make_account(), 200) == Room(200)


def test_live_calls_and_open_lines_take_an_accounts_room() -> None:
    account = make_account(max_live=5)
    make_call(status=CallStatus.DIALING)
    make_call(status=CallStatus.IN_PROGRESS)
    make_call(status=CallStatus.CANCELLED, hang_up_at=timezone.now())
    make_call(status=CallStatus.COMPLETED)
    make_call()
    assert room(account).calls == 2


def test_no_more_calls_are_claimed_than_there_is_room_for() -> None:
    make_account(max_live=3)
    batch = make_batch()
    for _ in range(5):
        make_call(batch=batch)
    batch.take_lease(60)
    assert len(claim_calls(batch).calls) == 3
    assert claim_calls(batch).calls == []
    assert CallLog.objects.live().count() == 3


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (1, 1), (5, 1), (50, 10)])
def test_the_bucket_holds_a_burst_and_no_more(rate: float, burst: int, let_pass) -> None:
    account = make_account(calls_per_second=rate)
    let_pass(hours=1)
    assert room(account, 100).calls == burst


def test_an_empty_bucket_says_how_long_the_next_call_waits(let_pass) -> None:
    account = make_account(calls_per_second=2)
    use(account, 1)
    empty = room(account)
    assert empty.calls == 0
    assert empty.wait == pytest.approx(0.5, abs=0.1)
    let_pass(seconds=0.6)
    assert room(account).calls == 1


def test_over_a_minute_as_many_calls_are_placed_as_the_pace_says(let_pass) -> None:
    account = make_account(calls_per_second=5)
    placed = 0
    for _ in range(600):
        if calls := room(account).calls:
            use(account, calls)
            placed += calls
        let_pass(seconds=0.1)
    assert 285 <= placed <= 310


def test_a_clock_that_goes_back_fills_no_bucket_and_empties_none(let_pass) -> None:
    account = make_account(calls_per_second=1)
    use(account, 1)
    let_pass(minutes=-10)
    assert room(account).calls == 0
    let_pass(minutes=20)
    assert room(account).calls == 1


def test_failures_in_a_row_hold_the_account() -> None:
    account = make_account()
    note_results(account, [CLOSED] * (FAILURES_TO_HOLD - 1), database_now())
    assert room(account).calls
    note_results(account, [CLOSED], database_now())
    assert room(account) == Room(0)
    account.refresh_from_db()
    assert "closed" in str(account.hold_sentence)


@pytest.mark.parametrize("told", [PLACED, PermanentError("never")])
def test_a_success_in_between_begins_the_row_anew(told: Placement | Exception) -> None:
    account = make_account()
    for _ in range(3):
        note_results(account, [CLOSED] * (FAILURES_TO_HOLD - 1) + [told], database_now())
    assert room(account).calls


def test_answers_that_never_came_hold_the_account_too() -> None:
    account = make_account()
    note_results(account, [TimeoutError()] * FAILURES_TO_HOLD, database_now())
    assert room(account).calls == 0


def test_calls_that_were_not_handed_over_say_nothing_of_the_provider() -> None:
    account = make_account()
    note_results(account, [NotAsked("late")] * 50, database_now())
    assert room(account).calls


def test_an_error_of_the_account_holds_it_at_once() -> None:
    account = make_account()
    note_results(account, [PLACED, AccountError("no credit")], database_now())
    assert room(account).calls == 0
    account.refresh_from_db()
    assert "no credit" in str(account.hold_sentence)
    assert "refuses the account" in str(account.hold_sentence)


def hold(account: ProviderAccount) -> None:
    note_results(account, [AccountError("no credit")], database_now())


def test_after_the_hold_one_call_is_tried_and_no_other_meanwhile(let_pass) -> None:
    account = make_account()
    hold(account)
    let_pass(seconds=HOLD_SECONDS[0] + 1)
    assert room(account, 50) == Room(1)
    use(account, 1)
    assert room(account, 50) == Room(0)


def test_a_probe_that_succeeds_releases_the_account(let_pass) -> None:
    account = make_account()
    hold(account)
    let_pass(seconds=HOLD_SECONDS[0] + 1)
    use(account, 1)
    note_results(account, [PLACED], database_now())
    assert room(account, 50) == Room(50)
    account.refresh_from_db()
    assert (account.failures, account.holds, str(account.hold_sentence)) == (0, 0, "")


def test_a_probe_whose_worker_died_is_followed_by_another(let_pass) -> None:
    account = make_account()
    hold(account)
    let_pass(seconds=HOLD_SECONDS[0] + 1)
    use(account, 1)
    let_pass(minutes=1)
    assert room(account) == Room(1)


def test_holds_grow_longer_up_to_a_limit(let_pass) -> None:
    account = make_account()
    since = None
    for seconds in (*HOLD_SECONDS, HOLD_SECONDS[-1]):
        hold(account)
        account.refresh_from_db()
        since = since or account.held_since
        assert account.held_until
        left = account.held_until - database_now()
        assert left == pytest.approx(timedelta(seconds=seconds), abs=timedelta(seconds=1))
        let_pass(seconds=seconds + 1)
    assert account.held_since == since


def test_staff_may_have_a_held_account_tried_at_once() -> None:
    account = make_account()
    retry_now(account)
    account.refresh_from_db()
    assert not account.is_held
    hold(account)
    retry_now(account)
    assert room(account) == Room(1)


def test_an_outage_holds_the_campaign_instead_of_failing_its_contacts(monkeypatch) -> None:
    asked = []

    def refuse(_self: object, request: Any) -> Placement:
        asked.append(request.attempt_id)
        raise CLOSED

    monkeypatch.setattr(SimulatedProvider, "place", refuse)
    batch = make_batch()
    for _ in range(300):
        make_call(batch=batch)
    place_batch(batch.pk)
    place_batch(batch.pk)
    assert len(asked) == 200  # what one claim brought
    assert CallLog.objects.queued().count() == 300
    assert ProviderAccount.objects.get().is_held


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_share_one_pace() -> None:
    make_account(max_live=10, calls_per_second=20)
    batches = [make_batch() for _ in range(4)]
    for batch in batches:
        for _ in range(20):
            make_call(batch=batch)
    started = time.monotonic()
    at_once(*[lambda batch=batch: claim_all(batch) for batch in batches])
    seconds = time.monotonic() - started
    live = CallLog.objects.live().count()
    assert live <= 10
    assert live <= 4 + 20 * seconds


def claim_all(batch: Any) -> None:
    batch.take_lease(60)
    for _ in range(10):
        claim = claim_calls(batch)
        time.sleep(claim.wait or 0.05)
