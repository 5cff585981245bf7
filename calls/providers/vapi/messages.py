"""What Vapi tells of a call: as the API's `Call`, and as the messages it sends."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError

from calls.providers.base import MAX_ADDRESS, Ending, Event, EventKind, EventRefused
from calls.providers.vapi.api import UnexpectedAnswer, read_json
from calls.providers.vapi.assistant import ATTEMPT_ID
from calls.providers.vapi.reasons import Meaning, meaning_of
from calls.statuses import CallStatus, Sentiment
from calls.webhooks.addresses import validate_address

# A call that is over, in the words of `Call.status`; the record of the last two is gone.
OVER = frozenset({"ended", "not-found", "deletion-failed"})
KINDS = {
    "ringing": EventKind.RINGING,
    "in-progress": EventKind.ANSWERED,
    "forwarding": EventKind.ANSWERED,
}
# After this nothing is added to a call any more: both analyses may take 20 seconds.
ANALYZED_WITHIN = timedelta(seconds=60)
CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
NUMBER = re.compile(r"\+[0-9]{1,20}")
FIRST_YEAR, LAST_YEAR = 2000, 2100
MAX_COST = Decimal(100_000)
SPEAKERS = {"bot": "Agent", "assistant": "Agent", "user": "Customer"}


@dataclass(frozen=True, slots=True)
class ToldCall:
    """A call, in Vapi's words. `told` holds its fields, those of a message before the call's."""

    call_id: str
    status: str
    told: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, call: Any) -> "ToldCall":
        """Raises `UnexpectedAnswer` for what is no call."""
        call_id = _dig(call, "id")
        if not (isinstance(call_id, str) and CALL_ID.fullmatch(call_id)):
            raise UnexpectedAnswer("no id of a call")
        return cls(call_id, _text(call, "status"), call)

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @property
    def control_url(self) -> str:
        return _text(self.told, "monitor", "controlUrl")

    @property
    def attempt_id(self) -> UUID | None:
        """Ours, from the first of the places where we put it that holds one."""
        for path in (
            ("assistant", "metadata", ATTEMPT_ID),
            ("assistantOverrides", "metadata", ATTEMPT_ID),
            ("call", "assistant", "metadata", ATTEMPT_ID),
            ("customer", "externalId"),
            ("call", "customer", "externalId"),
            ("name",),
            ("call", "name"),
        ):
            try:
                return UUID(_text(self.told, *path))
            except ValueError:
                continue
        return None

    @property
    def number_from(self) -> str:
        number = _text(self.told, "phoneNumber", "number")
        return number if NUMBER.fullmatch(number) else ""

    @property
    def meaning(self) -> Meaning:
        return meaning_of(_text(self.told, "endedReason"))

    def lacks_analysis(self, now: datetime) -> bool:
        """What was said in this call, which is over, may still be thought about."""
        if self.meaning.status is not CallStatus.COMPLETED or _dict(self._analysis):
            return False
        ended_at = _time(_dig(self.told, "endedAt"))
        return ended_at is not None and now - ended_at < ANALYZED_WITHIN

    def event(self, attempt_id: UUID | None, now: datetime) -> Event | None:
        """Where the call stands; None where there is nothing to tell. A message and the API tell
        the same thing by the same id. `now` stands in for a time that is missing.
        """
        ending = self.ending() if self.status == "ended" else None
        kind = EventKind.ENDED if ending else KINDS.get(self.status)
        if kind is None:
            return None
        moment = {EventKind.ENDED: "endedAt", EventKind.ANSWERED: "startedAt"}.get(kind, "")
        at = _time(_dig(self.told, moment)) or _time(_dig(self.told, "timestamp")) or now
        return Event(
            event_id=f"{self.call_id}:{self.status}",
            kind=kind,
            occurred_at=at,
            provider_call_id=self.call_id,
            attempt_id=attempt_id or self.attempt_id,
            number_from=self.number_from,
            ending=ending,
        )

    def ending(self) -> Ending:
        """How the call ended, as far as it has been told."""
        meaning, found = self.meaning, self._found
        answered_at, seconds = self._conversation(meaning)
        return Ending(
            status=meaning.status,
            reason=meaning.reason,
            answered_at=answered_at,
            duration_seconds=seconds,
            outcome=_text(found, "outcome"),
            outcome_reasoning=_text(found, "outcomeReasoning"),
            sentiment=_sentiment(_text(found, "sentiment")),
            sentiment_reasoning=_text(found, "sentimentReasoning"),
            summary=_text(self._analysis, "summary"),
            transcript=self._transcript(),
            recording_url=self._recording_url(),
            call_back_at=_time(_dig(found, "callBackAt"), is_local=True),
            cost=_cost(_dig(self.told, "cost")),
            counts_as_attempt=meaning.counts,
            blames_provider=meaning.blames,
            is_final=meaning.is_final,
        )

    @property
    def _analysis(self) -> Any:
        return _dig(self.told, "analysis")

    @property
    def _found(self) -> Mapping[str, Any]:
        return _dict(_dig(self._analysis, "structuredData"))

    def _conversation(self, meaning: Meaning) -> tuple[datetime | None, int]:
        """When it was picked up, and for how many seconds; None and 0 if it was not."""
        started_at = _time(_dig(self.told, "startedAt")) if meaning.was_answered else None
        if started_at is None:
            return None, 0
        ended_at = _time(_dig(self.told, "endedAt")) or started_at
        return started_at, max(0, round((ended_at - started_at).total_seconds()))

    def _transcript(self) -> str:
        """Lines of `Agent: …` and `Customer: …`."""
        if told := _text(self.told, "artifact", "transcript") or _text(self.told, "transcript"):
            return told.strip()
        messages = _dig(self.told, "artifact", "messages") or _dig(self.told, "messages")
        lines = []
        for message in messages if isinstance(messages, list) else []:
            speaker, said = SPEAKERS.get(_text(message, "role")), _text(message, "message")
            if speaker and said.strip():
                lines.append(f"{speaker}: {said.strip()}")
        return "\n".join(lines)

    def _recording_url(self) -> str:
        for path in (
            ("artifact", "recordingUrl"),
            ("artifact", "recording", "mono", "combinedUrl"),
            ("recordingUrl",),
            ("artifact", "stereoRecordingUrl"),
            ("artifact", "recording", "stereoUrl"),
        ):
            url = _text(self.told, *path)
            if url and len(url) <= MAX_ADDRESS and _is_address(url):
                return url
        return ""


def read_message(body: bytes, now: datetime) -> list[Event]:
    """The event in a message that Vapi sent; none in one that tells nothing new. Raises
    `EventRefused`.

    The end of a call is told twice: by a status first, and by a report with all that was said. The
    report alone counts; should it be lost, the call is asked about.
    """
    try:
        told = read_json(body)
    except (ValueError, RecursionError):
        raise EventRefused("The event is no JSON.") from None
    message = _dig(told, "message")
    if not isinstance(message, dict):
        raise EventRefused("The event has no message.")
    kind = message.get("type")
    if kind not in {"status-update", "end-of-call-report"}:
        return []
    status = "ended" if kind == "end-of-call-report" else _text(message, "status")
    if kind == "status-update" and status not in KINDS:
        return []
    call = _dict(message.get("call"))
    fields = {**call, **{name: value for name, value in message.items() if value is not None}}
    fields |= {"id": call.get("id"), "name": call.get("name"), "call": call, "status": status}
    try:
        event = ToldCall.of(fields).event(None, now)
    except UnexpectedAnswer:
        raise EventRefused("The event names no call.") from None
    return [event] if event else []


def _dig(told: Any, *path: str) -> Any:
    for name in path:
        told = told.get(name) if isinstance(told, Mapping) else None
    return told


def _dict(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def _text(told: Any, *path: str) -> str:
    found = _dig(told, *path)
    return found if isinstance(found, str) else ""


def _sentiment(word: str) -> str:
    return word.upper() if word.upper() in Sentiment else ""


def _cost(told: Any) -> Decimal | None:
    """In dollars, to a hundredth of a cent; None where none was told."""
    if isinstance(told, bool) or not isinstance(told, int | Decimal):
        return None
    cost = Decimal(told)
    return cost.quantize(Decimal("0.0001")) if 0 <= cost <= MAX_COST else None


def _time(told: Any, *, is_local: bool = False) -> datetime | None:
    """A time in ISO 8601, or, as in messages, in Unix milliseconds. One without a zone is in UTC;
    `is_local`: it is none, for it may be anybody's.
    """
    try:
        if isinstance(told, int | Decimal) and not isinstance(told, bool):
            time = datetime.fromtimestamp(float(told) / 1000, UTC)
        elif isinstance(told, str) and told[4:5] == "-":
            time = datetime.fromisoformat(told)
        else:
            return None
        if not FIRST_YEAR <= time.year <= LAST_YEAR or (is_local and time.tzinfo is None):
            return None
        zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_address(url: str) -> bool:
    try:
        validate_address(url)
    except ValidationError:
        return False
    return True
