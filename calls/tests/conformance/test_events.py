"""What a provider tells, in whatever order, and what it only pretends to."""

import pytest

from calls.dialling import call_request, claim_calls, note_placements
from calls.events import record_events
from calls.models import CallLog, ProviderEvent
from calls.providers import provider_of
from calls.providers.base import EventKind
from calls.statuses import TERMINAL, CallStatus
from calls.tests.conformance.conftest import Scene, make_account, tellings
from campaigns.clock import database_now

pytestmark = pytest.mark.conformance
SPOKE = {CallStatus.COMPLETED, CallStatus.VOICEMAIL}
STATUSES = [s for s in TERMINAL if s not in {CallStatus.CANCELLED, CallStatus.SKIPPED}]


@pytest.mark.parametrize("is_told", [True, False], ids=["events", "polls"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_call_ends_as_the_provider_says(scene: Scene, status: CallStatus, is_told: bool) -> None:
    if status in scene.subject.untold:
        pytest.skip("the provider has no word for it")
    call = scene.launch_and_place()
    steps = [scene.fake.ring, scene.fake.answer] if status in SPOKE else [scene.fake.ring]
    for step in steps:
        message = step(call.pk)
        assert not is_told or scene.send(message) == 200
    if is_told and status in SPOKE:
        call.refresh_from_db()
        assert call.status == CallStatus.IN_PROGRESS
    ended = scene.fake.end(call.pk, status)
    if is_told:
        assert scene.send(ended) == 200
        call.refresh_from_db()
    else:
        scene.poll(call)
    assert call.status == status
    assert call.ended_reason
    assert tellings() == 1
    assert not CallLog.objects.live().exists()


def test_events_may_come_again_and_in_any_order(scene: Scene) -> None:
    call = scene.launch_and_place()
    told = [scene.fake.ring(call.pk), scene.fake.answer(call.pk), scene.fake.end(call.pk)]
    for position in (1, 0, 1):
        assert scene.send(told[position]) == 200
        call.refresh_from_db()
        assert call.status == CallStatus.IN_PROGRESS
    for position in (2, 1, 0, 2):
        assert scene.send(told[position]) == 200
        call.refresh_from_db()
        assert call.status == CallStatus.COMPLETED
    scene.poll(call)
    events = ProviderEvent.objects.filter(call=call)
    assert events.filter(kind=EventKind.ENDED).count() == 1
    assert tellings() == 1


def test_an_end_alone_ends_the_call(scene: Scene) -> None:
    call = scene.launch_and_place()
    scene.fake.answer(call.pk)
    assert scene.send(scene.fake.end(call.pk)) == 200
    call.refresh_from_db()
    assert call.status == CallStatus.COMPLETED


@pytest.mark.parametrize("is_over", [False, True], ids=["answered", "ended"])
def test_events_may_come_before_the_answer_to_the_placement(scene: Scene, is_over: bool) -> None:
    call = scene.launch()
    assert call.batch.take_lease(60)
    [claimed] = claim_calls(call.batch).calls
    placement = provider_of(scene.account).place(call_request(claimed))
    told = [scene.fake.ring(call.pk), scene.fake.answer(call.pk)]
    for message in [*told, scene.fake.end(call.pk)] if is_over else told:
        assert scene.send(message) == 200
    note_placements([(claimed, placement)])
    call.refresh_from_db()
    assert call.status == (CallStatus.COMPLETED if is_over else CallStatus.IN_PROGRESS)
    assert call.provider_call_id == placement.provider_call_id
    assert tellings() == is_over


def test_what_is_looked_up_and_what_is_sent_are_the_same_events(scene: Scene) -> None:
    call = scene.launch_and_place()
    for message in (scene.fake.ring(call.pk), scene.fake.answer(call.pk), scene.fake.end(call.pk)):
        assert scene.send(message) == 200
    before = set(ProviderEvent.objects.values_list("event_id", flat=True))
    looked_up = scene.look_up(call).events
    record_events(scene.account, looked_up)
    assert tellings() == 1
    ends = {event.event_id for event in looked_up if event.kind is EventKind.ENDED}
    assert ends <= before


def test_what_is_forged_is_401_and_changes_nothing(scene: Scene) -> None:
    call = scene.launch_and_place()
    scene.fake.answer(call.pk)
    message = scene.fake.end(call.pk)
    for forged in (scene.fake.forge(message), ({}, message[1]), (message[0], message[1] + b" ")):
        assert scene.send(forged) == 401
    assert_untouched(call)


def test_what_is_stale_is_401_and_changes_nothing(scene: Scene) -> None:
    call = scene.launch_and_place()
    message = scene.fake.answer(call.pk) or scene.fake.end(call.pk)
    scene.let_pass(minutes=10)
    database_now()  # as every worker and every request does now and then
    assert scene.send(message) == 401
    assert_untouched(call)


def test_an_event_of_ten_megabytes_is_413_and_changes_nothing(scene: Scene) -> None:
    call = scene.launch_and_place()
    headers, body = scene.fake.answer(call.pk) or scene.fake.end(call.pk)
    assert scene.send((headers, body + b" " * 10 * 1024 * 1024)) == 413
    assert_untouched(call)


def test_an_event_of_another_accounts_call_moves_nothing(scene: Scene) -> None:
    call = scene.launch_and_place()
    other = make_account(scene.subject, scene.fake, name="other", is_default=False)
    scene.fake.answer(call.pk)
    assert scene.send(scene.fake.end(call.pk), other) == 200
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING
    assert tellings() == 0


def test_an_arabic_transcript_is_kept_and_its_control_characters_hurt_nobody(
    scene: Scene,
) -> None:
    call = scene.launch_and_place()
    assert scene.send(scene.fake.answer(call.pk)) == 200
    text = "الوكيل: مرحبا\0\nالعميل: سأدفع\x07\x1b[31m يوم الجمعة\u202e"
    assert scene.send(scene.fake.end(call.pk, **scene.subject.said(text))) == 200
    call.refresh_from_db()
    assert call.status == CallStatus.COMPLETED
    assert "مرحبا" in call.transcript
    assert "سأدفع" in call.transcript
    assert "\0" not in call.transcript


@pytest.mark.parametrize("is_told", [True, False], ids=["event", "poll"])
def test_a_reason_that_nobody_has_heard_of_is_a_failure_and_kept(
    scene: Scene, is_told: bool
) -> None:
    call = scene.launch_and_place()
    message = scene.fake.end(call.pk, CallStatus.FAILED, **scene.subject.strange)
    if is_told:
        assert scene.send(message) == 200
        call.refresh_from_db()
    else:
        scene.poll(call)
    assert call.status == CallStatus.FAILED
    assert "unheard" in call.ended_reason


def test_broken_json_is_422_at_most_and_changes_nothing(scene: Scene) -> None:
    call = scene.launch_and_place()
    message = scene.fake.answer(call.pk) or scene.fake.end(call.pk)
    assert scene.send((message[0], b'{"')) in {401, 422}
    assert_untouched(call)


def assert_untouched(call: CallLog) -> None:
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING
    assert not ProviderEvent.objects.exists()
    assert tellings() == 0
