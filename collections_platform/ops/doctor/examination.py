"""All checks, one after the other; one that fails does not stop the others."""

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings

from collections_platform.ops.doctor import installation, work, workers
from collections_platform.ops.doctor.facts import gather, gather_queue
from collections_platform.ops.doctor.figures import figures
from collections_platform.ops.doctor.problem import Problem

Check = Callable[..., Iterator[Problem]]
Result = TypeVar("Result")

OF_INSTALLATION: tuple[Check, ...] = (
    installation.system_checks,
    installation.debug,
    installation.queue_timeout,
    installation.queue_retry,
    installation.stop_seconds,
    installation.disk,
)
OF_FACTS: tuple[Check, ...] = (
    workers.no_worker,
    workers.lost_worker,
    workers.other_queue,
    workers.other_version,
    workers.last_sweep,
    workers.own_clock,
    workers.workers_clock,
    work.unattended_calls,
    work.abandoned_batches,
    work.endless_calls,
    work.unstarted_campaigns,
    work.held_accounts,
    work.unknown_providers,
    work.default_template,
    work.disabled_endpoints,
    work.failing_endpoints,
    work.overdue_deliveries,
    work.dead_deliveries,
)


@dataclass
class Examination:
    """What was found, by the name of the check. `figures` is empty where the database is gone."""

    found: list[tuple[str, Problem]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        return [problem for _, problem in self.found if not problem.is_note]

    @property
    def notes(self) -> list[Problem]:
        return [problem for _, problem in self.found if problem.is_note]

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        found = [
            {
                "check": name,
                "sentence": problem.sentence,
                "remedy": problem.remedy,
                "isNote": problem.is_note,
            }
            for name, problem in self.found
        ]
        return {"isWell": not self.problems, "found": found, "figures": self.figures}

    def run(self, checks: Iterable[Check], *args: Any) -> bool:
        """Keep what the checks find; True if it is nothing."""
        before = len(self.found)
        for check in checks:
            problems = self.attempt(check.__name__, _list, check, args) or []
            self.found += [(check.__name__, problem) for problem in problems]
        return len(self.found) == before

    def attempt(self, name: str, function: Callable[..., Result], *args: Any) -> Result | None:
        """What the function returns; None, and a problem of this name, if it fails."""
        try:
            return function(*args)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            sentence = f"What {name} is to tell cannot be found out: {where}."
            self.found.append((name, Problem(sentence, "Run doctor again, and report it.")))
            return None


def _list(check: Check, args: tuple[Any, ...]) -> list[Problem]:
    return list(check(*args))


def examine() -> Examination:
    """Check everything that can be checked, with a constant number of queries."""
    all_found = Examination()
    all_found.run(OF_INSTALLATION)
    has_database = all_found.run([installation.database])
    has_tables = has_database and all_found.run([installation.migrations])
    has_broker = (has_tables or bool(settings.REDIS_URL)) and all_found.run([installation.broker])
    if has_broker:
        all_found.run([installation.redis_memory])
    facts = all_found.attempt("facts", gather) if has_tables else None
    if facts:
        all_found.run(OF_FACTS, facts)
        queue = all_found.attempt("queue", gather_queue) if has_broker else None
        if queue:
            all_found.run([work.long_queue], queue, facts)
        all_found.figures = all_found.attempt("figures", figures, facts, queue) or {}
    return all_found
