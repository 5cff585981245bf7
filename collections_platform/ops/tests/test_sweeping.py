import time
from collections.abc import Iterator
from threading import Event

import pytest
from django.db import connection

from collections_platform.ops.models import WorkerProcess
from collections_platform.ops.processes import StopRequest
from collections_platform.ops.sweeping import Sweeping, sweep_once
from tests.processes import wait_until


class Stop(StopRequest):
    """Asked for by the test, not by a signal."""

    def __init__(self) -> None:
        self.asked = False


@pytest.fixture
def stop() -> Iterator[Stop]:
    stop = Stop()
    yield stop
    stop.asked = True


@pytest.mark.django_db(transaction=True)
def test_a_sweep_that_fails_is_one_line_and_the_next_one_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert sweep_once()
    assert caplog.text == ""

    with connection.execute_wrapper(_refuse):
        assert not sweep_once()

    assert len(caplog.records) == 1
    assert caplog.messages[0].startswith("The sweep failed: OSError at ")
    assert caplog.records[0].exc_info is None
    assert sweep_once()
    assert len(caplog.records) == 1


def _refuse(*_: object) -> None:
    raise OSError("the disk is gone")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_started_again(
    stop: Stop, caplog: pytest.LogCaptureFixture
) -> None:
    runs = []

    def work() -> bool:
        runs.append(1)
        if len(runs) == 1:
            raise SystemExit  # what no handler of ours catches
        return True

    sweeps = Sweeping(stop, work)
    sweeps.keep_running()
    sweeps.join(5)
    assert not sweeps.goes_well()

    sweeps.keep_running()
    wait_until(sweeps.goes_well, 5)

    assert caplog.messages == ["The sweep's thread ended by itself; it is started again."]


def test_a_sweep_that_hangs_is_told_once_per_minute_and_is_not_well(
    stop: Stop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = Event(), Event()

    def work() -> bool:
        begun.set()
        return go_on.wait(20)

    now = time.monotonic()
    monkeypatch.setattr("collections_platform.ops.sweeping.time.monotonic", lambda: now)
    sweeps = Sweeping(stop, work)
    sweeps.keep_running()
    begun.wait(5)
    for _ in range(70 * 5):  # as often as `run_worker` looks, for 70 s
        now += 0.2
        sweeps.keep_running()

    assert caplog.messages == ["A sweep has been hanging for 60 s: does the database answer?"]
    assert not sweeps.goes_well()
    stop.asked = True
    go_on.set()
    sweeps.join(5)


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_seen_while_it_sweeps_and_gone_when_it_stops(stop: Stop) -> None:
    sweeps = Sweeping(stop)
    sweeps.keep_running()
    wait_until(lambda: WorkerProcess.objects.exclude(swept_at=None).exists(), 10)

    stop.asked = True
    sweeps.join(5)

    assert not WorkerProcess.objects.exists()
