"""Asking providers about live calls: for the simulated one, how its calls go on at all; for the
others, how a call ends whose events, or whose placement's answer, were lost.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError, transaction

from calls.dialling import UNCONFIRMED_AFTER, call_request
from calls.dispatch import call_for
from calls.endings import end_calls
from calls.events import record_events
from calls.models import CallLog, ProviderAccount, SingletonTask
from calls.models.call_log import CallLogQuerySet
from calls.providers import provider_of
from calls.providers.base import Ending, Poll
from calls.statuses import TIMED_OUT, UNKNOWN, CallStatus
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
ASK_AGAIN_AFTER = timedelta(seconds=30)
POLLS_AT_ONCE = 200
# The longest a call rings, and what is added to its maximum duration before it is taken to be over
# though nobody said so.
RINGS_FOR = timedelta(seconds=120)
GRACE = timedelta(seconds=60)


def poll_calls() -> None:
    """Poll every call that is due, for one slice of time; one worker at a time does."""
    SingletonTask.repeat("poll_calls", LEASE_SECONDS, _poll_some)


def _poll_some() -> bool:
    calls = _claim_polls()
    _poll(calls)
    return bool(calls)


@transaction.atomic
def _claim_polls() -> list[CallLog]:
    """Take calls to ask about; whoever dies over them leaves them to be asked about again."""
    now = database_now()
    due = CallLog.objects.to_poll(now).order_by("poll_at").select_for_update(skip_locked=True)
    ids = list(due.values_list("pk", flat=True)[:POLLS_AT_ONCE])
    CallLog.objects.filter(pk__in=ids).update(poll_at=now + ASK_AGAIN_AFTER)
    live = CallLog.objects.live().with_context().in_bulk(ids)
    return [live[pk] for pk in ids if pk in live]  # those that have waited longest first


def _poll(calls: Sequence[CallLog]) -> None:
    by_account: dict[ProviderAccount, list[CallLog]] = defaultdict(list)
    for call in calls:
        if call.account:
            by_account[call.account].append(call)
    for account, asked in by_account.items():
        polls = _ask(account, asked)
        _record(account, polls)
        next_polls = {poll.attempt_id: poll.poll_at for poll in polls if poll.poll_at}
        for call in asked:
            if call.pk in next_polls:
                CallLog.objects.live().filter(pk=call.pk).update(poll_at=next_polls[call.pk])
        unknown = {poll.attempt_id for poll in polls if poll.is_unknown}
        _place_again([call for call in asked if call.pk in unknown])
    _end_overdue(calls)


def _ask(account: ProviderAccount, calls: Sequence[CallLog]) -> list[Poll]:
    try:
        provider = provider_of(account)
        if not provider.capabilities.can_look_up:
            calls = [call for call in calls if call.provider_call_id]
        return provider.poll([call_request(call) for call in calls], database_now())
    except Exception as error:  # one account's outage leaves the others' calls going on
        logger.warning("Account %s does not answer: %s", account.pk, type(error).__name__)
        return []


def _record(account: ProviderAccount, polls: Sequence[Poll]) -> None:
    """Record all answers at once, or, if one of them cannot be, each by itself."""
    try:
        record_events(account, [event for poll in polls for event in poll.events])
    except (DataError, IntegrityError, UnicodeError):
        for poll in polls:
            try:
                record_events(account, poll.events)
            except (DataError, IntegrityError, UnicodeError) as error:
                kind = type(error).__name__
                logger.error("What is told of call %s is refused: %s", poll.attempt_id, kind)


@transaction.atomic
def _place_again(calls: Sequence[CallLog]) -> None:
    """Queue again, under their own ids, calls that their provider has certainly never seen."""
    now = database_now()
    rows = _lock(CallLog.objects.unconfirmed().filter(pk__in=[call.pk for call in calls]))
    unseen = [row for row in rows if row.started_at and row.started_at + UNCONFIRMED_AFTER <= now]
    for call in unseen:
        logger.info("Call %s was never placed; it is queued again", call.pk)
        call.queue_again(now)
    call_for(call.batch_id for call in unseen)


@transaction.atomic
def _end_overdue(calls: Sequence[CallLog]) -> None:
    """End calls that cannot be under way any more, though their provider never said how they
    ended: none is placed again, and whatever line is left is closed.
    """
    now = database_now()
    perhaps = [call.pk for call in calls if over_by(call) <= now]
    endings = []
    for call in _lock(CallLog.objects.live().filter(pk__in=perhaps)):
        if over_by(call) > now:  # placed again meanwhile
            continue
        reason = TIMED_OUT if call.provider_call_id else UNKNOWN
        logger.warning("Call %s ends without news of it: %s", call.pk, reason)
        call.hang_up_at = now
        endings.append((call, Ending(CallStatus.FAILED, reason, is_final=True), now))
    end_calls(endings)


def over_by(call: CallLog) -> datetime:
    """When a live call is over, whatever its provider says or does not say."""
    if call.started_at is None:
        raise ValueError("the call was never started")
    limit = timedelta(seconds=call.campaign.template_version.max_duration_seconds)
    return call.started_at + RINGS_FOR + limit + GRACE


def _lock(calls: CallLogQuerySet) -> list[CallLog]:
    return list(calls.with_context().order_by("pk").select_for_update(of=("self",)))
