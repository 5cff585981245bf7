"""SIGKILL to a process of the platform, now and then."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.far_side import dice_of

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 3.0
# How often each kind dies. The queue's processes are its workers, its pusher and its monitor.
KINDS = {
    "queue process": 10,
    "sentinel": 2,
    "queue main": 2,
    "run_worker": 2,
    "web worker": 3,
    "web main": 1,
}


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    command: str


def processes() -> dict[int, Process]:
    """Every process there is (Linux)."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text().replace("\0", " ")
            if stat[0] != "Z":
                found[int(folder.name)] = Process(int(folder.name), int(stat[1]), command)
    return found


def kinds_below(roots: Iterable[int]) -> dict[int, str]:
    """The processes of the platform at and below these, by what they do."""
    known = processes()
    below: dict[int, list[Process]] = {}
    for process in known.values():
        below.setdefault(process.parent, []).append(process)
    kinds: dict[int, str] = {}
    waiting = [(known[pid], "") for pid in roots if pid in known]
    while waiting:
        process, above = waiting.pop()
        if kind := _kind(process, above):
            kinds[process.pid] = kind
        waiting += [(child, kind) for child in below.get(process.pid, [])]
    return kinds


def _kind(process: Process, above: str) -> str:
    if "run_worker" in process.command:
        return "run_worker"
    if "collections_platform.ops.cluster" in process.command:
        return {"queue main": "sentinel", "sentinel": "queue process"}.get(above, "queue main")
    if "gunicorn" in process.command:
        return "web worker" if above == "web main" else "web main"
    return ""


class Killer:
    """Kills one process at each `tick` whose time has come. `roots` names the processes at and
    below which it looks; those of kinds that `KINDS` does not list stay alive.
    """

    def __init__(
        self, seed: str, roots: Callable[[], Iterable[int]], only: Iterable[str] = KINDS
    ) -> None:
        self.dice = dice_of("killer", seed)
        self.roots = roots
        self.weights = {kind: KINDS[kind] for kind in only}
        self.kills: list[tuple[float, str, int]] = []
        self._next_at = time.monotonic() + self._pause()

    @property
    def by_kind(self) -> dict[str, int]:
        return dict(Counter(kind for _, kind, _ in self.kills))

    def tick(self) -> None:
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + self._pause()
            self.kill_one()

    def kill_one(self) -> None:
        by_kind: dict[str, list[int]] = {}
        for pid, kind in kinds_below(self.roots()).items():
            if kind in self.weights:
                by_kind.setdefault(kind, []).append(pid)
        if not by_kind:
            return
        kinds = sorted(by_kind)
        kind = self.dice.choices(kinds, [self.weights[kind] for kind in kinds])[0]
        pid = self.dice.choice(sorted(by_kind[kind]))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.kills.append((time.time(), kind, pid))

    def _pause(self) -> float:
        return self.dice.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)
