import os
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from campaigns.clock import database_now
from collections_platform.ops.heartbeats import Heartbeat
from collections_platform.ops.models import WorkerProcess
from collections_platform.ops.tests.factories import make_worker

pytestmark = pytest.mark.django_db


def seen_for(seconds: int) -> dict[str, Any]:
    return {"seen_at": database_now() - timedelta(seconds=seconds)}


def test_a_beat_tells_who_lives_since_when_and_by_which_clock() -> None:
    Heartbeat().beat(has_swept=True)
    row = WorkerProcess.objects.get()
    assert (row.host, row.pid) == (socket.gethostname(), os.getpid())
    assert (row.queue, row.version) == (settings.QUEUE_NAME, "1.0.0")
    assert abs(row.machine_time - timezone.now()) < timedelta(seconds=5)
    for moment in (row.started_at, row.seen_at, row.swept_at):
        assert moment is not None
        assert abs(moment - database_now()) < timedelta(seconds=5)


def test_beats_of_one_process_are_one_row_which_keeps_its_start() -> None:
    heartbeat = Heartbeat()
    heartbeat.beat(has_swept=True)
    first = WorkerProcess.objects.get()
    WorkerProcess.objects.update(**seen_for(10))
    heartbeat.beat(has_swept=True)
    again = WorkerProcess.objects.get()
    assert (again.pk, again.started_at) == (first.pk, first.started_at)
    assert again.seen_at >= first.seen_at


def test_a_sweep_that_failed_leaves_the_time_of_the_last_good_one() -> None:
    heartbeat = Heartbeat()
    heartbeat.beat(has_swept=False)
    assert WorkerProcess.objects.get().swept_at is None
    heartbeat.beat(has_swept=True)
    swept_at = WorkerProcess.objects.get().swept_at
    heartbeat.beat(has_swept=False)
    assert WorkerProcess.objects.get().swept_at == swept_at


def test_a_beat_costs_one_query(django_assert_num_queries) -> None:
    heartbeat = Heartbeat()
    heartbeat.beat(has_swept=True)
    with django_assert_num_queries(1):
        heartbeat.beat(has_swept=True)


def test_a_row_that_somebody_removed_is_written_anew() -> None:
    heartbeat = Heartbeat()
    heartbeat.beat(has_swept=True)
    WorkerProcess.objects.all().delete()
    heartbeat.beat(has_swept=True)
    assert WorkerProcess.objects.count() == 1


def test_the_start_removes_what_a_killed_worker_left_on_this_machine() -> None:
    here = {"host": socket.gethostname()}
    make_worker(**here, **seen_for(60), pid=1)
    living = make_worker(**here, pid=2)
    elsewhere = make_worker(host="other", **seen_for(60))
    other_queue = make_worker(**here, queue="other", **seen_for(60))
    Heartbeat().beat(has_swept=True)
    rows = WorkerProcess.objects.exclude(pid=os.getpid())
    assert set(rows) == {living, elsewhere, other_queue}


def test_what_was_not_seen_for_a_day_is_removed() -> None:
    make_worker(host="other", **seen_for(25 * 3600))
    kept = make_worker(host="other", **seen_for(23 * 3600))
    Heartbeat().beat(has_swept=True)
    assert list(WorkerProcess.objects.filter(host="other")) == [kept]


def test_a_worker_that_stops_takes_its_row_with_it_and_no_other() -> None:
    other = make_worker()
    heartbeat = Heartbeat()
    heartbeat.end()  # before it has told of itself
    heartbeat.beat(has_swept=True)
    heartbeat.end()
    assert list(WorkerProcess.objects.all()) == [other]
