from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from django.utils import timezone

from calls.dialling import place_batch
from calls.models import CallLog, ProviderEvent, SingletonTask, WebhookDelivery
from calls.polling import GRACE, RINGS_FOR, poll_calls
from calls.providers import PROVIDERS, make_provider
from calls.providers.base import CallRequest, Capabilities, Event, Placement, Poll, Provider
from calls.providers.simulated import SimulatedProvider
from calls.statuses import TERMINAL, CallStatus
from calls.tests.factories import launch, make_call, make_endpoint
from campaigns.models import Batch
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db


def launch_and_place(count: int) -> None:
    make_template(is_default=True)
    launch(*({"numberToCall": f"+96650{i:07d}"} for i in range(count)))
    for batch in Batch.objects.all():
        place_batch(batch.pk)


def test_simulated_calls_go_on_and_end_by_polls(settings, let_pass) -> None:
    settings.SIMULATED_TIME_SCALE = 1
    make_endpoint()
    launch_and_place(60)
    assert set(CallLog.objects.values_list("status", flat=True)) == {CallStatus.DIALING}
    seen = set()
    for _ in range(84):
        poll_calls()
        let_pass(seconds=5)
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


class Silent(Provider):
    """Takes calls, tells nothing of its own accord, and answers what stands in `polls`."""

    capabilities = Capabilities(placements_at_once=8)
    polls: ClassVar[Callable[[CallRequest, datetime], Poll | None]]

    def place(self, request: CallRequest) -> Placement:
        return Placement(f"s-{request.attempt_id}")

    def cancel(self, request: CallRequest) -> None:
        raise ConnectionError

    def poll(self, requests: Sequence[CallRequest], now: datetime) -> list[Poll]:
        answers = [type(self).polls(request, now) for request in requests]
        return [answer for answer in answers if answer]


@pytest.fixture
def silent(monkeypatch, settings):
    monkeypatch.setitem(PROVIDERS, "silent", Silent)
    settings.CALL_PROVIDER = "silent"
    Silent.polls = lambda request, now: Poll(request.attempt_id, poll_at=now)
    yield Silent
    make_provider.cache_clear()


def never_seen(request: CallRequest, now: datetime) -> Poll:
    return Poll(request.attempt_id, poll_at=now, is_unknown=True)


def test_a_call_that_its_provider_never_saw_is_queued_again_under_the_same_id(
    silent, let_pass
) -> None:
    silent.polls = never_seen
    call = make_call(status=CallStatus.DIALING, poll_at=timezone.now())
    Batch.objects.update(due_at=None)
    poll_calls()
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING, "the request may still be on its way"
    let_pass(minutes=2)
    poll_calls()
    call.refresh_from_db()
    assert (call.status, call.started_at, call.attempt) == (CallStatus.QUEUED, None, 1)
    assert Batch.objects.get().due_at
    assert CallLog.objects.count() == 1


def test_a_call_that_was_confirmed_is_not_placed_again_whatever_its_provider_says(
    silent, let_pass
) -> None:
    silent.polls = never_seen
    call = make_call(status=CallStatus.RINGING, provider_call_id="s-1", poll_at=timezone.now())
    let_pass(minutes=2)
    poll_calls()
    call.refresh_from_db()
    assert call.status == CallStatus.RINGING


@pytest.mark.parametrize(
    ("status", "provider_call_id", "reason"),
    [(CallStatus.DIALING, "", "unknown"), (CallStatus.IN_PROGRESS, "s-1", "timed_out")],
)
def test_a_call_of_which_nothing_is_heard_ends_when_it_must_be_over(
    silent, let_pass, status: str, provider_call_id: str, reason: str
) -> None:
    template = make_template(retry_rule={"failed": {"after_minutes": 1, "times": 3}})
    batch = make_batch(campaign=make_campaign(template_version=template.current))
    live = {"status": status, "provider_call_id": provider_call_id, "poll_at": timezone.now()}
    call = make_call(batch=batch, **live)
    silent.polls = lambda *_: None
    let_pass(seconds=RINGS_FOR.seconds + template.current.max_duration_seconds)
    poll_calls()
    call.refresh_from_db()
    assert call.status == status, "it may still be talked on"
    let_pass(seconds=GRACE.seconds + 31)
    poll_calls()
    call.refresh_from_db()
    assert (call.status, call.ended_reason) == (CallStatus.FAILED, reason)
    assert CallLog.objects.count() == 1, "who may have been called is not called again"
    assert call.hang_up_at, "the line is closed, if there is one"


def test_an_account_that_cannot_be_asked_ends_its_calls_as_unknown(silent, monkeypatch) -> None:
    capabilities = Capabilities(placements_at_once=8, can_look_up=False)
    monkeypatch.setattr(Silent, "capabilities", capabilities)
    long_ago = timezone.now() - timedelta(minutes=10)
    call = make_call(status=CallStatus.DIALING, started_at=long_ago, poll_at=long_ago)
    silent.polls = never_seen
    poll_calls()
    call.refresh_from_db()
    assert (call.status, call.ended_reason) == (CallStatus.FAILED, "unknown")


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
