"""Closing lines: of calls that ring, that are talked on, and that are over already."""

import pytest

from calls.control import NotAllowed, cancel_call
from calls.lines import hang_up
from calls.models import CallLog
from calls.statuses import CallStatus
from calls.tests.conformance.conftest import Scene, tellings

pytestmark = pytest.mark.conformance


def cancel(call: CallLog) -> None:
    cancel_call(call.call_id)
    hang_up()
    call.refresh_from_db()
    assert call.status == CallStatus.CANCELLED


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told"])
def test_a_call_that_rings_is_hung_up(scene: Scene, is_told: bool) -> None:
    call = scene.launch_and_place()
    message = scene.fake.ring(call.pk)
    if is_told:
        assert scene.send(message) == 200
    assert not scene.is_over(call)
    cancel(call)
    assert call.hang_up_at is None
    assert scene.is_over(call)
    assert tellings() == 1


def test_a_conversation_that_we_do_not_know_of_yet_is_hung_up(scene: Scene) -> None:
    call = scene.launch_and_place()
    message = scene.fake.answer(call.pk)
    cancel(call)
    assert call.hang_up_at is None
    assert scene.is_over(call)
    assert scene.send(message) == 200
    call.refresh_from_db()
    assert call.status == CallStatus.CANCELLED


def test_a_conversation_that_we_know_of_is_not_cancelled(scene: Scene) -> None:
    call = scene.launch_and_place()
    message = scene.fake.answer(call.pk)
    assert scene.send(message) == 200
    scene.poll(call)
    with pytest.raises(NotAllowed):
        cancel_call(call.call_id)
    hang_up()
    assert not scene.is_over(call)


def test_a_call_that_is_over_already_is_closed_and_its_late_end_changes_nothing(
    scene: Scene,
) -> None:
    call = scene.launch_and_place()
    scene.fake.answer(call.pk)
    message = scene.fake.end(call.pk)
    cancel(call)
    assert call.hang_up_at is None
    assert scene.send(message) == 200
    scene.poll(call)
    assert call.status == CallStatus.CANCELLED
    assert tellings() == 1


@pytest.mark.parametrize("fault", ["server_error", "unavailable", "closed", "throttled"])
def test_a_line_that_could_not_be_closed_is_closed_later(scene: Scene, fault: str) -> None:
    call = scene.launch_and_place()
    scene.fake.ring(call.pk)
    scene.fake.answer_next(fault)
    cancel(call)
    assert call.hang_up_at, "who may be on the line is not called meanwhile"
    assert not scene.is_over(call)
    scene.let_pass(seconds=6)
    hang_up()
    call.refresh_from_db()
    assert call.hang_up_at is None
    assert scene.is_over(call)


def test_the_line_of_a_call_whose_placement_is_unknown_is_closed_once_it_is_found(
    scene: Scene,
) -> None:
    scene.fake.answer_next("closed", takes_call=True)
    call = scene.launch()
    scene.place(call)
    scene.fake.ring(call.pk)
    cancel(call)
    for _ in range(3):
        scene.let_pass(seconds=30)
        hang_up()
    call.refresh_from_db()
    assert call.hang_up_at is None
    assert scene.is_over(call)
    assert scene.placements_of(call) == 1
