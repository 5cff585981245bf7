"""Asking providers about live calls: for the simulated one, how its calls go on at all."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from calls.dialling import call_request
from calls.events import record_events
from calls.models import CallLog, ProviderAccount, SingletonTask
from calls.providers import provider_of
from calls.providers.base import Poll
from calls.slices import Slice

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30
ASK_AGAIN_AFTER = timedelta(seconds=30)
POLLS_AT_ONCE = 500


def poll_calls() -> None:
    """Poll every call that is due, for one slice of time; one worker at a time does."""
    task = SingletonTask.named("poll_calls")
    with task.hold_lease(LEASE_SECONDS) as is_ours:
        time = Slice()
        while is_ours and not time.is_over and (calls := _claim_polls()):
            _poll(calls)
            is_ours = task.renew_lease(LEASE_SECONDS)


@transaction.atomic
def _claim_polls() -> list[CallLog]:
    """Take calls to ask about; whoever dies over them leaves them to be asked about again."""
    now = timezone.now()
    due = CallLog.objects.to_poll(now).order_by("poll_at").select_for_update(skip_locked=True)
    ids = list(due.values_list("pk", flat=True)[:POLLS_AT_ONCE])
    CallLog.objects.filter(pk__in=ids).update(poll_at=now + ASK_AGAIN_AFTER)
    live = CallLog.objects.live().filter(pk__in=ids)
    return list(live.select_related("account", "campaign__template_version"))


def _poll(calls: Sequence[CallLog]) -> None:
    by_account: dict[ProviderAccount, list[CallLog]] = defaultdict(list)
    for call in calls:
        if call.account:
            by_account[call.account].append(call)
    for account, asked in by_account.items():
        try:
            provider = provider_of(account)
            polls = provider.poll([call_request(call) for call in asked], timezone.now())
        except Exception as error:  # one account's outage leaves the others' calls going on
            logger.warning("Account %s does not answer: %s", account.pk, type(error).__name__)
            continue
        _record(account, polls)
        next_polls = {poll.attempt_id: poll.poll_at for poll in polls if poll.poll_at}
        going_on = [call for call in asked if call.pk in next_polls]
        for call in going_on:
            call.poll_at = next_polls[call.pk]
        CallLog.objects.write(going_on, ["poll_at"])


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
