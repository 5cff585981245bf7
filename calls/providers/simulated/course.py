"""When what happens in a simulated call, computed anew each time it is asked for."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from calls.providers.base import CallRequest, EventKind
from calls.providers.simulated.personas import Dice, Persona, persona_for

CONNECTS_AFTER = (1.0, 2.0)  # seconds from dialling to the first ring


@dataclass(frozen=True, slots=True)
class Moment:
    kind: EventKind
    at: datetime


@dataclass(frozen=True, slots=True)
class Course:
    """`moments` are in order, the last is the end; `duration_seconds` is not scaled."""

    persona: Persona
    dice: Dice
    moments: tuple[Moment, ...]
    duration_seconds: int

    @property
    def answered_at(self) -> datetime | None:
        answers = (moment.at for moment in self.moments if moment.kind is EventKind.ANSWERED)
        return next(answers, None)


def course_of(request: CallRequest, seed: str, time_scale: float) -> Course:
    """The course of a call whose simulated seconds last `time_scale` seconds each (0 to 1)."""
    persona = persona_for(request.number_to, request.attempt, seed)
    dice = Dice(seed, request.number_to, request.attempt)
    duration = duration_of(persona, dice, request.max_duration_seconds)
    moments = tuple(
        Moment(kind, request.started_at + timedelta(seconds=seconds * time_scale))
        for kind, seconds in steps_of(persona, dice, duration)
    )
    return Course(persona, dice, moments, duration)


def duration_of(persona: Persona, dice: Dice, at_most: int) -> int:
    """Seconds on the line: the persona's own, pressed into `at_most` where that is less."""
    if persona.traits.talks is None:
        return 0
    low, high = (min(bound, at_most) for bound in persona.traits.talks)
    return dice.whole(low, high, "talks")


def steps_of(persona: Persona, dice: Dice, duration: int) -> list[tuple[EventKind, float]]:
    """Each event and its simulated seconds after the start."""
    traits = persona.traits
    steps: list[tuple[EventKind, float]] = []
    clock = 0.0
    if traits.rings:
        clock += dice.between(*CONNECTS_AFTER, "connects")
        steps.append((EventKind.RINGING, clock))
    clock += dice.between(*traits.waits, "waits")
    if traits.talks is not None:
        steps.append((EventKind.ANSWERED, clock))
        clock += duration
    steps.append((EventKind.ENDED, clock))
    return steps
