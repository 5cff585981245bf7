"""The worker: django-q's cluster, kept running, and the sweep that repeats lost wake-ups."""

import logging
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from django.conf import settings
from django.db import connections

from calls.sweeper import sweep
from collections_platform.api.attempts import prune_attempts
from collections_platform.ops.processes import TICK_SECONDS, Child, StopRequest, stop_children

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 2
CLUSTER = [sys.executable, "-m", "collections_platform.ops.cluster"]


def run_worker(stop: StopRequest) -> None:
    """Work until asked to stop, then drain: running tasks end their slice, none begins another.

    Tasks look for the file that WORKER_DRAIN_FILE names; it exists from the request on. The
    cluster gets one SIGTERM, to its main process alone: a second, or one to the group, hangs it.
    """
    with TemporaryDirectory(prefix="worker-") as directory:
        drain = Path(directory, "drain")
        cluster = Child("queue cluster", CLUSTER, WORKER_DRAIN_FILE=str(drain))
        # In a thread, because a database that hangs must not keep the signals waiting.
        Thread(target=_keep_sweeping, args=[stop], name="sweeper", daemon=True).start()
        try:
            while not stop.asked:
                cluster.keep_running()
                time.sleep(TICK_SECONDS)
        finally:
            drain.touch()
            stop_children([cluster], settings.WORKER_STOP_SECONDS)


def _keep_sweeping(stop: StopRequest) -> None:
    while not stop.asked:
        sweep_once()
        time.sleep(SWEEP_SECONDS)


def sweep_once() -> None:
    """Sweep; whatever goes wrong is one line in the log, and the next sweep tries again."""
    try:
        sweep()
        prune_attempts()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        logger.error("The sweep failed: %s at %s:%s", kind, place.filename, place.lineno)
        connections.close_all()
