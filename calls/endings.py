"""What the end of an attempt brings with it, in the transaction that ends it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from calls.dispatch import call_for, dispatch_on_commit
from calls.models import CallLog, WebhookDelivery, WebhookEndpoint
from calls.models.webhook import EventType
from calls.providers.base import Ending
from calls.queue import wake
from calls.recordings import note_recordings
from calls.retries import write_retries
from calls.statuses import CallStatus
from campaigns.clock import database_now
from contacts.models import Suppression, SuppressionReason

# Of two lines to one person only one can be followed.
OVERLAPPING = Ending(CallStatus.FAILED, "overlapping_call", is_final=True)

# Outcomes after which the person is not called again, whatever the template says of them.
SUPPRESSING_OUTCOMES = {
    "DO_NOT_CALL": SuppressionReason.DO_NOT_CALL,
    "WRONG_NUMBER": SuppressionReason.WRONG_NUMBER,
}

ENDING_FIELDS = (
    "status",
    "account",
    "started_at",
    "answered_at",
    "ended_at",
    "ended_reason",
    "provider_call_id",
    "number_from",
    "duration_seconds",
    "outcome",
    "outcome_reasoning",
    "call_back_at",
    "sentiment",
    "sentiment_reasoning",
    "summary",
    "transcript",
    "recording_url",
    "evaluate_at",
    "cost",
    "cost_currency",
    "hang_up_at",
    "poll_at",
)
# How long an analysis that the provider has promised is waited for, and how long the evaluation
# may take that follows if it does not come. Webhooks wait too: each attempt is told of once.
ANALYSIS_WITHIN = timedelta(minutes=2)
EVALUATION_WITHIN = timedelta(minutes=2)


def end_calls(endings: Sequence[tuple[CallLog, Ending, datetime]]) -> None:
    """End attempts, each at its time, with all that follows: suppressions, retries, webhooks,
    recordings to copy.

    The caller holds the locks on the rows, in a transaction, and has seen that they have not
    ended. `call.campaign.template_version` is read: fetch it with the calls.
    """
    if not endings:
        return
    for call, ending, ended_at in endings:
        _write_ending(call, ending, ended_at)
        _plan_evaluation(call, ending)
    calls = [call for call, _, _ in endings]
    suppress(calls)
    CallLog.objects.write(calls, ENDING_FIELDS)
    write_retries([call for call, ending, _ in endings if not ending.is_final])
    _announce(calls)
    _wake_waiting(calls)
    note_recordings(calls)


def _write_ending(call: CallLog, ending: Ending, ended_at: datetime) -> None:
    call.status, call.ended_at, call.poll_at = ending.status, ended_at, None
    call.ended_reason = _storable(ending.reason)[:120]
    call.answered_at = ending.answered_at or call.answered_at
    call.duration_seconds = ending.duration_seconds
    write_analysis(call, ending)


def write_analysis(call: CallLog, ending: Ending) -> None:
    """Take over what was said in a call that has ended; what is not told stays as it is."""
    listed = {outcome["word"] for outcome in call.campaign.template_version.outcomes}
    if call.status == CallStatus.COMPLETED:
        call.outcome = ending.outcome if ending.outcome in listed else call.outcome
        call.call_back_at = ending.call_back_at or call.call_back_at
        call.sentiment = ending.sentiment or call.sentiment
    call.outcome_reasoning = _storable(ending.outcome_reasoning) or call.outcome_reasoning
    call.sentiment_reasoning = _storable(ending.sentiment_reasoning) or call.sentiment_reasoning
    call.summary = _storable(ending.summary) or call.summary
    call.transcript = _storable(ending.transcript) or call.transcript
    call.recording_url = ending.recording_url or call.recording_url
    if ending.cost is not None:
        call.cost, call.cost_currency = ending.cost, ending.cost_currency


def _plan_evaluation(call: CallLog, ending: Ending) -> None:
    """Have the outcome of a conversation found that nobody has told in the template's words: by
    the provider's own analysis if one follows, else in the transcript.
    """
    call.evaluate_at = None
    if call.status == CallStatus.COMPLETED and not call.outcome:
        if not call.campaign.template_version.outcomes:
            return
        if ending.analysis_follows:
            call.evaluate_at = database_now() + ANALYSIS_WITHIN
        elif call.transcript:
            call.evaluate_at = database_now()
            wake("evaluate_calls")


def _storable(text: str) -> str:
    """The text without what no database keeps: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="ignore").decode()


def end_analysis(call: CallLog, ending: Ending) -> None:
    """Complete an ended call by what was said in it, with all that follows, and let its webhooks
    go. Told after they went, it changes the row and may suppress, but grants no retry.

    The caller holds the lock on the row. `call.campaign.template_version` is read.
    """
    was_awaited, had_outcome = call.evaluate_at is not None, bool(call.outcome)
    write_analysis(call, ending)
    call.evaluate_at = None
    CallLog.objects.write([call], ENDING_FIELDS)
    note_recordings([call])
    if not had_outcome:
        suppress([call])
    if was_awaited:
        write_retries([call])
        waiting = WebhookDelivery.objects.pending().filter(call=call, tries=0)
        waiting.update(next_attempt_at=database_now())
        wake("deliver_webhooks")


def suppress_late(call: CallLog, ending: Ending) -> None:
    """Honour what a person asked for in a call that had been ended before that was told."""
    listed = {outcome["word"] for outcome in call.campaign.template_version.outcomes}
    reason = SUPPRESSING_OUTCOMES.get(ending.outcome)
    if reason and ending.outcome in listed and ending.status is CallStatus.COMPLETED:
        note = f"Call {call.pk}, told after its end"
        Suppression.objects.create(contact_id=call.contact_id, reason=reason, note=note)


def suppress(calls: Iterable[CallLog]) -> None:
    suppressions = [
        Suppression(
            contact_id=call.contact_id,
            reason=SUPPRESSING_OUTCOMES[call.outcome],
            note=f"Call {call.pk}",
        )
        for call in calls
        if call.outcome in SUPPRESSING_OUTCOMES
    ]
    if suppressions:
        Suppression.objects.bulk_create(suppressions)


def _announce(calls: Iterable[CallLog]) -> None:
    """Write a webhook delivery per call and subscribed endpoint."""
    event = EventType.PHONE_CALL_ENDED
    endpoints = WebhookEndpoint.objects.subscribed(event)
    now = database_now()
    deliveries = [
        WebhookDelivery(
            endpoint=endpoint,
            event_type=event,
            call=call,
            next_attempt_at=call.evaluate_at + EVALUATION_WITHIN if call.evaluate_at else now,
        )
        for call in calls
        for endpoint in endpoints
    ]
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries)
        wake("deliver_webhooks")


def announce_campaigns(campaigns: Iterable[UUID]) -> None:
    """Write a webhook delivery per campaign and subscribed endpoint; one that is there already
    stays alone.

    Belongs into the transaction that completes or cancels the campaigns.
    """
    event = EventType.CAMPAIGN_COMPLETED
    endpoints = WebhookEndpoint.objects.subscribed(event)
    now = database_now()
    deliveries = [
        WebhookDelivery(
            endpoint=endpoint, event_type=event, campaign_id=campaign, next_attempt_at=now
        )
        for campaign in campaigns
        for endpoint in endpoints
    ]
    if deliveries:
        WebhookDelivery.objects.bulk_create(deliveries, ignore_conflicts=True)
        wake("deliver_webhooks")


def _wake_waiting(calls: Iterable[CallLog]) -> None:
    """Have those called who waited for the end of one of these calls: in another call to the same
    person, or for room in the account's pace.
    """
    if any(call.account and call.account.is_paced for call in calls):
        dispatch_on_commit()
    if lines_open := [call for call in calls if call.hang_up_at]:
        wake("hang_up")
    wake_contacts(call.contact_id for call in calls if call not in lines_open)


def wake_contacts(contacts: Iterable[UUID]) -> None:
    """Note that these people may be called again; their calls that wait are due at once."""
    now = database_now()
    waiting = CallLog.objects.due(now).filter(contact__in=set(contacts))
    call_for(waiting.values_list("batch_id", flat=True).distinct())
