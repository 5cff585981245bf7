from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Schedule
from django_q.scheduler import scheduler
from django_q.signing import SignedPackage

from calls.models import CallLog
from calls.statuses import CallStatus
from calls.tasks import sweep
from calls.tests.factories import make_call
from collections_platform.ops.apps import schedule_sweep

pytestmark = pytest.mark.django_db


def queued_functions() -> list[str]:
    """What waits in the queue, which is empty afterwards."""
    broker = get_broker()
    functions = []
    while broker.queue_size():
        for ack_id, payload in broker.dequeue():
            functions.append(SignedPackage.loads(payload)["func"])
            broker.acknowledge(ack_id)
    return functions


def test_a_migrated_database_has_the_sweep_in_its_schedule_once() -> None:
    call_command("migrate", verbosity=0)
    schedule_sweep()
    row = Schedule.objects.get()
    assert (row.name, row.func, row.minutes) == ("sweep", "calls.tasks.sweep", 1)


def test_a_schedule_that_somebody_changed_is_set_right_and_keeps_its_time() -> None:
    next_run = timezone.now() + timedelta(seconds=20)
    Schedule.objects.update(func="os.getpid", minutes=600, repeats=0, next_run=next_run)
    schedule_sweep()
    row = Schedule.objects.get()
    assert (row.func, row.minutes, row.repeats) == ("calls.tasks.sweep", 1, -1)
    assert row.next_run == next_run


@pytest.mark.django_db(transaction=True)  # the scheduler closes connections
def test_the_queues_scheduler_queues_one_sweep_however_long_it_slept() -> None:
    queued_functions()
    Schedule.objects.update(next_run=timezone.now() - timedelta(days=1))
    scheduler()
    assert queued_functions() == ["calls.tasks.sweep"]
    assert timedelta() < Schedule.objects.get().next_run - timezone.now() <= timedelta(minutes=1)


def test_the_scheduled_task_sweeps(django_capture_on_commit_callbacks) -> None:
    queued_functions()
    call = make_call(status=CallStatus.DIALING)
    CallLog.objects.filter(pk=call.pk).update(poll_at=timezone.now() - timedelta(minutes=5))
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
    assert "calls.tasks.poll_calls" in queued_functions()
