"""What the end of an attempt brings with it, in the transaction that ends it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db.models import Count
from django.utils import timezone

from calls.dispatch import call_for, dispatch_on_commit
from calls.models import CallLog, WebhookDelivery, WebhookEndpoint
from calls.models.webhook import EventType
from calls.providers import provider_of
from calls.providers.base import Ending
from calls.queue import wake
from calls.statuses import CallStatus
from campaigns.clock import database_now
from campaigns.models import ENDED_CAMPAIGN, CampaignStatus
from contacts.models import Suppression, SuppressionReason

# Outcomes after which the person is not called again, whatever the template says of them.
SUPPRESSING_OUTCOMES = {
    "DO_NOT_CALL": SuppressionReason.DO_NOT_CALL,
    "WRONG_NUMBER": SuppressionReason.WRONG_NUMBER,
}

# Campaigns in which nobody is called any more.
STOPPED = (CampaignStatus.CANCELLING, *ENDED_CAMPAIGN)

ENDING_FIELDS = (
    "status",
    "is_last_attempt",
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
    "sentiment",
    "sentiment_reasoning",
    "summary",
    "transcript",
    "recording_url",
    "hang_up_at",
)


def end_calls(endings: Sequence[tuple[CallLog, Ending, datetime]]) -> None:
    """End attempts, each at its time, with all that follows: suppressions, retries, webhooks.

    The caller holds the locks on the rows, in a transaction, and has seen that they have not
    ended. `call.campaign.template_version` is read: fetch it with the calls.
    """
    if not endings:
        return
    for call, ending, ended_at in endings:
        _write_ending(call, ending, ended_at)
    calls = [call for call, _, _ in endings]
    _suppress(calls)
    retries = _retries([call for call, ending, _ in endings if not ending.is_final])
    CallLog.objects.write(calls, ENDING_FIELDS)
    CallLog.objects.bulk_create(retries)
    _announce(calls)
    _wake_waiting(calls)


def _write_ending(call: CallLog, ending: Ending, ended_at: datetime) -> None:
    listed = {outcome["word"] for outcome in call.campaign.template_version.outcomes}
    answered = ending.status is CallStatus.COMPLETED
    call.status, call.ended_at = ending.status, ended_at
    call.ended_reason = _storable(ending.reason)[:120]
    call.answered_at = ending.answered_at or call.answered_at
    call.duration_seconds = ending.duration_seconds
    call.outcome = ending.outcome if answered and ending.outcome in listed else ""
    call.outcome_reasoning = _storable(ending.outcome_reasoning)
    call.sentiment = ending.sentiment if answered else ""
    call.sentiment_reasoning = _storable(ending.sentiment_reasoning)
    call.summary = _storable(ending.summary)
    call.transcript = _storable(ending.transcript)
    call.recording_url = ending.recording_url


def _storable(text: str) -> str:
    """The text without what no database keeps: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="ignore").decode()


def _suppress(calls: Iterable[CallLog]) -> None:
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


def _retries(calls: Iterable[CallLog]) -> list[CallLog]:
    """The next attempts that the templates' rules grant: as many to a contact in a campaign as the
    rule for how the attempt ended says, however many calls they share.
    """
    granted = [call for call in calls if call.campaign.status not in STOPPED and _rule(call)]
    used = _count_retries(granted)
    retries = []
    for call in granted:
        person = (call.campaign_id, call.contact_id)
        if used[person] < _rule(call)["times"]:
            used[person] += 1
            retries.append(_retry(call))
    return retries


def _rule(call: CallLog) -> dict[str, int]:
    rule: dict[str, int] = call.campaign.template_version.retry_rule.get(call.status, {})
    return rule


def _count_retries(calls: Iterable[CallLog]) -> Counter[tuple[UUID, UUID]]:
    """Attempts behind the first, by campaign and contact of these calls."""
    campaigns = {call.campaign_id for call in calls}
    contacts = {call.contact_id for call in calls}
    if not contacts:
        return Counter()
    retries = CallLog.objects.filter(
        campaign__in=campaigns, contact__in=contacts, attempt__gt=1
    ).order_by()
    counts = retries.values_list("campaign", "contact").annotate(number=Count("pk"))
    return Counter({(campaign, contact): number for campaign, contact, number in counts})


def _retry(call: CallLog) -> CallLog:
    """The next attempt."""
    rule = _rule(call)
    scale = provider_of(call.account).time_scale if call.account else 1
    ended_at = call.ended_at or timezone.now()
    call.is_last_attempt = False
    return CallLog(
        id=uuid4(),
        call_id=call.call_id,
        attempt=call.attempt + 1,
        campaign=call.campaign,
        batch_id=call.batch_id,
        position=call.position,
        contact_id=call.contact_id,
        phone_number=call.phone_number,
        prompt_tags=call.prompt_tags,
        metadata=call.metadata,
        debt_reference=call.debt_reference,
        consent=call.consent,
        not_before=ended_at + timedelta(minutes=rule["after_minutes"]) * scale,
    )


def _announce(calls: Iterable[CallLog]) -> None:
    """Write a webhook delivery per call and subscribed endpoint."""
    event = EventType.PHONE_CALL_ENDED
    endpoints = WebhookEndpoint.objects.subscribed(event)
    now = database_now()
    deliveries = [
        WebhookDelivery(endpoint=endpoint, event_type=event, call=call, next_attempt_at=now)
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
    call_for(waiting.values_list("batch_id", flat=True).distinct(), now)
