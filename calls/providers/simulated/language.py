"""The form of the texts: what one language has to say for every persona that talks."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from calls.providers.simulated.personas import Persona


class Speaker(Enum):
    AGENT = "agent"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Turn:
    """One line of a transcript; each call uses one of the variants, whatever the others use."""

    speaker: Speaker
    variants: tuple[str, ...]


def agent(*variants: str) -> Turn:
    return Turn(Speaker.AGENT, variants)


def customer(*variants: str) -> Turn:
    return Turn(Speaker.CUSTOMER, variants)


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
