"""What Retell tells us: calls, in answers and in webhooks, and our events of them.

Only what names a call must be right. Whatever else cannot be read is taken as not told, so that no
odd field costs a call its end.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError as DjangoValidationError
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from calls.providers.base import MAX_ADDRESS, MAX_NUMBER, Ending, Event, EventKind, EventRefused
from calls.providers.retell.api import UnexpectedAnswer
from calls.providers.retell.reasons import Rule, rule_of
from calls.statuses import CallStatus, Sentiment
from calls.webhooks.addresses import validate_address
from contacts.validation import error_details

FIRST_MS, LAST_MS = 946_684_800_000, 4_102_444_800_000  # this century, in Unix milliseconds
MAX_DURATION_MS = 24 * 3600 * 1000
MAX_CENTS = 1_000_000

SENTIMENTS = {
    "Positive": Sentiment.POSITIVE,
    "Neutral": Sentiment.NEUTRAL,
    "Negative": Sentiment.NEGATIVE,
}
KINDS = {
    # Retell tells of a start only once the line is picked up.
    "call_started": EventKind.ANSWERED,
    "call_ended": EventKind.ENDED,
    "call_analyzed": EventKind.ANALYZED,
}


def _or_nothing(value: Any, read: Any) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


def _is_address(url: str) -> str:
    try:
        validate_address(url)
    except DjangoValidationError:
        raise PydanticCustomError("url", "Input should be an http or https address") from None
    return url


def _in_utc(time: datetime) -> datetime:
    if not 2000 <= time.year <= 2100:
        raise PydanticCustomError("datetime_range", "Input should be a time of this century")
    return time.astimezone(UTC)


Told = TypeVar("Told", bound=BaseModel)
OR_NOTHING = WrapValidator(_or_nothing)
# Stands in the paths of requests and in ids of events.
CallId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,150}$")]
Text = Annotated[str | None, OR_NOTHING]
Number = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_NUMBER, pattern=r"^\+[0-9]+$")] | None,
    OR_NOTHING,
]
Time = Annotated[Annotated[int, Field(ge=FIRST_MS, le=LAST_MS)] | None, OR_NOTHING]
Duration = Annotated[Annotated[int, Field(ge=0, le=MAX_DURATION_MS)] | None, OR_NOTHING]
Cents = Annotated[Annotated[Decimal, Field(ge=0, le=MAX_CENTS)] | None, OR_NOTHING]
Address = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_ADDRESS), AfterValidator(_is_address)] | None,
    OR_NOTHING,
]
Data = Annotated[dict[str, Any] | None, OR_NOTHING]
Flag = Annotated[bool | None, OR_NOTHING]
BackAt = TypeAdapter(Annotated[AwareDatetime, AfterValidator(_in_utc)])


class AnalysisIn(BaseModel):
    call_summary: Text = None
    user_sentiment: Text = None
    in_voicemail: Flag = None
    custom_analysis_data: Data = None

    def answer(self, name: str) -> str:
        """The answer to one of our questions."""
        told = (self.custom_analysis_data or {}).get(name)
        return told if isinstance(told, str) else ""

    @property
    def call_back_at(self) -> datetime | None:
        told = self.answer("call_back_at").strip()
        if told[4:5] != "-":  # pydantic reads numbers as times too
            return None
        try:
            return BackAt.validate_python(told)
        except ValidationError:
            return None


class CostIn(BaseModel):
    combined_cost: Cents = None


class CallIn(BaseModel):
    """A call as Retell tells it, in whole or in part."""

    model_config = ConfigDict(extra="ignore")

    call_id: CallId
    call_status: Text = None
    metadata: Data = None
    from_number: Number = None
    start_timestamp: Time = None
    end_timestamp: Time = None
    duration_ms: Duration = None
    disconnection_reason: Text = None
    transcript: Text = None
    recording_url: Address = None
    call_analysis: Annotated[AnalysisIn | None, OR_NOTHING] = None
    call_cost: Annotated[CostIn | None, OR_NOTHING] = None

    @property
    def attempt_id(self) -> UUID | None:
        told = (self.metadata or {}).get("attempt_id")
        try:
            return UUID(told) if isinstance(told, str) else None
        except ValueError:
            return None

    @property
    def is_over(self) -> bool:
        return self.call_status in {"ended", "error", "not_connected"}

    @property
    def answered_at(self) -> datetime | None:
        """When the line was picked up; what was never connected has no such time."""
        if self.start_timestamp is None or self.call_status in {"registered", "not_connected"}:
            return None
        return _time(self.start_timestamp)

    def ended_at(self, or_else: datetime) -> datetime:
        if self.end_timestamp is not None:
            return _time(self.end_timestamp)
        if self.start_timestamp is not None and self.duration_ms is not None:
            return _time(self.start_timestamp + self.duration_ms)
        return or_else


class KindIn(BaseModel):
    event: str


class WebhookIn(KindIn):
    call: CallIn


class ListIn(BaseModel):
    items: list[CallIn]


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def read_call(body: bytes) -> CallIn:
    """Raises `UnexpectedAnswer`."""
    return _read(CallIn, body)


def read_list(body: bytes) -> list[CallIn]:
    """The calls of an answer of either version of the list. Raises `UnexpectedAnswer`."""
    if body.lstrip().startswith(b"["):
        body = b'{"items":' + body + b"}"
    return _read(ListIn, body).items


def read_webhook(body: bytes) -> WebhookIn | None:
    """The message, or None if it is of a kind that we do not follow. Raises `EventRefused`."""
    try:
        kind = KindIn.model_validate_json(body)
        return WebhookIn.model_validate_json(body) if kind.event in KINDS else None
    except ValidationError as error:
        faults = error_details(error, ("body",), body)
        raise EventRefused("The event cannot be read.", errors=faults) from None


def _read(model: type[Told], body: bytes) -> Told:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise UnexpectedAnswer(f"{error.error_count()} faults in its body") from None


def make_event(
    call: CallIn, event: str, now: datetime, attempt_id: UUID | None, *, has_waited: bool = False
) -> Event:
    """The event that Retell's webhook of this name is, or would have been."""
    kind = KINDS[event]
    if kind is EventKind.ANSWERED:
        return _event(call, event, kind, call.answered_at or now, attempt_id)
    is_awaited = kind is EventKind.ENDED and not has_waited
    ending = make_ending(call, is_awaited=is_awaited)
    return _event(call, event, kind, call.ended_at(now), attempt_id, ending)


def make_events(
    call: CallIn, attempt_id: UUID, started_at: datetime, now: datetime, *, has_waited: bool
) -> tuple[Event, ...]:
    """All that has happened to a call, with the ids that the webhooks' events have.

    A registered call is being dialled: the nearest to it is that it rings.
    """
    if call.call_status == "registered":
        return (_event(call, "registered", EventKind.RINGING, started_at, attempt_id),)
    names = []
    if call.answered_at:
        names.append("call_started")
    if call.is_over:
        names.append("call_ended")
        if call.call_analysis:
            names.append("call_analyzed")
    return tuple(make_event(call, name, now, attempt_id, has_waited=has_waited) for name in names)


def _event(
    call: CallIn,
    name: str,
    kind: EventKind,
    at: datetime,
    attempt_id: UUID | None,
    ending: Ending | None = None,
) -> Event:
    return Event(
        event_id=f"{call.call_id}:{name}",
        kind=kind,
        occurred_at=at,
        provider_call_id=call.call_id,
        attempt_id=attempt_id,
        number_from=call.from_number or "",
        ending=ending,
    )


def make_ending(call: CallIn, *, is_awaited: bool = False) -> Ending:
    """How a call ended. `is_awaited`: an analysis that is not there yet still comes."""
    rule = _rule(call)
    analysis = call.call_analysis or AnalysisIn()
    has_talk = rule.status is CallStatus.COMPLETED
    answered_at = call.answered_at
    duration = call.duration_ms if answered_at and call.duration_ms else 0
    cost = call.call_cost.combined_cost if call.call_cost else None
    return Ending(
        status=rule.status,
        reason=rule.reason,
        answered_at=answered_at,
        duration_seconds=(duration + 500) // 1000,
        outcome=analysis.answer("outcome") if has_talk else "",
        outcome_reasoning=analysis.answer("outcome_reasoning") if has_talk else "",
        sentiment=SENTIMENTS.get(analysis.user_sentiment or "", "") if has_talk else "",
        summary=analysis.call_summary or "",
        transcript=call.transcript or "",
        recording_url=call.recording_url or "",
        call_back_at=analysis.call_back_at if has_talk else None,
        cost=cost / 100 if cost is not None else None,
        counts_as_attempt=rule.counts_as_attempt or answered_at is not None,
        blames_provider=rule.blames_provider,
        analysis_follows=is_awaited and has_talk and call.call_analysis is None,
        is_final=rule.is_final,
    )


def _rule(call: CallIn) -> Rule:
    """The reason's rule, but where what else is told of the call makes it impossible."""
    if call.disconnection_reason:
        rule = rule_of(call.disconnection_reason)
    elif call.answered_at and call.call_status == "ended":
        rule = Rule(CallStatus.COMPLETED, "unknown")
    else:
        rule = Rule(CallStatus.FAILED, "unknown")
    if rule.status is not CallStatus.COMPLETED:
        return rule
    if call.call_status == "not_connected":
        return rule._replace(status=CallStatus.NO_ANSWER)
    if call.call_analysis and call.call_analysis.in_voicemail:
        return rule._replace(status=CallStatus.VOICEMAIL, reason="voicemail")
    return rule
