"""How long a task may work before it gives way to others."""

import os
import time
from pathlib import Path

SECONDS = 20


class Slice:
    """The time of one run of a task: over after `seconds`, or when the worker is to stop."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._ends_at = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        return 0.0 if is_draining() else self._ends_at - time.monotonic()

    @property
    def is_over(self) -> bool:
        return self.seconds_left <= 0


def is_draining() -> bool:
    """Has the worker been told to stop? `run_worker` says so with a file."""
    path = os.environ.get("WORKER_DRAIN_FILE")
    return Path(path).exists() if path else False
