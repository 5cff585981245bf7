"""Workers that race, each in a thread with a connection of its own."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from django.db import connection
from django.utils import timezone

from calls import providers
from calls.dialling import place_batch
from calls.events import record_event
from calls.models import CallLog, ProviderAccount, WebhookDelivery
from calls.polling import poll_calls
from calls.providers.base import CallRequest, Capabilities, Placement, Provider
from calls.statuses import LIVE, TERMINAL, CallStatus
from calls.tests.factories import launch, make_call, make_endpoint
from calls.tests.test_events import ended
from campaigns.models import Batch
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db(transaction=True)
PEOPLE = [{"numberToCall": f"+9665000000{i:02d}"} for i in range(40)]


class Counting(Provider):
    """A provider that counts what it is asked to place."""

    capabilities = Capabilities(placements_at_once=7)
    placed: ClassVar[Counter[str]] = Counter()
    lock: ClassVar = threading.Lock()

    def place(self, request: CallRequest) -> Placement:
        with self.lock:
            self.placed[str(request.attempt_id)] += 1
        return Placement(f"c-{request.attempt_id}")

    def cancel(self, request: CallRequest) -> None:
        raise AssertionError("not asked here")

    def poll(self, requests: object, now: object) -> list[object]:  # type: ignore[override]
        return []


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[Counter[str]]:
    monkeypatch.setitem(providers.PROVIDERS, "counting", Counting)
    settings.CALL_PROVIDER = "counting"
    Counting.placed.clear()
    yield Counting.placed
    providers.make_provider.cache_clear()


def at_once(*tasks: Callable[[], object]) -> None:
    """Run the tasks in threads that start together."""
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], object]) -> None:
        try:
            start.wait()
            task()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(tasks)) as threads:
        list(threads.map(run, tasks))


def test_workers_woken_for_the_same_batch_place_each_call_once(counting) -> None:
    make_template(is_default=True)
    launch(*PEOPLE)
    batch_id = Batch.objects.get().pk
    at_once(*[lambda: place_batch(batch_id)] * 4)
    assert len(counting) == 40
    assert set(counting.values()) == {1}


def test_batches_that_share_people_never_call_one_of_them_twice_at_once(counting) -> None:
    make_template(is_default=True)
    for people in (PEOPLE, PEOPLE[::-1], PEOPLE[10:] + PEOPLE[:10]):
        launch(*people)
    at_once(*[lambda pk=batch.pk: place_batch(pk) for batch in Batch.objects.all()])
    live = CallLog.objects.filter(status__in=LIVE)
    assert live.count() == len(counting) <= 40
    assert live.values("contact").distinct().count() == live.count()
    for _ in range(3):  # what was left because someone else had the person
        CallLog.objects.filter(status__in=LIVE).update(
            status=CallStatus.COMPLETED, ended_at=timezone.now()
        )
        for batch in Batch.objects.all():
            place_batch(batch.pk)
    assert len(counting) == 120
    assert set(counting.values()) == {1}


def test_the_same_ending_told_by_many_at_once_ends_the_call_once() -> None:
    make_endpoint()
    account = ProviderAccount.objects.default()
    call = make_call(status=CallStatus.DIALING)
    at_once(*[lambda: record_event(account, ended(call, outcome="DO_NOT_CALL"))] * 6)
    assert WebhookDelivery.objects.count() == 1
    assert call.contact.suppressions.count() == 1


def test_placing_and_polling_at_once_loses_nothing() -> None:
    make_template(is_default=True)
    launch(*PEOPLE)
    launch(*PEOPLE)
    batches = list(Batch.objects.values_list("pk", flat=True))
    for _ in range(8):
        at_once(*[lambda pk=pk: place_batch(pk) for pk in batches], poll_calls, poll_calls)
    poll_calls()
    assert set(CallLog.objects.values_list("status", flat=True)) <= set(TERMINAL)
