"""What lost wake-ups and dead workers leave behind is found in the rows and taken up again."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from calls.dispatch import call_for, dispatch
from calls.endings import announce_campaigns
from calls.idempotency import prune_keys
from calls.lifecycle import start_due_campaigns
from calls.models import CallLog, SingletonTask
from calls.overdue import overdue_tasks
from calls.queue import wake
from calls.recordings.retention import has_expired
from calls.statuses import OPEN
from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignStatus

# Rows of each kind in one run; the next takes the others.
MAX_ROWS = 200
MEND_EVERY_SECONDS = 30
# A call is missed if it has been due for so long, and nobody was to look at its batch.
MISSED_AFTER = timedelta(seconds=30)


def sweep() -> None:
    """Wake workers for all that is due and taken up by nobody, begin campaigns at their time, and
    close finished ones.

    Does no other work itself, so it may run anywhere, any number of times.
    """
    for task in overdue_tasks():
        wake(task)
    start_due_campaigns()
    dispatch()
    _end_campaigns()
    if SingletonTask.named("mend").take_lease(MEND_EVERY_SECONDS):  # runs out by itself
        _mend_batches()
        prune_keys()
        if has_expired():
            wake("prune_recordings")


def _mend_batches() -> None:
    """Note anew that calls of a batch are due, where the note was lost."""
    now = database_now()
    unnoted = Q(batch__due_at=None) | Q(batch__due_at__gt=now)
    calls = CallLog.objects.due(now - MISSED_AFTER).filter(unnoted)
    running = calls.filter(campaign__status=CampaignStatus.RUNNING).order_by()
    call_for(running.values_list("batch_id", flat=True).distinct()[:MAX_ROWS])


def _end_campaigns() -> None:
    calls = CallLog.objects.last_attempts().filter(campaign=OuterRef("pk"))
    unended = calls.filter(status__in=OPEN)
    finished = Campaign.objects.filter(~Exists(unended))
    for before, after in (
        (CampaignStatus.RUNNING, CampaignStatus.COMPLETED),
        (CampaignStatus.CANCELLING, CampaignStatus.CANCELLED),
    ):
        if not finished.filter(status=before).exists():
            continue
        with transaction.atomic():
            # Another sweep at the same time finds the rows locked or ended.
            locked = finished.filter(status=before).select_for_update(
                skip_locked=True, of=("self",)
            )
            ids = list(locked.order_by("pk").values_list("pk", flat=True)[:MAX_ROWS])
            ended = Campaign.objects.filter(pk__in=ids)
            ended.update(status=after, ended_at=database_now())
            announce_campaigns(ids)
