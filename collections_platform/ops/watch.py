"""When is a cluster stuck? One that has lost a process may be so for ever, and look alive.

A worker process that is killed while it waits for a task takes the queue's lock with it: no other
gets a task any more. One that is killed over its own lock stops the sentinel.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from collections_platform.ops.progress import Sight


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a state is borne that should pass by itself."""

    idle: float = 10  # tasks wait, a worker is free, none begins one
    results: float = 30  # results wait, none is dealt with
    silence: float = 30  # the sentinel does not report
    start: float = 60  # a new cluster has not reported yet


# After a longer pause between two looks the looker itself has stood still, and knows nothing.
LONGEST_GAP_SECONDS = 5


class Watch:
    """Looks at a cluster about once a second, and tells when it is stuck.

    Times are seconds of a clock that stands still while the machine sleeps.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._cluster: int | None = None
        self._first_stat: float | None = None
        self._looked_at = 0.0
        self._since: dict[str, tuple[Hashable, float]] = {}

    def look(self, now: float, cluster: int, sight: Sight, database_answers: bool) -> str | None:
        """Why the cluster must be started again, in words, or None.

        `cluster`: its process id. Sentinel and monitor ask the database, so that neither is called
        stuck while the database does not answer; workers get their tasks without it.
        """
        if cluster != self._cluster:
            self._since.clear()
            self._first_stat = sight.stat  # of the cluster before, if any
        if now - self._looked_at > LONGEST_GAP_SECONDS:
            self._since.clear()
        self._cluster, self._looked_at = cluster, now

        has_reported = sight.stat != self._first_stat
        is_free = has_reported and sight.waiting > 0 and sight.busy < sight.workers
        has_results = has_reported and sight.results > 0 and database_answers
        silence = self._last(now, "silence", sight.stat, database_answers)
        idle = self._last(now, "idle", sight.started, is_free)
        results = self._last(now, "results", sight.stored, has_results)
        if silence > (self.patience.silence if has_reported else self.patience.start):
            return f"its sentinel has not reported for {silence:.0f} s"
        if idle > self.patience.idle:
            return (
                f"{sight.waiting} tasks wait while {sight.busy} of {sight.workers} workers work, "
                f"and none has begun one for {idle:.0f} s"
            )
        if results > self.patience.results:
            return f"{sight.results} results wait, and none was dealt with for {results:.0f} s"
        return None

    def _last(self, now: float, name: str, state: Hashable, is_so: bool) -> float:
        """For how many seconds it has been so without a change of the state."""
        if not is_so:
            self._since.pop(name, None)
            return 0.0
        before, since = self._since.get(name, (None, now))
        if name not in self._since or before != state:
            self._since[name] = (state, now)
            return 0.0
        return now - since
