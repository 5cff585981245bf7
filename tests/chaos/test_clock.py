import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.clock import Clock, NoCompiler

# Prints the date and what has truly passed, before and after a step that comes with a line.
WATCH = """
import multiprocessing, sys, time
lock = multiprocessing.Lock()
lock.acquire()
began = time.monotonic()
for line in sys.stdin:
    lock.acquire(timeout=0.2)
    time.sleep(0.1)
    print(time.time(), time.monotonic() - began, flush=True)
"""


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    try:
        return Clock(tmp_path)
    except NoCompiler as reason:
        pytest.skip(str(reason))


def test_a_step_moves_the_date_and_neither_waiting_nor_the_time_that_passes(clock: Clock) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-c", WATCH],
        env=os.environ | clock.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = []
    with watch:
        assert watch.stdin
        assert watch.stdout
        for seconds in (0, 600, -600):
            clock.step(seconds)
            watch.stdin.write("\n")
            watch.stdin.flush()
            date, passed = map(float, watch.stdout.readline().split())
            seen.append((date - time.time(), passed))
        watch.stdin.close()

    assert [round(off / 10) * 10 for off, _ in seen] == [0, 600, -600]
    assert seen[-1][1] < 60
