"""What a cluster's processes tell the `run_worker` above them, by files in a directory of its own.

It needs no broker, cache or database, so that it works while these do not. `busy-PID` exists while
the worker process PID runs a task; `started` and `stored` are touched when a task starts and when
a result has been dealt with; `stat` is what the sentinel writes every half second, in JSON.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VARIABLE = "WORKER_DIRECTORY"  # names the directory to the cluster


@dataclass(frozen=True, slots=True)
class Sight:
    """A cluster as its files show it at one moment.

    `stat`, `started` and `stored` only ever tell, by being another value than before, that the
    sentinel has reported, a task was started, a result was dealt with.
    """

    stat: float | None = None
    waiting: int = 0  # tasks that the cluster has taken from the broker and no worker has
    results: int = 0  # results that are not dealt with
    workers: int = 0
    busy: int = 0
    started: int = 0
    stored: int = 0


def tell_progress() -> None:
    """In the processes of a cluster below `run_worker`: have them tell what they do."""
    if not (name := os.environ.get(VARIABLE)):
        return
    from django_q import signals  # noqa: PLC0415  needs the applications

    directory = Path(name)

    def busy() -> Path:
        return directory / f"busy-{os.getpid()}"

    def begin() -> None:
        busy().touch()
        (directory / "started").touch()

    def end() -> None:
        busy().unlink(missing_ok=True)

    for signal, tell in (
        (signals.post_spawn, end),  # what an earlier process of the same id has left
        (signals.pre_execute, begin),
        (signals.post_execute_in_worker, end),
        (signals.post_execute, (directory / "stored").touch),
    ):
        signal.connect(_receiver(tell), weak=False)


def _receiver(tell: Callable[[], None]) -> Callable[..., None]:
    def receive(**_: Any) -> None:
        with suppress(OSError):  # a full disk must not end the worker
            tell()

    return receive


def write_stat(directory: Path, stat: Any) -> None:
    """Keep django-q's `Stat` of the cluster in the directory, whole at any moment."""
    new = directory / "stat.new"
    known = {
        "task_q_size": stat.task_q_size,
        "done_q_size": stat.done_q_size,
        "workers": stat.workers,
        "at": time.monotonic(),
    }
    new.write_text(json.dumps(known))
    new.replace(directory / "stat")


def read_progress(directory: Path) -> Sight:
    """What the files say now; nothing, where the sentinel has not reported yet."""
    try:
        stat = json.loads((directory / "stat").read_text())
    except OSError:
        return Sight()
    pool = stat["workers"]
    return Sight(
        stat=stat["at"],
        waiting=stat["task_q_size"],
        results=stat["done_q_size"],
        workers=len(pool),
        busy=sum((directory / f"busy-{pid}").exists() for pid in pool),
        started=_touched(directory / "started"),
        stored=_touched(directory / "stored"),
    )


def is_writable(directory: Path) -> bool:
    """Can a file be made there? Where none can, a missing one says nothing."""
    try:
        (directory / "probe").write_text("x")
        (directory / "probe").unlink()
    except OSError:
        return False
    return True


def _touched(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
