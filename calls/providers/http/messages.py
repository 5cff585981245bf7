"""What we tell an agent and what it tells us: `docs/provider-protocol.md`."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError as DjangoValidationError
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from calls.providers.base import (
    MAX_ADDRESS,
    MAX_ID,
    MAX_NUMBER,
    CallRequest,
    Ending,
    Event,
    EventKind,
    EventRefused,
)
from calls.providers.http.agent import UnexpectedAnswer
from calls.statuses import CallStatus
from calls.webhooks.addresses import validate_address
from contacts.times import iso
from contacts.validation import error_details

# What the database keeps as seconds.
MAX_SECONDS = 2**31 - 1
FIRST_YEAR, LAST_YEAR = 2000, 2100


def call_body(request: CallRequest, callback_url: str) -> bytes:
    """The body of a placement."""
    body = {
        "callId": str(request.attempt_id),
        "attempt": request.attempt,
        "to": request.number_to,
        "from": request.number_from or None,
        "systemPrompt": request.system_prompt,
        "firstMessage": request.first_message,
        "voice": request.voice,
        "language": request.language,
        "maxDurationSeconds": request.max_duration_seconds,
        "outcomes": [{"word": word, "description": said} for word, said in request.outcomes],
        "startedAt": iso(request.started_at),
        "callbackUrl": callback_url or None,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _is_written_out(value: Any) -> Any:
    """pydantic reads numbers as times too."""
    if not isinstance(value, str) or value[4:5] != "-":
        raise PydanticCustomError("datetime_type", "Input should be a time in ISO 8601")
    return value


def _in_utc(time: datetime) -> datetime:
    """No clock goes beyond these years, while times near the calendar's ends cannot be shifted."""
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise PydanticCustomError("datetime_range", "Input should be a time of this century")
    return time.astimezone(UTC)


def _is_address(url: str) -> str:
    if url:
        try:
            validate_address(url)
        except DjangoValidationError:
            raise PydanticCustomError("url", "Input should be an http or https address") from None
    return url


Time = Annotated[AwareDatetime, BeforeValidator(_is_written_out), AfterValidator(_in_utc)]
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Id = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID, pattern=PRINTABLE)]
OptionalId = Annotated[str, StringConstraints(max_length=MAX_ID, pattern=PRINTABLE)]
Number = Annotated[str, StringConstraints(max_length=MAX_NUMBER, pattern=PRINTABLE)]
Url = Annotated[
    str,
    StringConstraints(max_length=MAX_ADDRESS),
    AfterValidator(_is_address),
]


class _Message(BaseModel):
    """Unknown fields are ignored, and null equals absent."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, told: Any) -> Any:
        if isinstance(told, dict):
            return {name: value for name, value in told.items() if value is not None}
        return told


Told = TypeVar("Told", bound=_Message)


class PlacementIn(_Message):
    id: Id
    number_from: Number = Field("", alias="from")


class EndingIn(_Message):
    status: Literal[
        "completed", "no_answer", "busy", "voicemail", "rejected", "invalid_number", "failed"
    ]
    reason: str
    answered_at: Time | None = Field(None, alias="answeredAt")
    duration_seconds: int = Field(0, alias="durationSeconds", ge=0, le=MAX_SECONDS)
    outcome: str = ""
    outcome_reasoning: str = Field("", alias="outcomeReasoning")
    sentiment: Literal["POSITIVE", "NEUTRAL", "NEGATIVE", ""] = ""
    sentiment_reasoning: str = Field("", alias="sentimentReasoning")
    summary: str = ""
    transcript: str = ""
    recording_url: Url = Field("", alias="recordingUrl")
    call_back_at: Time | None = Field(None, alias="callBackAt")

    def to_ending(self) -> Ending:
        return Ending(**self.model_dump() | {"status": CallStatus(self.status)})


class EventIn(_Message):
    id: Id
    type: EventKind
    call_id: UUID = Field(alias="callId")
    provider_call_id: OptionalId = Field("", alias="providerCallId")
    at: Time
    number_from: Number = Field("", alias="from")
    ending: EndingIn | None = None

    @model_validator(mode="after")
    def _ends_exactly_if_it_says_so(self) -> Self:
        if (self.type is EventKind.ENDED) != (self.ending is not None):
            raise PydanticCustomError(
                "ending", "An event should have an ending exactly when its type is ended"
            )
        return self

    def to_event(self, call: "CallIn | None" = None) -> Event:
        """`call`: where the event stands in what is told of a call, and need not repeat it."""
        return Event(
            event_id=self.id,
            kind=self.type,
            occurred_at=self.at,
            provider_call_id=self.provider_call_id or (call.id if call else ""),
            attempt_id=self.call_id,
            number_from=self.number_from or (call.number_from if call else ""),
            ending=self.ending.to_ending() if self.ending else None,
        )


class CallIn(PlacementIn):
    events: list[EventIn]


def read_placement(body: bytes) -> tuple[str, str]:
    """The agent's id of the call and the number it calls from. Raises `UnexpectedAnswer`."""
    placement = _read_answer(PlacementIn, body)
    return placement.id, placement.number_from


def read_call(body: bytes, call_id: UUID) -> tuple[Event, ...]:
    """The events of the call that was asked about. Raises `UnexpectedAnswer`."""
    call = _read_answer(CallIn, body)
    if any(event.call_id != call_id for event in call.events):
        raise UnexpectedAnswer("events of another call")
    return tuple(event.to_event(call) for event in call.events)


def read_event(body: bytes) -> Event:
    """Raises `EventRefused`, with every fault there is."""
    try:
        return EventIn.model_validate_json(body).to_event()
    except ValidationError as error:
        faults = error_details(error, ("body",), body)
        raise EventRefused("The event cannot be read.", errors=faults) from None


def _read_answer(model: type[Told], body: bytes) -> Told:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise UnexpectedAnswer(f"{error.error_count()} faults in its body") from None
