"""What may come back when a call is placed, and what becomes of the call."""

import pytest

from calls.models import CallLog
from calls.statuses import CallStatus
from calls.tests.conformance.conftest import Scene, tellings

pytestmark = pytest.mark.conformance


def test_a_call_is_placed_once_with_our_id_and_is_found_by_it(scene: Scene) -> None:
    call = scene.launch_and_place()
    scene.place(call)
    assert scene.placements_of(call) == 1
    assert call.provider_call_id
    assert not scene.look_up(call).is_unknown
    assert scene.held_reason() == ""


def test_a_lost_answer_to_the_placement_is_made_good_by_asking(scene: Scene) -> None:
    scene.fake.answer_next("closed", takes_call=True)
    call = scene.launch()
    scene.place(call)
    assert (call.status, call.provider_call_id) == (CallStatus.DIALING, "")
    scene.fake.answer(call.pk)
    scene.poll(call)
    scene.poll(call, 40)
    assert call.status == CallStatus.IN_PROGRESS
    assert call.provider_call_id
    assert scene.placements_of(call) == 1


def test_a_call_that_the_provider_never_saw_is_placed_again_under_the_same_id(
    scene: Scene,
) -> None:
    scene.fake.answer_next("closed")
    call = scene.launch()
    scene.place(call)
    scene.poll(call, 20)
    scene.place(call)
    assert (call.status, scene.placements_of(call)) == (CallStatus.DIALING, 1), "too early to say"
    scene.wait_for_placement(call)
    assert set(scene.fake.calls) == {call.pk}
    assert scene.placements_of(call) == 2
    assert CallLog.objects.count() == 1


@pytest.mark.parametrize("fault", ["unauthorized", "no_credit", "not_found"])
def test_a_fault_of_the_account_holds_it_with_a_reason_and_fails_nobody(
    scene: Scene, fault: str
) -> None:
    scene.fake.answer_next(fault)
    call = scene.launch()
    scene.place(call)
    assert (call.status, len(scene.fake.calls)) == (CallStatus.QUEUED, 0)
    kind, _colon, reason = scene.held_reason().partition(": ")
    assert kind == "account"
    assert reason
    assert reason in scene.account.hold_sentence
    scene.place(call)
    assert scene.placements_of(call) == 1, "nobody tries meanwhile"
    scene.wait_for_placement(call)
    assert scene.held_reason() == ""


@pytest.mark.parametrize("fault", ["throttled", "throttled_for_a_while"])
def test_a_provider_that_takes_no_call_just_now_is_sent_it_later(scene: Scene, fault: str) -> None:
    scene.fake.answer_next(fault)
    call = scene.launch()
    scene.place(call)
    assert (call.status, scene.held_reason()) == (CallStatus.QUEUED, "")
    assert call.not_before
    scene.wait_for_placement(call)
    assert (len(scene.fake.calls), scene.placements_of(call)) == (1, 2)


# With whether the provider has the call.
SAY_NOTHING = [
    ("unavailable", False),
    *(
        (fault, taken)
        for fault in ("server_error", "garbage", "silence")
        for taken in (False, True)
    ),
]


@pytest.fixture
def _silence_is_short(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.subject.deadline, 0.3)


@pytest.mark.usefixtures("_silence_is_short")
@pytest.mark.parametrize(("fault", "takes_call"), SAY_NOTHING)
def test_an_answer_that_says_nothing_fails_nobody_and_has_nobody_called_twice(
    scene: Scene, fault: str, takes_call: bool
) -> None:
    scene.fake.answer_next(fault, takes_call=takes_call)
    call = scene.launch()
    scene.place(call)
    assert call.status in {CallStatus.DIALING, CallStatus.QUEUED}
    if takes_call:
        scene.fake.ring(call.pk)
    scene.wait_for_placement(call)
    assert not call.is_ended
    assert set(scene.fake.calls) == {call.pk}
    assert scene.placements_of(call) == (1 if takes_call else 2)


def test_a_number_that_the_provider_refuses_ends_the_call_for_good(scene: Scene) -> None:
    scene.fake.answer_next("invalid_number")
    call = scene.launch()
    scene.place(call)
    assert (call.status, len(scene.fake.calls)) == (CallStatus.INVALID_NUMBER, 0)
    assert call.ended_reason
    assert scene.held_reason() == ""
    assert (CallLog.objects.count(), tellings()) == (1, 1)
