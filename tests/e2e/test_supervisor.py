"""`serve` and `run_worker` as real processes: what starts, what stops, and what may not stay."""

import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from collections_platform.ops.processes import Child
from collections_platform.ops.supervisor import is_ready
from tests.processes import Platform, descendants, free_port, is_alive, pid_of, wait_until

pytestmark = [
    pytest.mark.workers,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; orphans end on Linux only"),
]

CLUSTER = 1 + 1 + 4 + 1 + 1  # main process, sentinel, workers, pusher, monitor
EVERYTHING = 3 + 1 + CLUSTER  # gunicorn, run_worker


def start_serve(platform: Platform) -> tuple[Child, int]:
    """`serve`, once every process below it is up, and its port."""
    port = free_port()
    serve = platform.start_serve(port)
    wait_until(lambda: is_ready("127.0.0.1", port), 60)
    wait_until(lambda: len(descendants(pid_of(serve))) == EVERYTHING, 60)
    return serve, port


def start_worker(platform: Platform) -> Child:
    worker = platform.start_worker()
    wait_until(lambda: len(descendants(pid_of(worker))) == CLUSTER, 60)
    return worker


def worker_below(serve: Child) -> int:
    """The process id of its `run_worker`."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(pid_of(serve))}
    return next(pid for pid, command in commands.items() if "run_worker" in command)


def check_that_all_ended(serve: Child, pids: set[int]) -> None:
    assert serve.process is not None
    assert serve.process.returncode == 0
    assert not any(map(is_alive, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_to_the_group_ends_everything(
    platform: Platform, number: signal.Signals
) -> None:
    serve, port = start_serve(platform)
    pids = descendants(pid_of(serve))

    os.killpg(pid_of(serve), number)
    wait_until(lambda: not serve.is_running, 30)

    check_that_all_ended(serve, pids)
    socket.create_server(("127.0.0.1", port)).close()


def test_further_signals_do_not_disturb_the_stop(platform: Platform) -> None:
    serve, _ = start_serve(platform)
    pids = descendants(pid_of(serve))

    while serve.is_running:
        os.killpg(pid_of(serve), signal.SIGINT)
        time.sleep(0.1)

    check_that_all_ended(serve, pids)


def test_what_hangs_is_killed_in_time(platform: Platform) -> None:
    platform.environment["WORKER_STOP_SECONDS"] = "2"
    serve, port = start_serve(platform)
    pids = descendants(pid_of(serve))
    for pid in pids - {worker_below(serve)}:
        os.kill(pid, signal.SIGSTOP)

    os.kill(pid_of(serve), signal.SIGTERM)
    wait_until(lambda: not serve.is_running, 2 + 5 + 3)

    check_that_all_ended(serve, pids)
    socket.create_server(("127.0.0.1", port)).close()


def test_a_killed_worker_leaves_no_orphan_and_is_started_again(platform: Platform) -> None:
    serve, _ = start_serve(platform)
    killed = worker_below(serve)
    cluster = descendants(killed)

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: not any(map(is_alive, cluster)), 5)
    wait_until(lambda: len(descendants(pid_of(serve))) == EVERYTHING, 30)
    assert worker_below(serve) != killed


def test_a_killed_supervisor_leaves_no_orphan(platform: Platform) -> None:
    serve, _ = start_serve(platform)
    pids = descendants(pid_of(serve))

    os.kill(pid_of(serve), signal.SIGKILL)

    wait_until(lambda: not any(map(is_alive, pids)), 5)


@pytest.mark.parametrize("generation", [0, 1])
def test_a_killed_cluster_leaves_no_orphan_and_is_started_again(
    platform: Platform, generation: int
) -> None:
    worker = start_worker(platform)
    cluster = descendants(pid_of(worker))
    main_process_and_sentinel = sorted(cluster)[:2]

    os.kill(main_process_and_sentinel[generation], signal.SIGKILL)

    wait_until(lambda: not any(map(is_alive, cluster)), 5)
    wait_until(lambda: len(descendants(pid_of(worker))) == CLUSTER, 30)


def test_signals_to_a_workers_group_do_not_hang_its_cluster(platform: Platform) -> None:
    worker = start_worker(platform)
    pids = descendants(pid_of(worker))

    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        os.killpg(pid_of(worker), number)
    wait_until(lambda: not worker.is_running, 20)

    check_that_all_ended(worker, pids)


def test_a_worker_survives_a_database_that_is_gone(tmp_path: Path) -> None:
    """A line a sweep, no stack trace; and it stops when asked to."""
    nowhere = f"sqlite:///{tmp_path}/nowhere/db.sqlite3"
    with Platform(tmp_path, DATABASE_URL=nowhere) as platform:
        worker = platform.start_worker()
        wait_until(lambda: platform.log.read_text().count("The sweep failed") >= 2, 30)

        os.kill(pid_of(worker), signal.SIGTERM)
        wait_until(lambda: not worker.is_running, 30)

    assert "The sweep failed: OperationalError at " in platform.log.read_text()
    assert "sweeper.py" not in platform.log.read_text()


def test_a_taken_port_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with Platform(tmp_path) as platform, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = platform.run("serve", "--port", str(port))

    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf".*Port {port} is taken:.*`make run PORT={port + 1}`\.\n", done.stderr)
