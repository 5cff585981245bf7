"""What every call provider does: the types that pass between a provider and the engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from calls.statuses import TERMINAL, CallStatus, Sentiment
from contacts.validation import ErrorDetail

MAX_ID, MAX_NUMBER, MAX_ADDRESS = 200, 21, 2000  # characters the database keeps


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call to place. `attempt_id` is ours: the idempotency id, echoed in every event."""

    attempt_id: UUID
    attempt: int  # from 1
    number_to: str  # E.164
    system_prompt: str
    first_message: str
    voice: str
    language: str  # BCP 47
    max_duration_seconds: int
    outcomes: tuple[tuple[str, str], ...]  # word and description of each
    started_at: datetime  # when the intent to dial was committed
    tags: Mapping[str, str] = field(default_factory=dict)  # what the prompts were filled with
    number_from: str = ""  # E.164; empty: the provider's own choice
    provider_call_id: str = ""  # the provider's, once it is known


@dataclass(frozen=True, slots=True)
class Placement:
    """The provider has taken the call. `poll_at`: when to ask about it if it stays silent."""

    provider_call_id: str
    number_from: str = ""  # E.164
    poll_at: datetime | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.provider_call_id) <= MAX_ID or len(self.number_from) > MAX_NUMBER:
            raise ValueError(f"the provider's id is missing or longer than {MAX_ID}")


class EventKind(StrEnum):
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"
    ANALYZED = "analyzed"  # what was said, told after the end


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended. Texts are empty where nobody spoke, and `duration_seconds` is 0 where the
    line was never picked up. `answered_at`: a person or a machine; the status says which.

    `outcome` is a word of the template's list, or empty when the provider gives none. `is_final`:
    another attempt would end the same way, so no rule grants one.
    """

    status: CallStatus
    reason: str
    answered_at: datetime | None = None
    duration_seconds: int = 0
    outcome: str = ""
    outcome_reasoning: str = ""
    sentiment: str = ""  # a word of `Sentiment`, or empty
    sentiment_reasoning: str = ""
    summary: str = ""
    transcript: str = ""
    recording_url: str = ""
    call_back_at: datetime | None = None  # when the person asked to be called again
    cost: Decimal | None = None  # what the provider charges, in `cost_currency`
    cost_currency: str = "USD"  # ISO 4217
    counts_as_attempt: bool = True  # false where the person's telephone was not reached
    blames_provider: bool = False  # the provider or its line failed, not the one call
    analysis_follows: bool = False  # the outcome comes later, in an event of kind analyzed
    is_final: bool = False

    def __post_init__(self) -> None:
        if self.status not in TERMINAL:
            raise ValueError("a call does not end in a status of a live call")
        if self.duration_seconds < 0:
            raise ValueError("a conversation does not last less than no time")
        if self.sentiment not in {"", *Sentiment}:
            raise ValueError("the sentiment is no word of Sentiment")
        if self.call_back_at and self.call_back_at.tzinfo is None:
            raise ValueError("the time to call back has no zone")
        if len(self.recording_url) > MAX_ADDRESS:
            raise ValueError(f"the recording's address is longer than {MAX_ADDRESS}")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a call, in our words.

    `event_id` is the provider's and unique within its account. `attempt_id` is None where the
    provider does not echo it; then `provider_call_id` finds the call. `number_from` (E.164) is
    worth telling if the answer to the placement may have been lost. `ending` stands in events of
    kind `ended`, and of kind `analyzed`, where only what was said counts.
    """

    event_id: str
    kind: EventKind
    occurred_at: datetime
    provider_call_id: str
    attempt_id: UUID | None = None
    number_from: str = ""
    ending: Ending | None = None

    def __post_init__(self) -> None:
        tells_an_end = self.kind in {EventKind.ENDED, EventKind.ANALYZED}
        if tells_an_end != (self.ending is not None):
            raise ValueError("an event has an ending exactly when it is of kind ended or analyzed")
        if not 0 < len(self.event_id) <= MAX_ID or len(self.provider_call_id) > MAX_ID:
            raise ValueError(f"an id is missing or longer than {MAX_ID}")
        if len(self.number_from) > MAX_NUMBER:
            raise ValueError(f"the number is longer than {MAX_NUMBER}")


@dataclass(frozen=True, slots=True)
class Poll:
    """What the provider answers about one call: its events up to now, and when to ask again (None
    once it is over). `is_unknown`: the provider has never seen this call.
    """

    attempt_id: UUID
    events: tuple[Event, ...] = field(default=())
    poll_at: datetime | None = None
    is_unknown: bool = False


class ProviderError(Exception):
    """The provider did not take the call, and it is certain that it did not.

    Any other exception from `place` leaves it open whether the call was taken; such a call stays
    `dialing` until the provider has been asked. `reason` is stored as the ended reason.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class PermanentError(ProviderError):
    """This call can never be placed, the number being invalid for instance."""

    def __init__(self, reason: str, status: CallStatus = CallStatus.FAILED) -> None:
        self.status = status
        super().__init__(reason)


class TemporaryError(ProviderError):
    """The provider takes no calls just now; this one may be placed later."""


class AccountError(TemporaryError):
    """The account takes no calls until somebody mends it: no credit, or a wrong key."""


class EventRefused(Exception):
    """What came as an event is not to be believed (`is_forged`) or cannot be read; `errors` names
    its faults where they are known.
    """

    def __init__(
        self, reason: str, *, is_forged: bool = False, errors: Sequence[ErrorDetail] = ()
    ) -> None:
        self.is_forged, self.errors = is_forged, list(errors)
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`placements_at_once`: how many calls one worker may have on their way to the provider.
    `can_look_up`: the provider finds a call by our id, so that it can be asked whether it has it.
    """

    placements_at_once: int
    reaches_people: bool = True
    can_look_up: bool = True


@dataclass(frozen=True, slots=True)
class AccountField:
    """A field of the account's form: a setting of the provider, or, if secret, a credential."""

    name: str
    label: str
    help_text: str = ""
    is_secret: bool = False
    is_required: bool = True
    choices: tuple[str, ...] = ()
    check: Callable[[str], None] | None = None  # raises Django's ValidationError


@dataclass(frozen=True, slots=True)
class Access:
    """How a provider is reached: the settings and the secrets of one account, in the provider's
    own words, and the address it sends events to (empty where none is known).
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    callback_url: str = ""


class Provider(ABC):
    """A call provider, as one account uses it. Instances are shared between threads and hold no
    calls.
    """

    capabilities: ClassVar[Capabilities]
    fields: ClassVar[tuple[AccountField, ...]] = ()

    def __init__(self, access: Access | None = None) -> None:
        self.access = access or Access()

    @property
    def time_scale(self) -> float:
        """How long a second of a retry's delay lasts: 1, but for a provider that plays time."""
        return 1.0

    @abstractmethod
    def place(self, request: CallRequest) -> Placement:
        """Hand one call over and return at once; what becomes of it comes as events.

        Raises `PermanentError` or `TemporaryError` when the call was certainly not taken.
        """

    @abstractmethod
    def cancel(self, request: CallRequest) -> None:
        """Close the line of a call, whether it rings or is talked on. For us it has ended already:
        later events of it change nothing. Returns once the line is certainly closed, or was never
        opened; whatever is raised has it asked again later.
        """

    @abstractmethod
    def poll(self, requests: Sequence[CallRequest], now: datetime) -> list[Poll]:
        """Ask about calls that were, or may have been, placed. A request that could not be asked
        about has no answer; it is asked about again.
        """

    def check(self) -> str:
        """Ask the provider whether the account can place calls, without placing one; say in one
        sentence what was found. Raises `ProviderError` with a sentence that says what is wrong.
        """
        return ""

    def read_events(self, headers: Mapping[str, str], body: bytes) -> list[Event]:
        """The events of a message that came to our address. Raises `EventRefused`."""
        raise EventRefused("this provider sends no events", is_forged=True)
