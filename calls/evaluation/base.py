"""What every evaluator does: a question about a transcript, and its answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from decimal import Decimal

from calls.statuses import Sentiment

Day = date  # where a field is called `date` too


@dataclass(frozen=True, slots=True)
class Question:
    """What was said in a call, and the words its outcome may have."""

    transcript: str
    outcomes: tuple[tuple[str, str], ...]  # word and description of each
    language: str  # BCP 47
    started_at: datetime  # aware
    zone: tzinfo  # the person's
    tags: Mapping[str, str] = field(default_factory=dict)  # what the prompts were filled with

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for word, _ in self.outcomes)

    @property
    def today(self) -> date:
        """The day of the call, where the person is."""
        return self.started_at.astimezone(self.zone).date()

    def listed(self, word: str) -> str:
        """The word if the template lists it, or nothing."""
        return word if word in self.words else ""


@dataclass(frozen=True, slots=True)
class Promise:
    """What the person promises to pay, as far as it was said."""

    amount: Decimal | None = None
    currency: str = ""  # ISO 4217
    date: Day | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome` is a word of the question's list, or empty. `evidence`: the person's own words that
    show it, as the transcript has them; empty where the evaluator quotes none.
    """

    outcome: str
    reasoning: str
    sentiment: Sentiment = Sentiment.NEUTRAL
    sentiment_reasoning: str = ""
    summary: str = ""
    call_back_at: datetime | None = None  # aware
    promise: Promise = Promise()
    evidence: str = ""

    def __post_init__(self) -> None:
        if self.call_back_at and self.call_back_at.tzinfo is None:
            raise ValueError("the time to call back has no zone")


class EvaluationFailed(Exception):
    """No answer came of it. The text holds nothing of the call. `is_temporary`: the same question
    may be answered later.
    """

    def __init__(self, reason: str, *, is_temporary: bool = False) -> None:
        self.reason, self.is_temporary = reason, is_temporary
        super().__init__(reason)


class Evaluator(ABC):
    """Says what a conversation brought. Instances are shared between threads."""

    @abstractmethod
    def evaluate(self, question: Question) -> Answer:
        """Raises `EvaluationFailed`."""
