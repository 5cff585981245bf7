"""`record_event`: the one way in for what providers tell us."""

from collections.abc import Sequence, Set
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from calls.endings import OVERLAPPING, end_analysis, end_calls, suppress_late
from calls.models import CallLog, ProviderAccount, ProviderEvent
from calls.providers.base import Ending, Event, EventKind
from calls.statuses import CallStatus, is_forward
from campaigns.clock import database_now


def record_event(account: ProviderAccount, event: Event) -> None:
    """Record one event; see `record_events`."""
    record_events(account, [event])


@transaction.atomic
def record_events(account: ProviderAccount, events: Sequence[Event]) -> None:
    """Record what a provider told and move the calls forward, in one transaction.

    A call only ever moves forward, so late, repeated and reordered events change nothing that is
    already further on; the first ending of a call is its ending. An event of a call we do not
    know, or of another account's call, is kept and otherwise ignored.
    """
    by_attempt, by_provider_id = _lock_calls(account, events)
    found = [
        (by_attempt.get(event.attempt_id) or by_provider_id.get(event.provider_call_id), event)
        for event in events
    ]
    known = _known(account, events)
    ProviderEvent.objects.bulk_create(
        [
            ProviderEvent(
                account=account,
                event_id=event.event_id,
                call=call,
                kind=event.kind,
                occurred_at=event.occurred_at,
            )
            for call, event in found
        ],
        ignore_conflicts=True,
    )
    moved: dict[UUID, CallLog] = {}
    ended: dict[UUID, tuple[CallLog, Ending, datetime]] = {}
    analyses: dict[UUID, tuple[CallLog, Event]] = {}
    now = database_now()
    for call, event in sorted(found, key=lambda pair: pair[1].occurred_at):
        if call is None or call.pk in ended:
            continue
        if event.kind is EventKind.ANALYZED:
            analyses[call.pk] = (call, event)
            continue
        if call.is_ended:
            if event.ending and event.event_id not in known:
                suppress_late(call, event.ending)
            continue
        others = {other.contact_id for other in moved.values() if other.pk != call.pk}
        overlap = None if event.ending else _overlap(call, others)
        _adopt(call, account, event, now)
        if overlap:
            call.hang_up_at = now
        # The provider's clock may be wrong, and retries are counted from the end.
        at = min(max(event.occurred_at, call.started_at or now), now)
        if ending := event.ending or overlap:
            ended[call.pk] = (call, ending, at)
        elif _move(call, event):
            moved[call.pk] = call
    CallLog.objects.write(
        [call for pk, call in moved.items() if pk not in ended],
        [
            "status",
            "account",
            "started_at",
            "answered_at",
            "poll_at",
            "provider_call_id",
            "number_from",
        ],
    )
    end_calls(list(ended.values()))
    for call, event in analyses.values():
        # Of a call that has not ended for us it is asked for again, when the end has come.
        if call.is_ended and event.ending and not (call.outcome and event.event_id in known):
            end_analysis(call, event.ending)


def _known(account: ProviderAccount, events: Sequence[Event]) -> set[str]:
    """Which of these events were told before; asked only where one may come after an end."""
    endings = [event.event_id for event in events if event.ending]
    rows = ProviderEvent.objects.filter(account=account, event_id__in=endings)
    return set(rows.values_list("event_id", flat=True)) if endings else set()


def _lock_calls(
    account: ProviderAccount, events: Sequence[Event]
) -> tuple[dict[UUID | None, CallLog], dict[str, CallLog]]:
    """The calls that the events speak of, locked in one order, by our id and by the provider's."""
    attempt_ids = {event.attempt_id for event in events if event.attempt_id}
    provider_ids = {event.provider_call_id for event in events if not event.attempt_id}
    named = Q(pk__in=attempt_ids)
    if provider_ids:
        named |= Q(account=account, provider_call_id__in=provider_ids)
    calls = (
        CallLog.objects.filter(named, Q(account=account) | Q(account=None))
        .with_context()
        .select_for_update(of=("self",))
        .order_by("pk")
    )
    by_attempt: dict[UUID | None, CallLog] = {call.pk: call for call in calls}
    by_provider_id = {c.provider_call_id: c for c in by_attempt.values() if c.provider_call_id}
    return by_attempt, by_provider_id


def _overlap(call: CallLog, moved: Set[UUID]) -> Ending | None:
    """An ending for a call that runs though it was queued again, if the person has been called by
    another call meanwhile, or in the same breath: only one of the two can be followed.
    """
    if call.status != CallStatus.QUEUED:
        return None
    live = CallLog.objects.busy().filter(contact=call.contact_id)
    if call.contact_id in moved or live.exists():
        return OVERLAPPING
    return None


def _adopt(call: CallLog, account: ProviderAccount, event: Event, now: datetime) -> None:
    """Note what the event proves: that this account's provider has the call."""
    call.account = account
    call.started_at = call.started_at or now
    call.poll_at = call.poll_at or now
    call.provider_call_id = call.provider_call_id or event.provider_call_id
    call.number_from = call.number_from or event.number_from


def _move(call: CallLog, event: Event) -> bool:
    """Move a live call forward; True if the event brought news."""
    answered = event.kind is EventKind.ANSWERED
    new = CallStatus.IN_PROGRESS if answered else CallStatus.RINGING
    if not is_forward(call.status, new):
        return False
    call.status = new
    if answered:
        call.answered_at = event.occurred_at
    return True
