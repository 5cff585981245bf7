import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django_q import signals

from collections_platform.ops.progress import (
    VARIABLE,
    Sight,
    is_writable,
    read_progress,
    tell_progress,
    write_stat,
)

SIGNALS = (
    signals.post_spawn,
    signals.pre_execute,
    signals.post_execute_in_worker,
    signals.post_execute,
)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this process tells its progress, as a worker process of a pool of two."""
    before = [list(signal.receivers) for signal in SIGNALS]
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    tell_progress()
    report(tmp_path, os.getpid(), 1)
    yield tmp_path
    for signal, receivers in zip(SIGNALS, before, strict=True):
        signal.receivers = receivers
        signal.sender_receivers_cache.clear()


def report(directory: Path, *pool: int) -> None:
    write_stat(directory, SimpleNamespace(task_q_size=3, done_q_size=2, workers=list(pool)))


def send(signal: signals.Signal) -> None:
    signal.send(sender="django_q", task={})


def test_before_the_first_report_nothing_is_known(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == Sight()


def test_a_report_is_read_as_it_was_written(directory: Path) -> None:
    sight = read_progress(directory)
    assert (sight.waiting, sight.results, sight.workers) == (3, 2, 2)
    report(directory, 1)
    assert read_progress(directory).stat != sight.stat


def test_a_worker_is_busy_from_the_start_of_its_task_to_the_end(directory: Path) -> None:
    before = read_progress(directory)
    send(signals.pre_execute)
    during = read_progress(directory)
    send(signals.post_execute_in_worker)
    after = read_progress(directory)

    assert [before.busy, during.busy, after.busy] == [0, 1, 0]
    assert before.started != during.started == after.started


def test_a_worker_that_was_killed_over_its_task_is_not_busy(directory: Path) -> None:
    send(signals.pre_execute)
    report(directory, 1, 2)  # the sentinel has replaced it
    assert read_progress(directory).busy == 0


def test_a_new_worker_with_the_number_of_a_killed_one_is_not_busy(directory: Path) -> None:
    send(signals.pre_execute)
    send(signals.post_spawn)
    assert read_progress(directory).busy == 0


def test_a_result_that_was_dealt_with_shows(directory: Path) -> None:
    before = read_progress(directory).stored
    send(signals.post_execute)
    assert read_progress(directory).stored != before


def test_a_directory_that_takes_no_file_disturbs_no_task(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    for signal in SIGNALS:
        send(signal)
    assert not is_writable(directory)


def test_without_a_run_worker_above_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = len(signals.pre_execute.receivers)
    tell_progress()
    assert len(signals.pre_execute.receivers) == before
