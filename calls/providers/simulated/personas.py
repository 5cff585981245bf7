"""Who picks up, or does not: the personas, how they behave, and how one is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TypeVar

from calls.statuses import CallStatus, Sentiment

Choice = TypeVar("Choice")
Seconds = tuple[float, float]  # at least, at most

# Changing it deals new personas to all numbers. The number was tried out, from 1 up, so that with
# the seed "demo" the numbers of the API's examples, +966500000001 and …02, are answered.
SALT = "simulated people 42"


class Persona(StrEnum):
    AGREES_TO_PAY = "agrees_to_pay"
    HAS_PAID = "has_paid"
    DISPUTES = "disputes"
    CALL_BACK = "call_back"
    REFUSES = "refuses"
    STOP_CALLING = "stop_calling"
    WRONG_NUMBER = "wrong_number"
    NO_COMMITMENT = "no_commitment"
    VOICEMAIL = "voicemail"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTS = "rejects"
    INVALID_NUMBER = "invalid_number"

    @property
    def traits(self) -> "Traits":
        return TRAITS[self]


@dataclass(frozen=True, slots=True)
class Traits:
    """How a persona behaves; all times are simulated seconds.

    `weight`: how many of 100 calls meet it. `waits`: from the first ring (from dialling where
    `rings` is false) until the call is answered or, if it never is, ends. `talks`: how long it
    stays on the line, None where it never answers. `word` and `sentiment`: how the agent reports
    the conversation, empty where there was none.
    """

    weight: int
    status: CallStatus
    reason: str
    waits: Seconds
    talks: tuple[int, int] | None = None
    rings: bool = True
    word: str = ""
    sentiment: str = ""


def talker(
    weight: int, reason: str, talks: tuple[int, int], word: str, sentiment: Sentiment
) -> Traits:
    return Traits(
        weight, CallStatus.COMPLETED, reason, (3, 12), talks, word=word, sentiment=sentiment
    )


AGENT_ENDED, CUSTOMER_ENDED = "agent_ended_call", "customer_ended_call"
POSITIVE, NEUTRAL, NEGATIVE = Sentiment.POSITIVE, Sentiment.NEUTRAL, Sentiment.NEGATIVE
TRAITS = {
    Persona.AGREES_TO_PAY: talker(22, CUSTOMER_ENDED, (60, 180), "PROMISE_TO_PAY", POSITIVE),
    Persona.HAS_PAID: talker(8, AGENT_ENDED, (45, 120), "ALREADY_PAID", NEUTRAL),
    Persona.DISPUTES: talker(6, CUSTOMER_ENDED, (60, 180), "DISPUTE", NEGATIVE),
    Persona.CALL_BACK: talker(9, AGENT_ENDED, (30, 60), "CALL_BACK", NEUTRAL),
    Persona.REFUSES: talker(6, CUSTOMER_ENDED, (30, 90), "REFUSED", NEGATIVE),
    Persona.STOP_CALLING: talker(3, CUSTOMER_ENDED, (25, 60), "DO_NOT_CALL", NEGATIVE),
    Persona.WRONG_NUMBER: talker(4, CUSTOMER_ENDED, (20, 40), "WRONG_NUMBER", NEUTRAL),
    Persona.NO_COMMITMENT: talker(7, AGENT_ENDED, (45, 120), "NO_COMMITMENT", NEUTRAL),
    Persona.VOICEMAIL: Traits(8, CallStatus.VOICEMAIL, "voicemail", (20, 25), (3, 6)),
    Persona.BUSY: Traits(6, CallStatus.BUSY, "busy", (1, 3), rings=False),
    Persona.NO_ANSWER: Traits(15, CallStatus.NO_ANSWER, "no_answer", (30, 30)),
    Persona.REJECTS: Traits(4, CallStatus.REJECTED, "rejected", (2, 6)),
    Persona.INVALID_NUMBER: Traits(
        2, CallStatus.INVALID_NUMBER, "invalid_number", (1, 2), rings=False
    ),
}
DEALT = tuple(persona for persona, traits in TRAITS.items() for _ in range(traits.weight))


@dataclass(frozen=True, slots=True)
class Dice:
    """Chance that falls alike in every process: a throw depends on these fields and its name."""

    seed: str
    number_to: str  # E.164
    attempt: int

    def throw(self, name: str) -> float:
        """At least 0, below 1."""
        parts = (SALT, self.seed, self.number_to, str(self.attempt), name)
        return int.from_bytes(sha256("\n".join(parts).encode()).digest()[:6], "big") / 2**48

    def between(self, low: float, high: float, name: str) -> float:
        return low + (high - low) * self.throw(name)

    def whole(self, low: int, high: int, name: str) -> int:
        """From `low` to `high`, both included."""
        return low + int((high - low + 1) * self.throw(name))

    def pick(self, choices: Sequence[Choice], name: str) -> Choice:
        return choices[self.whole(0, len(choices) - 1, name)]


def persona_for(number_to: str, attempt: int, seed: str) -> Persona:
    """Who is met at this number (E.164) in this attempt (from 1)."""
    return Dice(seed, number_to, attempt).pick(DEALT, "persona")
