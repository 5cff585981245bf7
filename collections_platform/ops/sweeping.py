"""The thread of `run_worker` that sweeps, and tells that the worker lives."""

import logging
import time
import traceback
from collections.abc import Callable
from threading import Thread

from django.db import DatabaseError, InterfaceError, connections

from calls.sweeper import sweep
from collections_platform.api.attempts import prune_attempts
from collections_platform.ops.heartbeats import Heartbeat
from collections_platform.ops.processes import TICK_SECONDS, StopRequest

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 2
# Sweeps take milliseconds. One that waits for SQLite's write lock may take a minute.
HANGS_AFTER_SECONDS = 60
RECENT_SECONDS = 10


class Sweeping:
    """Sweeps every two seconds, until stopped; in a thread, because a database that hangs must not
    keep the signals waiting. `work` sweeps once and says whether that went well.
    """

    def __init__(self, stop: StopRequest, work: Callable[[], bool] | None = None) -> None:
        self._stop = stop
        self._heartbeat = Heartbeat()
        self._work = work or self._sweep_and_beat
        self._thread: Thread | None = None
        self._began_at: float | None = None
        self._went_well_at = 0.0
        self._told_at = 0.0

    def keep_running(self) -> None:
        """Start the thread, or start it again if it has ended; tell of a sweep that hangs. Such a
        thread cannot be ended: the heartbeat grows old, and others see it.
        """
        now, began_at = time.monotonic(), self._began_at
        if self._thread is None or not self._thread.is_alive():
            if self._thread:
                logger.error("The sweep's thread ended by itself; it is started again.")
            self._began_at = None
            self._thread = Thread(target=self._run, name="sweeper", daemon=True)
            self._thread.start()
        elif began_at and now - max(began_at, self._told_at) > HANGS_AFTER_SECONDS:
            self._told_at = now
            logger.error(
                "A sweep has been hanging for %.0f s: does the database answer?", now - began_at
            )

    def goes_well(self) -> bool:
        """Has a sweep just gone well? Then the database answers."""
        return time.monotonic() - self._went_well_at < RECENT_SECONDS

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, which comes soon after the stop was asked for."""
        if self._thread:
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.asked:
            self._began_at = time.monotonic()
            if self._work():
                self._went_well_at = time.monotonic()
            self._began_at = None
            self._rest()
        end_heartbeat(self._heartbeat)

    def _rest(self) -> None:
        until = time.monotonic() + SWEEP_SECONDS
        while not self._stop.asked and time.monotonic() < until:
            time.sleep(TICK_SECONDS)

    def _sweep_and_beat(self) -> bool:
        is_well = sweep_once()
        try:
            self._heartbeat.beat(is_well)
        except (DatabaseError, InterfaceError) as error:
            if is_well:  # else one line has been said about it
                logger.error("The heartbeat failed: %s", type(error).__name__)
            connections.close_all()
            return False
        return is_well


def sweep_once() -> bool:
    """Sweep; whatever goes wrong is one line in the log, and the next sweep tries again."""
    try:
        sweep()
        prune_attempts()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        logger.error("The sweep failed: %s at %s:%s", kind, place.filename, place.lineno)
        connections.close_all()
        return False
    return True


def end_heartbeat(heartbeat: Heartbeat) -> None:
    """A row that cannot be removed now is removed by another worker, a day later."""
    try:
        heartbeat.end()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The worker's row was left behind: %s", type(error).__name__)
    finally:
        connections.close_all()
