"""Clusters that hang although no process of theirs has ended: `run_worker` replaces them."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from collections_platform.ops.watch import Patience
from tests.processes import Platform, is_alive, wait_until

pytestmark = [
    pytest.mark.workers,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

PATIENCE = Patience(idle=2, results=6, silence=6, start=60)


def stat(folder: Path) -> dict[str, Any]:
    """What the sentinel last reported; empty before it has."""
    try:
        [path] = folder.glob("worker-*/stat")
        return dict(json.loads(path.read_text()))
    except (ValueError, FileNotFoundError):
        return {}


def start_worker(platform: Platform, folder: Path) -> list[int]:
    """A worker of little patience; the process ids of its pool once it is up."""
    platform.start_worker(PATIENCE)
    wait_until(lambda: len(stat(folder).get("workers", [])) == 4, 30)
    time.sleep(0.5)  # for the workers to wait at the queue: one with its lock, the others for it
    return list(stat(folder)["workers"])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_work_goes_on_after_idle_workers_were_killed_with_the_queues_lock(
    platform: Platform, tmp_path: Path
) -> None:
    platform.environment["DEMO"] = "1"
    platform.manage("load_demo_data")
    body = tmp_path / "body.json"
    tags = {"amount": "1 SAR", "due_date": "today"}
    body.write_text(
        json.dumps({"contacts": [{"numberToCall": "+966500000001", "promptTags": tags}]})
    )
    for pid in start_worker(platform, tmp_path):
        os.kill(pid, signal.SIGKILL)

    began = time.monotonic()
    platform.manage("call_bulk", str(body), "--wait")

    assert time.monotonic() - began < 60  # some ten on an idle machine
    assert "The queue cluster is stuck (" in platform.log.read_text()
    assert "workers work, and none has begun one" in platform.log.read_text()


def test_a_sentinel_that_stands_still_is_replaced_with_all_its_processes(
    platform: Platform, tmp_path: Path
) -> None:
    workers = start_worker(platform, tmp_path)
    sentinel = parent(workers[0])

    os.kill(sentinel, signal.SIGSTOP)

    wait_until(lambda: not any(map(is_alive, [sentinel, *workers])), 20)
    wait_until(lambda: not {*workers} & {*stat(tmp_path)["workers"]}, 20)
    assert "is stuck (its sentinel has not reported for" in platform.log.read_text()


def test_a_cluster_at_rest_is_left_alone(platform: Platform, tmp_path: Path) -> None:
    workers = start_worker(platform, tmp_path)
    time.sleep(2 * PATIENCE.silence)
    assert stat(tmp_path)["workers"] == workers
    assert "stuck" not in platform.log.read_text()
