"""What can go wrong between a decision and what comes of it, one interleaving each."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from calls import providers
from calls.control import NotAllowed, cancel_call, cancel_campaign, pause_campaign
from calls.copies import count_retry
from calls.dialling import (
    MAX_REFUSALS,
    Halt,
    claim_calls,
    leave_batch,
    note_placements,
    place_batch,
)
from calls.dispatch import _note_due, dispatch
from calls.events import record_event
from calls.lines import hang_up
from calls.models import CallLog, ProviderAccount
from calls.pacing import HOLD_SECONDS, note_results
from calls.polling import poll_calls
from calls.providers.base import (
    CallRequest,
    Capabilities,
    Ending,
    Event,
    EventKind,
    Placement,
    Poll,
    Provider,
    TemporaryError,
)
from calls.statuses import CallStatus
from calls.tests.factories import launch, make_call
from campaigns.clock import database_now
from campaigns.models import Batch, Campaign, CampaignStatus
from campaigns.tests.factories import make_batch, make_campaign
from contacts.validation import InvalidInput
from templates.models import TemplateVersion
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
RULE = {"busy": {"after_minutes": 60, "times": 3}}


class Far(Provider):
    """A provider that notes what it was asked and answers as the test says."""

    capabilities = Capabilities(placements_at_once=8)
    placed: ClassVar[list[UUID]] = []
    cancelled: ClassVar[list[UUID]] = []
    refused: ClassVar[set[UUID]] = set()
    when_polled: ClassVar[Any] = None
    when_cancelled: ClassVar[Any] = None

    def place(self, request: CallRequest) -> Placement:
        self.placed.append(request.attempt_id)
        if request.attempt_id in self.refused:
            raise TemporaryError("not this one")
        return Placement(f"f-{request.attempt_id}")

    def cancel(self, request: CallRequest) -> None:
        self.cancelled.append(request.attempt_id)
        if self.when_cancelled:
            type(self).when_cancelled(request)

    def poll(self, requests: Sequence[CallRequest], now: Any) -> list[Poll]:
        polls: list[Poll] = type(self).when_polled(requests, now)
        return polls


class Other(Far):
    """Another one."""


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[type[Far]]:
    monkeypatch.setitem(providers.PROVIDERS, "far", Far)
    monkeypatch.setitem(providers.PROVIDERS, "other", Other)
    settings.CALL_PROVIDER = "far"
    Far.placed, Far.cancelled, Far.refused = [], [], set()
    Far.when_cancelled = None
    Far.when_polled = lambda requests, now: []
    yield Far
    providers.make_provider.cache_clear()


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    """The batches that dispatch called workers to."""
    batches: list[int] = []
    monkeypatch.setattr("calls.dispatch.wake", lambda _task, ids: batches.extend(ids))
    monkeypatch.setattr("calls.dispatch.free_places", lambda: 8)
    return batches


def make_account(**fields: Any) -> ProviderAccount:
    account = ProviderAccount.objects.default()
    ProviderAccount.objects.filter(pk=account.pk).update(**fields)
    account.refresh_from_db()
    return account


def test_an_account_slower_than_a_call_a_second_is_not_polled_hot(far, woken) -> None:
    make_account(calls_per_second=0.1)
    batch = make_batch()
    for _ in range(3):
        make_call(batch=batch)
    place_batch(batch.pk)
    assert len(far.placed) == 1
    woken.clear()
    place_batch(batch.pk)
    assert len(far.placed) == 1
    assert woken == [], "the next call may be placed in 10 s"


def test_a_full_account_whose_hold_is_over_is_not_polled_hot(far, woken, let_pass) -> None:
    """The agent hangs: placements without an answer fill the account and have it held."""
    account = make_account(max_live=5)
    batch = make_batch()
    for _ in range(5):
        make_call(batch=batch, status=CallStatus.FAILED, hang_up_at=timezone.now())
    note_results(account, [TimeoutError()] * 5, database_now())
    make_call(batch=batch)
    let_pass(seconds=HOLD_SECONDS[0] + 1)
    place_batch(batch.pk)
    assert far.placed == []
    assert woken == [], "there is no room until a line is closed, perhaps in two hours"


def test_who_asks_late_not_to_be_called_is_not_called(far, let_pass) -> None:
    """The agent was cut off until the call had been given up."""
    batch = make_batch()
    TemplateVersion.objects.update(outcomes=[{"word": "DO_NOT_CALL", "description": "no"}])
    call = make_call(
        batch=batch,
        status=CallStatus.IN_PROGRESS,
        provider_call_id="f-1",
        poll_at=timezone.now(),
    )
    let_pass(hours=1)
    poll_calls()
    ending = Ending(CallStatus.COMPLETED, "hung_up", outcome="DO_NOT_CALL")
    told = Event("e-1", EventKind.ENDED, database_now(), "f-1", call.pk, ending=ending)
    record_event(ProviderAccount.objects.default(), told)
    assert call.contact.suppressions.exists()


def test_a_call_that_is_always_refused_ends_though_it_is_tried_alone(far, let_pass) -> None:
    """The account takes every other call, one a second."""
    make_account(calls_per_second=1)
    refused = make_call()
    far.refused = {refused.pk}
    for _ in range(3 * MAX_REFUSALS):
        for call in (make_call(), refused):
            place_batch(call.batch_id)
            let_pass(seconds=60)
    assert far.placed.count(refused.pk) >= MAX_REFUSALS
    refused.refresh_from_db()
    assert refused.status == CallStatus.FAILED


def test_a_free_slot_is_used_while_another_call_is_on_its_way_to_the_provider(woken) -> None:
    make_account(max_live=2)
    at_work = make_batch(woken_at=timezone.now())
    at_work.take_lease(30)
    make_call(batch=at_work, status=CallStatus.DIALING)  # the agent takes 9 s to answer
    waiting = make_call()
    dispatch()
    assert woken == [waiting.batch_id]


def test_a_call_that_is_placed_again_while_others_are_asked_about_is_not_ended(
    far, let_pass
) -> None:
    """Workers were down for an hour: a call is unknown and, by its first start, overdue."""
    account = ProviderAccount.objects.default()
    slow = ProviderAccount.objects.create(name="slow", provider="other")
    call = make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    make_call(
        status=CallStatus.RINGING,
        poll_at=timezone.now() + timedelta(seconds=1),
        account=slow,
        provider_call_id="o-1",
    )
    let_pass(hours=1)

    def answer(requests: Sequence[CallRequest], now: Any) -> list[Poll]:
        if requests[0].attempt_id == call.pk:
            return [Poll(call.pk, is_unknown=True)]
        place_batch(call.batch_id)  # another worker, meanwhile
        return []

    far.when_polled = answer
    poll_calls()
    call.refresh_from_db()
    assert far.placed == [call.pk]
    assert (call.status, call.hang_up_at, call.account) == (CallStatus.DIALING, None, account)


@pytest.mark.parametrize("end", ["cancelled", "suppressed"])
def test_the_line_of_a_late_placement_is_closed_though_the_call_was_queued_again(far, end) -> None:
    """A worker stood still between claim and request for longer than a minute."""
    call = make_call()
    call.batch.take_lease(60)
    (claimed,) = claim_calls(call.batch).calls
    CallLog.objects.get(pk=call.pk).queue_again(database_now())  # its provider knew nothing of it
    if end == "cancelled":
        cancel_call(call.pk)
    else:
        call.contact.suppressions.create(reason="staff")
        claim_calls(call.batch)
    note_placements([(claimed, Placement("f-1"))])
    hang_up()
    call.refresh_from_db()
    assert call.status in (CallStatus.CANCELLED, CallStatus.SKIPPED)
    assert far.cancelled == [call.pk], "the telephone rings"


def test_a_call_that_was_placed_late_is_not_placed_with_another_account(far) -> None:
    call = make_call()
    call.batch.take_lease(60)
    (claimed,) = claim_calls(call.batch).calls
    CallLog.objects.get(pk=call.pk).queue_again(database_now())
    note_placements([(claimed, Placement("f-1"))])
    ProviderAccount.objects.create(name="new", provider="other", is_default=True)
    call.refresh_from_db()
    assert call.status != CallStatus.QUEUED, "the first account's provider has the call"


@pytest.mark.parametrize("hours", [-24, 24])
def test_an_agents_wrong_clock_moves_no_retry(hours: int, settings) -> None:
    settings.SIMULATED_TIME_SCALE = 1
    template = make_template(retry_rule=RULE)
    batch = make_batch(campaign=make_campaign(template_version=template.current))
    call = make_call(batch=batch, status=CallStatus.RINGING)
    told = Event(
        "e-1",
        EventKind.ENDED,
        database_now() + timedelta(hours=hours),
        "p-1",
        call.pk,
        ending=Ending(CallStatus.BUSY, "busy"),
    )
    record_event(ProviderAccount.objects.default(), told)
    retry = CallLog.objects.get(attempt=2)
    wait = retry.not_before - database_now()
    assert timedelta(minutes=59) < wait < timedelta(minutes=61)


def test_a_call_that_polling_gave_up_is_not_retried_by_a_copy(far, let_pass) -> None:
    call = make_call(status=CallStatus.IN_PROGRESS, provider_call_id="f-1", poll_at=timezone.now())
    let_pass(hours=2)
    poll_calls()
    call.refresh_from_db()
    assert call.status == CallStatus.FAILED
    Campaign.objects.update(status=CampaignStatus.COMPLETED, ended_at=timezone.now())
    with pytest.raises(NotAllowed):  # the person was spoken to
        count_retry(call.campaign)


def test_an_account_whose_secret_cannot_be_read_costs_no_other_account_its_polls(far) -> None:
    broken = ProviderAccount.objects.create(name="broken", provider="other", credentials="{}")
    with connection.cursor() as cursor:  # as after a change of ENCRYPTION_KEYS
        cursor.execute(
            "UPDATE calls_provideraccount SET credentials = 'x' WHERE id = %s", [broken.pk]
        )
    past = timezone.now() - timedelta(minutes=1)
    make_call(status=CallStatus.RINGING, poll_at=past, account_id=broken.pk, account=None)
    fine = make_call(status=CallStatus.RINGING, poll_at=past)
    asked: list[UUID] = []

    def note(requests: Sequence[CallRequest], now: Any) -> list[Poll]:
        asked.extend(request.attempt_id for request in requests)
        return []

    far.when_polled = note
    poll_calls()
    assert asked == [fine.pk]


def test_one_outage_seen_by_several_workers_is_one_hold() -> None:
    account = make_account()
    before = database_now()
    for _ in range(4):  # four workers had eight calls each on their way
        note_results(account, [TemporaryError("closed")] * 8, before)
    account.refresh_from_db()
    assert account.held_until
    assert account.held_until - before < timedelta(seconds=HOLD_SECONDS[0] + 2)


def test_a_success_is_noted_though_another_worker_counted_a_failure_meanwhile() -> None:
    account = make_account()
    for _ in range(5):  # never two failures in a row
        seen_before = ProviderAccount.objects.get(pk=account.pk)
        seen_before.failures = 0  # claimed before the other worker's failure
        note_results(account, [TemporaryError("closed")], database_now())
        note_results(seen_before, [Placement("f-1")], database_now())
    account.refresh_from_db()
    assert not account.is_held


def test_what_frees_a_contact_while_its_batch_is_left_is_not_forgotten(far) -> None:
    """The other call ends between the last claim and the note that the worker leaves."""
    other = make_call(status=CallStatus.IN_PROGRESS)
    waiting = make_call(contact=other.contact)
    waiting.batch.take_lease(60)
    assert claim_calls(waiting.batch).halt is Halt.NOTHING_DUE
    told = Event(
        "e-1",
        EventKind.ENDED,
        database_now(),
        "",
        other.pk,
        ending=Ending(CallStatus.COMPLETED, "hung_up"),
    )
    record_event(ProviderAccount.objects.default(), told)
    _note_due([waiting.batch_id])  # on commit
    leave_batch(waiting.batch, Halt.NOTHING_DUE)
    waiting.batch.refresh_from_db()
    assert waiting.batch.due_at
    assert waiting.batch.due_at <= database_now() + timedelta(seconds=1)


def test_calls_that_are_queued_again_are_dispatched_once(
    far, let_pass, django_capture_on_commit_callbacks
) -> None:
    batch = make_batch()
    for _ in range(20):
        make_call(batch=batch, status=CallStatus.DIALING, poll_at=timezone.now())
    let_pass(minutes=2)
    far.when_polled = lambda requests, now: [Poll(r.attempt_id, is_unknown=True) for r in requests]
    with django_capture_on_commit_callbacks() as callbacks:
        poll_calls()
    assert CallLog.objects.queued().count() == 20
    assert len(callbacks) <= 4


def test_a_dead_agents_lines_keep_no_other_accounts_line_open(far) -> None:
    """Cancelled on a healthy account, after a dead one left a hundred lines."""
    dead = ProviderAccount.objects.create(name="dead", provider="other")
    past = timezone.now() - timedelta(minutes=5)
    for _ in range(100):
        make_call(
            status=CallStatus.FAILED,
            account=dead,
            started_at=past,
            hang_up_at=past,
            provider_call_id="",
        )
    fine = make_call(status=CallStatus.CANCELLED, provider_call_id="f-1", hang_up_at=timezone.now())

    def hang(request: CallRequest) -> None:
        if request.attempt_id != fine.pk:
            time.sleep(0.5)  # 10 s in life
            raise TimeoutError

    far.when_cancelled = hang
    began = time.monotonic()
    asked_at: list[float] = []
    Other.cancelled = Far.cancelled
    with ThreadPoolExecutor(1) as watcher:
        done = threading.Event()

        def watch() -> None:
            while not done.is_set() and fine.pk not in Far.cancelled:
                time.sleep(0.01)
            asked_at.append(time.monotonic() - began)

        watcher.submit(watch)
        hang_up()
        done.set()
    assert asked_at[0] < 1, "a second is 20 s in life"


def test_a_worker_of_a_paced_campaign_comes_free_for_a_cancellation(far, monkeypatch) -> None:
    """Of every worker the same is true: all of them may be at the paced campaign."""
    make_account(calls_per_second=2)
    ringing = make_call(status=CallStatus.RINGING, provider_call_id="f-0")
    batch = make_batch()
    for _ in range(12):
        make_call(batch=batch)
    cancelled_at: list[float] = []
    place = far.place

    def place_and_cancel(self: Far, request: CallRequest) -> Placement:
        cancelled_at.append(time.monotonic())
        placement: Placement = place(self, request)
        return placement

    monkeypatch.setattr(far, "place", place_and_cancel)
    cancel_campaign(ringing.campaign)
    place_batch(batch.pk)
    assert time.monotonic() - cancelled_at[0] < 2


# With transactions of their own.


@pytest.mark.django_db(transaction=True)
def test_a_launch_that_is_stored_is_never_refused_as_if_it_were_not(monkeypatch) -> None:
    """503 says: nothing was stored, send it again. Whoever does calls everybody twice."""

    def fail() -> int:
        raise OperationalError("database is locked")

    make_template(is_default=True)
    monkeypatch.setattr("calls.dispatch._choose", lambda *_: fail())
    try:
        launch({"numberToCall": "+966500000001"})
        is_refused = False
    except OperationalError:  # answered 503 by api/errors.py
        is_refused = True
    assert is_refused == (Campaign.objects.count() == 0)


def in_threads(*tasks: Any) -> list[Any]:
    def run(task: Any) -> Any:
        try:
            return task()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(run, tasks))


@pytest.mark.django_db(transaction=True)
def test_a_call_that_is_cancelled_as_its_attempt_ends_is_not_called_again() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("rows are locked on PostgreSQL alone")
    template = make_template(retry_rule=RULE)
    batch = make_batch(campaign=make_campaign(template_version=template.current))
    call = make_call(batch=batch, status=CallStatus.RINGING)
    account = ProviderAccount.objects.default()
    told = Event(
        "e-1",
        EventKind.ENDED,
        database_now(),
        "p-1",
        call.pk,
        ending=Ending(CallStatus.BUSY, "busy"),
    )
    locked = threading.Event()

    def end() -> None:
        with transaction.atomic():
            record_event(account, told)
            locked.set()
            time.sleep(0.5)

    def cancel() -> None:
        locked.wait()
        cancel_call(call.pk)

    assert in_threads(end, cancel) == [None, None]
    last = CallLog.objects.get(is_last_attempt=True)
    assert last.status == CallStatus.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_a_pause_is_in_force_though_a_claim_waits_for_the_accounts_row(far) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("rows are locked on PostgreSQL alone")
    account = make_account(max_live=5)
    call = make_call()
    locked = threading.Event()

    def hold_the_row() -> None:  # as claims of many other workers do, one after another
        with transaction.atomic():
            ProviderAccount.objects.select_for_update().get(pk=account.pk)
            locked.set()
            time.sleep(3)

    def pause() -> None:
        locked.wait()
        time.sleep(0.5)
        pause_campaign(call.campaign)

    def place() -> None:
        locked.wait()
        place_batch(call.batch_id)

    assert in_threads(hold_the_row, pause, place) == [None] * 3
    assert far.placed == [], "paused 2.5 s before"


def test_a_tag_that_no_database_keeps_stops_no_batch(far) -> None:
    """Half of a surrogate pair, as JSON may spell it."""
    make_template(is_default=True)
    try:
        launch(
            {"numberToCall": "+966500000001", "promptTags": {"amount": "\ud800"}},
            {"numberToCall": "+966500000002"},
        )
    except InvalidInput:
        return
    place_batch(Batch.objects.get().pk)
    assert len(far.placed) == 2


def test_one_call_that_cannot_be_rendered_stops_no_batch(far) -> None:
    """A prompt from before the rules on braces were what they are."""
    batch = make_batch()
    TemplateVersion.objects.update(system_prompt="{% if %}")
    make_call(batch=batch)
    place_batch(batch.pk)
    assert CallLog.objects.get().status != CallStatus.QUEUED
