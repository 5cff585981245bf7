"""A watch is told the time and what is seen, once a second as `run_worker` does."""

from dataclasses import replace
from typing import Any

import pytest

from collections_platform.ops.progress import Sight
from collections_platform.ops.watch import Patience, Watch

PATIENCE = Patience(idle=10, results=30, silence=30, start=60)
CLUSTER = 100


class Looker:
    """Looks at a cluster whose sentinel reports with each look, unless told otherwise."""

    def __init__(self, **sight: Any) -> None:
        self.now = 1000.0
        self.watch = Watch(PATIENCE)
        self.cluster = CLUSTER
        self.sight = Sight(workers=4)
        self.look()  # what is there at first may be the cluster's before
        self.sight = replace(self.sight, **sight)
        self.look_for(2)

    def look(self, reports: bool = True, database_answers: bool = True) -> str | None:
        self.now += 1
        if reports:
            self.sight = replace(self.sight, stat=self.now)
        return self.watch.look(self.now, self.cluster, self.sight, database_answers)

    def look_for(self, seconds: int, **how: Any) -> str | None:
        """The first verdict within so many seconds."""
        verdicts = (self.look(**how) for _ in range(seconds))
        return next((verdict for verdict in verdicts if verdict), None)


def test_a_cluster_with_nothing_to_do_is_not_stuck() -> None:
    assert Looker().look_for(1000) is None


def test_tasks_that_wait_while_workers_are_free_tell_of_a_stuck_queue() -> None:
    looker = Looker(waiting=3, busy=1)
    assert looker.look_for(8) is None
    assert looker.look_for(3) == (
        "3 tasks wait while 1 of 4 workers work, and none has begun one for 11 s"
    )


def test_all_workers_at_long_tasks_are_not_stuck() -> None:
    assert Looker(waiting=4, busy=4).look_for(1000) is None


def test_workers_that_begin_one_task_after_the_other_are_not_stuck() -> None:
    looker = Looker(waiting=4, busy=3)
    for started in range(100):
        looker.sight = replace(looker.sight, started=started)
        assert looker.look_for(9) is None


def test_a_queue_that_was_empty_for_a_moment_is_not_stuck() -> None:
    looker = Looker(waiting=1)
    assert looker.look_for(8) is None
    looker.sight = replace(looker.sight, waiting=0)
    looker.look()
    looker.sight = replace(looker.sight, waiting=1)
    assert looker.look_for(10) is None


def test_a_pool_that_is_not_there_yet_is_not_stuck() -> None:
    assert Looker(waiting=4, workers=0).look_for(50) is None


def test_results_that_nobody_deals_with_tell_of_a_stuck_monitor() -> None:
    looker = Looker(results=2)
    assert looker.look_for(28) is None
    assert looker.look_for(3) == "2 results wait, and none was dealt with for 31 s"


def test_results_that_are_dealt_with_slowly_are_no_sign() -> None:
    looker = Looker(results=2)
    for stored in range(10):
        looker.sight = replace(looker.sight, stored=stored)
        assert looker.look_for(29) is None


def test_a_silent_sentinel_is_stuck() -> None:
    looker = Looker()
    assert looker.look_for(30, reports=False) is None
    assert looker.look_for(1, reports=False) == "its sentinel has not reported for 31 s"


@pytest.mark.parametrize("sight", [{"results": 2}, {"stat": 5.0}])
def test_neither_monitor_nor_sentinel_is_blamed_while_the_database_is_gone(
    sight: dict[str, Any],
) -> None:
    looker = Looker(**sight)
    assert looker.look_for(1000, reports=False, database_answers=False) is None
    assert looker.look_for(29, reports=False) is None
    assert looker.look_for(4, reports=False) is not None


def test_a_new_cluster_has_longer_to_report() -> None:
    looker = Looker()
    looker.cluster = CLUSTER + 1  # the file still holds what the cluster before reported
    assert looker.look_for(60, reports=False) is None
    assert looker.look_for(2, reports=False) == "its sentinel has not reported for 61 s"


def test_what_the_cluster_before_left_is_not_held_against_the_new_one() -> None:
    looker = Looker(waiting=3)
    assert looker.look_for(8) is None
    looker.cluster = CLUSTER + 1
    assert looker.look_for(30, reports=False) is None
    assert looker.look_for(9) is None


def test_after_the_looker_itself_stood_still_the_cluster_has_its_time_again() -> None:
    looker = Looker(waiting=3)
    assert looker.look_for(8) is None
    looker.now += 3600
    assert looker.look_for(10, reports=False) is None
    assert looker.look_for(3, reports=False) is not None
