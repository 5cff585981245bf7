"""Retries: whether an ended attempt is followed by another, and when."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db.models import Count, Value
from django.db.models.functions import Coalesce, Least
from django.utils import timezone

from calls.models import CallLog
from calls.providers import provider_of
from campaigns.models import ENDED_CAMPAIGN, Batch, CampaignStatus
from contacts.models import Contact
from templates.retry_rules import RetryWhen

# Campaigns in which nobody is called any more.
STOPPED = (CampaignStatus.CANCELLING, *ENDED_CAMPAIGN)

# Morning, afternoon and evening lie between these times of the person's day; the rest is night.
DAY_PARTS = tuple(pairwise((time(9), time(12), time(17), time(20))))
CALL_BACK_WITHIN = timedelta(days=30)

Rule = Mapping[str, Any]
Person = tuple[UUID, UUID]  # campaign and contact
Part = tuple[time, time]


def write_retries(calls: Sequence[CallLog]) -> None:
    """Write the next attempts of calls that have just ended, as far as their rules and budgets
    grant them, and tell their batches.

    Belongs into the transaction that ends the calls, after they are written. The contacts stay
    locked to its end: of two transactions that end calls to one person, the second counts what
    the first has granted. Locked as `Contact.objects.upsert` does, in the order of the numbers.
    """
    ruled = [call for call in calls if call.campaign.status not in STOPPED and _rule(call)]
    if not ruled:
        return
    zones = _lock_contacts(ruled)
    granted = _granted(ruled)
    if not granted:
        return
    for call in granted:
        call.is_last_attempt = False
    CallLog.objects.filter(pk__in=[call.pk for call in granted]).update(is_last_attempt=False)
    retries = [_retry(call, zones[call.contact_id]) for call in granted]
    CallLog.objects.bulk_create(retries)
    _tell_batches(retries)


def _key(call: CallLog) -> str:
    """What the rules know the ending by: the outcome of a conversation, else the status."""
    return call.outcome or call.status


def _rule(call: CallLog) -> Rule:
    rule: Rule = call.campaign.template_version.retry_rule.get(_key(call), {})
    return rule


def _lock_contacts(calls: Sequence[CallLog]) -> dict[UUID, tzinfo]:
    """Lock the contacts and return their time zones."""
    contacts = Contact.objects.filter(pk__in={call.contact_id for call in calls})
    locked = contacts.order_by("phone_number").select_for_update(no_key=True)
    return {pk: zone_named(zone) for pk, zone in locked.values_list("pk", "time_zone")}


def _granted(calls: Sequence[CallLog]) -> list[CallLog]:
    """The calls that have another attempt left, both by their rule and in the person's budget."""
    by_person, by_key = _count_retries(calls), _count_endings(calls)
    granted = []
    for call in calls:
        person = (call.campaign_id, call.contact_id)
        is_in_budget = by_person[person] < call.campaign.template_version.retry_budget
        if is_in_budget and by_key[call.call_id, _key(call)] < _rule(call)["times"]:
            by_person[person] += 1
            granted.append(call)
    return granted


def _count_retries(calls: Sequence[CallLog]) -> Counter[Person]:
    """Attempts behind the first, over all calls of these people in these campaigns."""
    retries = CallLog.objects.filter(
        campaign__in={call.campaign_id for call in calls},
        contact__in={call.contact_id for call in calls},
        attempt__gt=1,
    )
    groups = retries.order_by().values_list("campaign", "contact")
    counts = groups.annotate(number=Count("pk"))
    return Counter({(campaign, contact): number for campaign, contact, number in counts})


def _count_endings(calls: Sequence[CallLog]) -> Counter[tuple[UUID, str]]:
    """How the earlier attempts of these calls ended, by call and key."""
    repeated = [call.call_id for call in calls if call.attempt > 1]
    if not repeated:
        return Counter()
    earlier = CallLog.objects.filter(call_id__in=repeated, is_last_attempt=False)
    return Counter(
        (attempt.call_id, _key(attempt)) for attempt in earlier.only("call_id", "status", "outcome")
    )


def _retry(call: CallLog, zone: tzinfo) -> CallLog:
    """The next attempt."""
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
        not_before=_not_before(call, zone),
    )


def _not_before(call: CallLog, zone: tzinfo) -> datetime:
    scale = provider_of(call.account).time_scale if call.account else 1.0
    ended_at = call.ended_at or timezone.now()
    if call.call_back_at and timedelta(0) < call.call_back_at - ended_at <= CALL_BACK_WITHIN:
        return ended_at + (call.call_back_at - ended_at) * scale
    return next_attempt_at(_rule(call), call.started_at or ended_at, ended_at, zone, scale)


def _tell_batches(retries: Sequence[CallLog]) -> None:
    """See to it that no batch is taken to have nothing due before the first of its retries."""
    earliest: dict[int, datetime] = {}
    for retry in retries:
        known = earliest.get(retry.batch_id, retry.not_before)
        earliest[retry.batch_id] = min(known, retry.not_before)
    for batch_id, at in sorted(earliest.items()):
        first = Least(Coalesce("due_at", Value(at)), Value(at))
        Batch.objects.filter(pk=batch_id).update(due_at=first)


def zone_named(name: str) -> tzinfo:
    """The IANA time zone; where it is empty or not known here, that of the settings."""
    try:
        return ZoneInfo(name) if name else timezone.get_default_timezone()
    except (ValueError, OSError, KeyError):
        return timezone.get_default_timezone()


def next_attempt_at(
    rule: Rule, started_at: datetime, ended_at: datetime, zone: tzinfo, scale: float = 1.0
) -> datetime:
    """When the attempt after this one may be made, in UTC. Times are aware.

    At least `after_minutes` after the end, and as `when` says on the person's clock in `zone`:
    `other_day_part` is the next morning, afternoon or evening that is another than the one in
    which the attempt was started; `next_day` is the day after the end or a later one, in another
    part of the day if that day has one left. `scale` shortens the whole wait.
    """
    ended_at = ended_at.astimezone(UTC)
    earliest = ended_at + timedelta(minutes=rule["after_minutes"])
    tried = _part_of(started_at.astimezone(zone))
    match rule.get("when", RetryWhen.ANY):
        case RetryWhen.OTHER_DAY_PART:
            target = _in_other_part(earliest, tried, zone)
        case RetryWhen.NEXT_DAY:
            target = _on_next_day(earliest, ended_at, tried, zone)
        case _:
            target = earliest
    return ended_at + (target - ended_at) * scale


def _part_of(local: datetime) -> Part | None:
    """The part of the day; None at night."""
    return next((part for part in DAY_PARTS if part[0] <= local.time() < part[1]), None)


def _in_other_part(earliest: datetime, tried: Part | None, zone: tzinfo) -> datetime:
    return next(at for part, at in _chances(earliest, zone) if part != tried)


def _on_next_day(
    earliest: datetime, ended_at: datetime, tried: Part | None, zone: tzinfo
) -> datetime:
    next_day = ended_at.astimezone(zone).date() + timedelta(days=1)
    morning = datetime.combine(next_day, DAY_PARTS[0][0], zone).astimezone(UTC)
    chances = _chances(max(earliest, morning), zone)
    first_part, first = next(chances)
    if first_part != tried:
        return first
    _, second = next(chances)
    is_same_day = first.astimezone(zone).date() == second.astimezone(zone).date()
    return second if is_same_day else first


def _chances(earliest: datetime, zone: tzinfo) -> Iterator[tuple[Part, datetime]]:
    """Each part of a day that is not over by `earliest`, and the first moment in it, in order."""
    day = earliest.astimezone(zone).date()
    while True:
        for part in DAY_PARTS:
            begin, end = (datetime.combine(day, at, zone).astimezone(UTC) for at in part)
            if earliest < end:
                yield part, max(earliest, begin)
        day += timedelta(days=1)
