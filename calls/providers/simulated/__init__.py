"""The provider of demonstrations and tests: it reaches nobody.

No line is dialled and no network used. Who answers, what is said and when follow from
`SIMULATED_SEED`, the number, the attempt and the time the call was started, so every process
computes the same call and none has to remember it.
"""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings

from calls.providers.base import (
    CallRequest,
    Capabilities,
    Ending,
    Event,
    EventKind,
    Placement,
    Poll,
    Provider,
)
from calls.providers.simulated.conversations import add_conversation
from calls.providers.simulated.course import Course, course_of

NUMBER_FROM = "+12025550100"  # +1 202 555 01xx is kept free for fiction


class SimulatedProvider(Provider):
    """Takes every call, calls nobody; the texts it hands out say so."""

    capabilities = Capabilities(placements_at_once=200, reaches_people=False)

    @property
    def time_scale(self) -> float:
        return float(settings.SIMULATED_TIME_SCALE)

    def place(self, request: CallRequest) -> Placement:
        """Never raises: an invalid number too is reported by an event, as carriers do."""
        return Placement(
            provider_call_id=call_id_of(request),
            number_from=NUMBER_FROM,
            poll_at=current_course(request).moments[0].at,
        )

    def cancel(self, request: CallRequest) -> None:
        """Nothing rings."""

    def poll(self, requests: Sequence[CallRequest], now: datetime) -> list[Poll]:
        """What has happened by `now`; of a call that is over, its end alone."""
        return [poll_one(request, now) for request in requests]


def call_id_of(request: CallRequest) -> str:
    return f"sim_{request.attempt_id.hex}"


def current_course(request: CallRequest) -> Course:
    """The call's course under the settings in force. Changing them changes calls under way."""
    return course_of(request, settings.SIMULATED_SEED, settings.SIMULATED_TIME_SCALE)


def poll_one(request: CallRequest, now: datetime) -> Poll:
    course = current_course(request)
    past = [moment for moment in course.moments if moment.at <= now]
    if len(past) == len(course.moments):
        return Poll(request.attempt_id, (ended_event(request, course),))
    events = tuple(make_event(request, moment.kind, moment.at) for moment in past)
    return Poll(request.attempt_id, events, poll_at=course.moments[len(past)].at)


def ended_event(request: CallRequest, course: Course) -> Event:
    traits = course.persona.traits
    ending = Ending(
        status=traits.status,
        reason=traits.reason,
        answered_at=course.answered_at,
        duration_seconds=course.duration_seconds,
    )
    ending = add_conversation(ending, request, course)
    return make_event(request, EventKind.ENDED, course.moments[-1].at, ending)


def make_event(
    request: CallRequest, kind: EventKind, at: datetime, ending: Ending | None = None
) -> Event:
    return Event(
        event_id=f"{request.attempt_id}:{kind}",
        kind=kind,
        occurred_at=at,
        provider_call_id=call_id_of(request),
        attempt_id=request.attempt_id,
        ending=ending,
    )
