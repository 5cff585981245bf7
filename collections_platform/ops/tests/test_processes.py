import sys
import time

import pytest

from collections_platform.ops.processes import Child, stop_children
from tests.processes import descendants, is_alive, pid_of, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""


def python(code: str) -> Child:
    return Child("child", [sys.executable, "-c", code])


def test_a_child_that_stops_when_asked_is_not_waited_for() -> None:
    child = python("import time; time.sleep(60)")
    child.start()
    began = time.monotonic()

    stop_children([child], 30)

    assert time.monotonic() - began < 5
    assert not child.is_running


@linux
def test_a_child_that_does_not_stop_is_killed_with_all_it_has_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    child = python(STUBBORN)
    child.start()
    wait_until(lambda: bool(descendants(pid_of(child))), 10)
    pids = {pid_of(child), *descendants(pid_of(child))}

    stop_children([child], 1)

    wait_until(lambda: not any(map(is_alive, pids)), 5)
    assert "did not stop within 1 s" in caplog.text


def test_a_child_that_ends_is_started_again_after_a_growing_pause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    child = python("raise SystemExit(3)")

    began = time.monotonic()
    while len(caplog.records) < 2:
        child.keep_running()
        time.sleep(0.05)

    assert time.monotonic() - began >= 1
    assert "exit status 3); it starts again in 1 s" in caplog.messages[0]
    assert "exit status 3); it starts again in 2 s" in caplog.messages[1]


def test_stopping_what_never_started_does_nothing() -> None:
    stop_children([python("")], 1)
