import pytest

from tests.chaos.arena import ENDED_WITHIN_SECONDS, TOLD_WITHIN_SECONDS, Quiet


def seconds_waited(opened: list[int], deliveries: int = 0, accepted: int = 100) -> int:
    """How long is waited if so many calls are open in each 10 s, the last number for ever."""
    quiet = Quiet(accepted)
    for tick in range(1000):
        calls = opened[min(tick, len(opened) - 1)]
        if quiet.is_over({"calls": calls, "deliveries": deliveries}, tick * 10):
            return tick * 10
    return -1


def test_it_is_over_when_nothing_is_open() -> None:
    assert seconds_waited([50, 20, 0]) == 20


def test_a_backlog_may_take_its_time_as_long_as_it_shrinks() -> None:
    assert seconds_waited([*range(100, 10, -1), 0]) == 900


@pytest.mark.parametrize("left", [5, 90])
def test_what_does_not_end_is_waited_for_in_vain_but_not_for_ever(left: int) -> None:
    assert seconds_waited([left]) == ENDED_WITHIN_SECONDS + 10


def test_the_last_calls_have_one_limit_together() -> None:
    trickle = [call for call in range(9, 0, -1) for _ in range(4)]

    assert seconds_waited(trickle) == ENDED_WITHIN_SECONDS + 10


def test_what_is_to_be_told_has_a_limit_of_its_own() -> None:
    assert seconds_waited([0], deliveries=1) == TOLD_WITHIN_SECONDS + 10
