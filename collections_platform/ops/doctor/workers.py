"""Checks of who works, and by which clock."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import connection

from collections_platform.ops.doctor.facts import Facts, is_ours
from collections_platform.ops.doctor.problem import Problem, lasting

SKEW = timedelta(seconds=5)
UNSWEPT = timedelta(minutes=3)
START = "Start one: `manage.py run_worker`, or `systemctl start` its unit (docs/deploy.md)."
SET_CLOCK = "Have it set by the network: `timedatectl set-ntp true`."


def no_worker(facts: Facts) -> Iterator[Problem]:
    if facts.running:
        return
    seen = max((worker.seen_at for worker in facts.workers if is_ours(worker)), default=None)
    last = f" The last one was seen {lasting(facts.now - seen)} ago." if seen else ""
    yield Problem(f"No worker is running: nothing is done.{last}", START)


def lost_worker(facts: Facts) -> Iterator[Problem]:
    """Of several; where none is left, one sentence is enough."""
    for worker in facts.workers if facts.running else ():
        if is_ours(worker) and not facts.is_seen(worker):
            age = lasting(facts.now - worker.seen_at)
            yield Problem(
                f"The worker on {worker.host} (process {worker.pid}) was last seen {age} ago and "
                "was not stopped.",
                "See what its log says, and start it again. If that machine is gone for good, "
                "this is forgotten a day after it was seen.",
            )


def other_queue(facts: Facts) -> Iterator[Problem]:
    for name in sorted({w.queue for w in facts.workers if facts.is_seen(w) and not is_ours(w)}):
        yield Problem(
            f"Workers serve the queue “{name}”, but QUEUE_NAME is “{settings.QUEUE_NAME}” here.",
            "Give every machine the same QUEUE_NAME.",
        )


def other_version(facts: Facts) -> Iterator[Problem]:
    version = settings.SPECTACULAR_SETTINGS["VERSION"]
    for worker in facts.running:
        if worker.version != version:
            yield Problem(
                f"The worker on {worker.host} runs version {worker.version}, this is {version}.",
                "Bring both to the same version, and restart them.",
            )


def last_sweep(facts: Facts) -> Iterator[Problem]:
    """Of the workers that live: since when has none of them swept?"""
    times = [worker.swept_at or worker.started_at for worker in facts.running]
    if times and facts.now - max(times) > UNSWEPT:
        yield Problem(
            f"No sweep has gone well for {lasting(facts.now - max(times))}: what a dead process "
            "left behind is not taken up again.",
            "The workers' log has a line “The sweep failed” that says why.",
        )


def own_clock(facts: Facts) -> Iterator[Problem]:
    if difference := _difference(facts.machine_time - facts.now):
        yield Problem(f"This machine's clock is {difference} the database's.", SET_CLOCK)


def workers_clock(facts: Facts) -> Iterator[Problem]:
    for worker in facts.running:
        if difference := _difference(worker.machine_time - worker.seen_at):
            yield Problem(f"The clock of {worker.host} is {difference} the database's.", SET_CLOCK)


def _difference(ahead: timedelta) -> str:
    """In words; nothing, where it is small. SQLite has no clock but its machine's."""
    if abs(ahead) <= SKEW or connection.vendor == "sqlite":
        return ""
    return f"{lasting(abs(ahead))} {'ahead of' if ahead > timedelta() else 'behind'}"
