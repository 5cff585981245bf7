"""The worker: django-q's cluster, kept running, and the sweep that repeats lost wake-ups."""

import logging
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings

from collections_platform.ops.processes import TICK_SECONDS, Child, StopRequest, stop_children
from collections_platform.ops.progress import VARIABLE, is_writable, read_progress
from collections_platform.ops.sweeping import Sweeping
from collections_platform.ops.watch import Patience, Watch

logger = logging.getLogger(__name__)

CLUSTER = [sys.executable, "-m", "collections_platform.ops.cluster"]
LOOK_SECONDS = 1
# For the sweep that is under way when the worker stops: its own margin before it is killed.
SWEEP_STOP_SECONDS = 2


def run_worker(stop: StopRequest, patience: Patience | None = None) -> None:
    """Work until asked to stop, then drain: running tasks end their slice, none begins another.

    Tasks look for the file that WORKER_DRAIN_FILE names; it exists from the request on. The
    cluster gets one SIGTERM, to its main process alone: a second, or one to the group, hangs it.
    """
    with TemporaryDirectory(prefix="worker-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        drain = directory / "drain"
        told = {"WORKER_DRAIN_FILE": str(drain), VARIABLE: name}
        child = Child("queue cluster", CLUSTER, stdout=None, stderr=None, **told)
        cluster = WatchedCluster(child, directory, patience)
        sweeping = Sweeping(stop)
        try:
            while not stop.asked:
                cluster.keep_running(sweeping.goes_well())
                sweeping.keep_running()
                time.sleep(TICK_SECONDS)
        finally:
            drain.touch()
            stop_children([cluster.child], settings.WORKER_STOP_SECONDS)
            sweeping.join(SWEEP_STOP_SECONDS)


class WatchedCluster:
    """The queue's cluster, started again when it has ended or is stuck."""

    def __init__(self, child: Child, directory: Path, patience: Patience | None) -> None:
        self.child = child
        self._directory = directory
        self._watch = Watch(patience)
        self._look_at = 0.0

    def keep_running(self, database_answers: bool) -> None:
        self.child.keep_running()
        now = time.monotonic()
        if self.child.process is None or now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        sight = read_progress(self._directory)
        reason = self._watch.look(now, self.child.process.pid, sight, database_answers)
        # Where no file can be made, the files tell of no progress that is being made all the same.
        if reason and is_writable(self._directory):
            logger.error("The queue cluster is stuck (%s); it is started again.", reason)
            self.child.kill()
