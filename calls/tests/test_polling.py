from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from calls.dialling import place_batch
from calls.models import CallLog, ProviderEvent, SingletonTask, WebhookDelivery
from calls.polling import poll_calls
from calls.providers.base import Event, Poll
from calls.providers.simulated import SimulatedProvider
from calls.statuses import TERMINAL, CallStatus
from calls.tests.factories import launch, make_call, make_endpoint
from campaigns.models import Batch
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db


def launch_and_place(count: int) -> None:
    make_template(is_default=True)
    launch(*({"numberToCall": f"+96650{i:07d}"} for i in range(count)))
    for batch in Batch.objects.all():
        place_batch(batch.pk)


def test_simulated_calls_go_on_and_end_by_polls(settings) -> None:
    settings.SIMULATED_TIME_SCALE = 1
    make_endpoint()
    launch_and_place(60)
    assert set(CallLog.objects.values_list("status", flat=True)) == {CallStatus.DIALING}
    now, seen = timezone.now(), set()
    for seconds in range(0, 420, 5):
        with time_machine.travel(now + timedelta(seconds=seconds), tick=False):
            poll_calls()
        seen |= set(CallLog.objects.values_list("status", flat=True))
    assert set(CallLog.objects.values_list("status", flat=True)) <= set(TERMINAL)
    assert {"dialing", "ringing", "in_progress", "completed"} <= seen
    assert WebhookDelivery.objects.count() == 60


def test_an_instant_call_ends_with_its_first_poll() -> None:
    launch_and_place(5)
    poll_calls()
    assert set(CallLog.objects.values_list("status", flat=True)) <= set(TERMINAL)
    assert ProviderEvent.objects.count() == 5


def test_a_call_whose_placement_answer_was_lost_is_found_again() -> None:
    """The worker died between the provider's yes and writing it down."""
    long_ago = timezone.now() - timedelta(minutes=10)
    call = make_call(status=CallStatus.DIALING, started_at=long_ago, poll_at=long_ago)
    poll_calls()
    call.refresh_from_db()
    assert call.status in TERMINAL
    assert call.provider_call_id == f"sim_{call.pk.hex}"


def test_calls_that_are_not_due_are_not_asked_about() -> None:
    call = make_call(status=CallStatus.DIALING, poll_at=timezone.now() + timedelta(minutes=1))
    poll_calls()
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING


def test_one_worker_at_a_time_polls() -> None:
    make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    SingletonTask.named("poll_calls").take_lease(60)
    poll_calls()
    assert CallLog.objects.get().status == CallStatus.DIALING


def test_one_answer_that_is_refused_keeps_no_other_call_from_ending(monkeypatch) -> None:
    calls = [make_call(status=CallStatus.DIALING, poll_at=timezone.now()) for _ in range(4)]
    honest = SimulatedProvider.poll

    def poll(self: SimulatedProvider, requests: Any, now: Any) -> list[Poll]:
        answers = honest(self, requests, now)
        return [replace(a, events=spoilt(a)) if a.attempt_id == calls[1].pk else a for a in answers]

    def spoilt(answer: Poll) -> tuple[Event, ...]:
        """Events with the provider's id of another call."""
        return tuple(replace(e, provider_call_id=f"sim_{calls[0].pk.hex}") for e in answer.events)

    monkeypatch.setattr(SimulatedProvider, "poll", poll)
    poll_calls()
    (live,) = CallLog.objects.live()
    assert live in calls[:2]  # whichever came second


def test_a_provider_that_does_not_answer_is_asked_again_later(monkeypatch) -> None:
    def unreachable(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(SimulatedProvider, "poll", unreachable)
    call = make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    poll_calls()
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING
    assert call.poll_at
    assert call.poll_at > timezone.now()
