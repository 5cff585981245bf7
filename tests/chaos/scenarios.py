"""What may go wrong, one scenario each: a run of the arena, then its verdict."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tests.chaos.arena import Arena, numbers
from tests.chaos.checks import Violation, figures, violations
from tests.chaos.clock import Clock, NoCompiler
from tests.chaos.far_side import MISCHIEF
from tests.chaos.killer import Killer

CALLS_PER_SECOND = 50  # how many are asked for per second of trouble
OUTAGE_SECONDS = 5
SLOW_TO_MEND = {"error_before", "dropped_before"}


@dataclass(frozen=True, slots=True)
class Size:
    """`seconds` of trouble and how many calls meet it."""

    seed: str
    seconds: float
    calls: int

    @classmethod
    def of(cls, seed: str, seconds: float, *, is_small: bool = False) -> "Size":
        """As many calls as fill the time; half of both for SQLite, which one machine alone uses."""
        seconds = seconds / 2 if is_small else seconds
        return cls(seed, seconds, max(60, int(seconds * CALLS_PER_SECOND)))


@dataclass(frozen=True, slots=True)
class Result:
    """`figures` are printed in one line; `violations` is empty when every promise was kept."""

    name: str
    figures: dict[str, int | float]
    violations: list[Violation]
    folder: Path

    def __str__(self) -> str:
        told = "  ".join(f"{name} {value}" for name, value in self.figures.items())
        return f"{'ok  ' if not self.violations else 'FAIL'} {self.name}: {told}"


def judge(name: str, arena: Arena, killer: Killer | None = None, **expected: Any) -> Result:
    """Wait until it is quiet, hold everything found against every promise, and keep it all in the
    arena's folder.
    """
    may_wait = expected.get("deliveries_may_wait", False)
    quiet = arena.wait_for_quiet(["calls", "campaigns"] if may_wait else [])
    evidence = arena.evidence(**expected)
    found = violations(evidence)
    told: dict[str, int | float] = {**figures(evidence)}
    told["kills"] = len(killer.kills) if killer else 0
    told["s to quiet"] = quiet["seconds"]
    kept = {
        "violations": [str(violation) for violation in found],
        "ids": {violation.kind: violation.ids for violation in found},
        "quiet": quiet,
        "kills": killer.kills if killer else [],
        "record": evidence.record,
        "rows": [[getattr(row, field) for field in row.__slots__] for row in evidence.rows],
    }
    (arena.folder / "found.json").write_text(json.dumps(kept, indent=1))
    return Result(name, told, found, arena.folder)


def killing(size: Size) -> Result:
    """Any process dies at any moment."""
    with Arena("killing", size.seed) as arena:
        post_in_thirds(arena, size.calls)
        arena.run(size.seconds, killer=arena.killer)
        return judge("processes killed", arena, arena.killer, expected_campaigns=3)


def losing_redis(size: Size) -> Result:
    """The queue goes away, and twice everything in it; processes die as well."""
    with Arena("redis", size.seed, proxied=True) as arena:
        post_in_thirds(arena, size.calls)
        proxy = arena.proxies[-1]
        third = size.seconds / 3
        steps: list[tuple[float, Callable[[], object]]] = [
            (third / 2, arena.redis.flushdb),
            (third, proxy.cut),
            (third + OUTAGE_SECONDS, proxy.mend),
            (third * 2 + OUTAGE_SECONDS, arena.redis.flushdb),
        ]
        arena.run(size.seconds + OUTAGE_SECONDS, killer=arena.killer, steps=steps)
        return judge("Redis gone and emptied", arena, arena.killer, expected_campaigns=3)


def losing_the_database(size: Size) -> Result:
    """PostgreSQL ends every connection and is out of reach for a while."""
    with Arena("database", size.seed, proxied=True) as arena:
        post_in_thirds(arena, size.calls)
        proxy = arena.proxies[0]
        half = size.seconds / 2
        steps: list[tuple[float, Callable[[], object]]] = [
            (half / 2, arena.database.end_connections),
            (half, proxy.cut),
            (half, arena.database.end_connections),
            (half + OUTAGE_SECONDS, proxy.mend),
        ]
        arena.run(size.seconds + OUTAGE_SECONDS, steps=steps)
        return judge("PostgreSQL gone", arena, expected_campaigns=3)


def repeating_a_request(size: Size) -> Result:
    """The web server dies in the middle of bulk requests, which the client repeats."""
    with Arena("request", size.seed) as arena:
        killer = Killer(size.seed, arena.killer.roots, ["web worker", "web main"])
        post_through_a_dying_server(arena, killer, numbers(size.calls), kills=6)
        return judge("requests repeated", arena, killer, expected_campaigns=1)


def post_through_a_dying_server(
    arena: Arena, killer: Killer, people: list[str], kills: int
) -> None:
    """Kill the web server `kills` times at moments of a request at which it may be anywhere, then
    let the request through, and repeat it once more.
    """
    key = str(uuid4())
    for _ in range(kills):
        answer = arena.call_bulk(people, key)
        time.sleep(killer.dice.uniform(0.05, 1.0))
        killer.kill_one()
        arena.run(2, until=answer.done)
    arena.accept(arena.call_bulk(people, key))
    known = dict(arena.accepted)
    arena.accept(arena.call_bulk(people, key))
    assert arena.accepted == known, "the same request was answered in two ways"


def sharing_people(size: Size) -> Result:
    """Two campaigns call the same people at once, each in another order."""
    with Arena("sharing", size.seed) as arena:
        people = numbers(size.calls // 2)
        first = arena.call_bulk(people, str(uuid4()))
        second = arena.call_bulk(people[::-1], str(uuid4()))
        arena.accept(first, second)
        arena.run(size.seconds, killer=arena.killer)
        return judge("people shared", arena, arena.killer, expected_campaigns=2)


def stepping_the_clock(size: Size) -> Result:
    """The clock of one machine jumps ten minutes ahead, then ten minutes behind."""
    with TemporaryDirectory(prefix="chaos-clock-") as folder:
        try:
            clock = Clock(Path(folder))
        except NoCompiler as reason:
            raise NotPossible(str(reason)) from reason
        # Signatures carry the time, so whoever checks them has to bear with the wrong one.
        with Arena("clock", size.seed, second_machine=clock.environment) as arena:
            post_in_thirds(arena, size.calls)
            third = size.seconds / 3
            steps: list[tuple[float, Callable[[], object]]] = [
                (0, lambda: clock.step(600)),
                (third, lambda: clock.step(-600)),
                (third * 2, lambda: clock.step(600)),
            ]
            arena.run(size.seconds, steps=steps)
            result = judge("clock stepped", arena, expected_campaigns=3)
            assert clock.read() - time.time() > 500, "the clock was right all the time"
            assert not arena.restarts, "the machine with the wrong clock did not last"
            return result


def mischief(size: Size) -> Result:
    """Everything that the far side can do wrong, and nothing else."""
    with Arena("mischief", size.seed, mischief=True) as arena:
        # Every answer that is late holds up those beside it: fewer calls fill the same time.
        post_in_thirds(arena, size.calls // 4)
        arena.run(size.seconds)
        arena.set_mischief({})
        return judge("mischief", arena, expected_campaigns=3)


def everything(size: Size) -> Result:
    """Kills, mischief, repeated requests and shared people at once: the short form. It leaves out
    what takes minutes: calls that the far side never heard of are placed again after a minute, and
    what a worker died over while it told of it is told again after two.
    """
    with Arena("everything", size.seed, mischief=True) as arena:
        arena.set_mischief({name: MISCHIEF[name] for name in MISCHIEF.keys() - SLOW_TO_MEND})
        people = numbers(size.calls // 2)
        killer = Killer(size.seed, arena.killer.roots, ["web worker", "web main"])
        post_through_a_dying_server(arena, killer, people, kills=3)
        arena.accept(arena.call_bulk(people[::-1], str(uuid4())), killer=arena.killer)
        arena.run(size.seconds, killer=arena.killer)
        arena.set_mischief({})
        arena.killer.kills += killer.kills
        return judge(
            "everything", arena, arena.killer, expected_campaigns=2, deliveries_may_wait=True
        )


def post_in_thirds(arena: Arena, calls: int) -> None:
    people = numbers(calls)
    third = -(-calls // 3)
    parts = [people[start : start + third] for start in range(0, calls, third)]
    arena.accept(*[arena.call_bulk(part, str(uuid4())) for part in parts])


class NotPossible(Exception):
    """Why a scenario cannot run here."""


ON_SQLITE: dict[str, Callable[[Size], Result]] = {
    "killing": killing,
    "request": repeating_a_request,
    "sharing": sharing_people,
    "mischief": mischief,
}
ON_SERVERS: dict[str, Callable[[Size], Result]] = ON_SQLITE | {
    "redis": losing_redis,
    "database": losing_the_database,
    "clock": stepping_the_clock,
}
# What pytest runs; not one of all, for it is made of them.
SHORT: dict[str, Callable[[Size], Result]] = {"everything": everything}
