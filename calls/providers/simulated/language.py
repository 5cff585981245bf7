"""The form of the texts: what one language has to say for every persona that talks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from enum import Enum

from calls.providers.simulated.personas import Persona

# When a customer asks to be called again: days after the call, and the time of the day. Tomorrow
# evening, tomorrow morning, later in the week.
WISHES = ((1, time(18)), (1, time(10)), (2, time(11)))


class Speaker(Enum):
    AGENT = "agent"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Turn:
    """One line of a transcript; each call uses one of the variants, whatever the others use.

    `is_wish`: the variants name the times of `WISHES`, in the same order.
    """

    speaker: Speaker
    variants: tuple[str, ...]
    is_wish: bool = False


def agent(*variants: str) -> Turn:
    return Turn(Speaker.AGENT, variants)


def customer(*variants: str) -> Turn:
    return Turn(Speaker.CUSTOMER, variants)


def wish(*variants: str) -> Turn:
    """The customer says when to be called again."""
    return Turn(Speaker.CUSTOMER, variants, is_wish=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is said once it is clear who is on the line, and the report on the whole call.

    `{date}` stands for the promised date in `turns` and `summary`.
    """

    turns: tuple[Turn, ...]
    summary: str
    outcome_reasoning: str
    sentiment_reasoning: str


@dataclass(frozen=True, slots=True)
class Language:
    """`pick_up` is said only where the template leaves the first word to the customer, and is then
    followed by `greeting`; `ask` and `verify` follow the first message. `debt` quotes `{quote}`,
    `debt_unstated` is for prompts that state no figures.
    """

    code: str
    speakers: Mapping[Speaker, str]
    date_format: str  # of Django's `date` filter
    pick_up: Turn
    greeting: Turn
    ask: Turn
    verify: Turn
    confirm: Turn
    debt: Turn
    debt_unstated: Turn
    scenes: Mapping[Persona, Scene]
    summary: str  # `{summary}`: says that the call was simulated
    no_word: str  # `{reasoning}`: the template's outcomes lack the fitting word
