"""What lost wake-ups and dead workers leave behind is found in the rows and taken up again."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from calls.endings import announce_campaigns
from calls.idempotency import prune_keys
from calls.models import CallLog, SingletonTask, WebhookDelivery
from calls.queue import is_backed_up, wake
from calls.statuses import TERMINAL
from campaigns.models import Batch, Campaign, CampaignStatus

# A batch is not called for again while a wake-up may still be waiting in the queue.
WAKE_AGAIN_AFTER = timedelta(seconds=10)
MAX_BATCHES = 200


def sweep() -> None:
    """Wake workers for all that is due and taken up by nobody, and close finished campaigns.

    Does no work itself, so it may run anywhere, any number of times.
    """
    for task in overdue_tasks():
        wake(task)
    if not is_backed_up():  # the batches that wait in the queue come first
        _wake_batches()
    _end_campaigns()
    prune_keys()


def overdue_tasks() -> Iterator[str]:
    """The tasks for which something is due while no worker is at them, most urgent first."""
    now = timezone.now()
    due: dict[str, QuerySet] = {
        "cancel_calls": CallLog.objects.to_cancel(),
        "poll_calls": CallLog.objects.to_poll(now),
        "deliver_webhooks": WebhookDelivery.objects.due(now),
    }
    busy = SingletonTask.objects.filter(lease_until__gte=Now()).values_list("name", flat=True)
    idle = due.keys() - set(busy)
    return (name for name, rows in due.items() if name in idle and rows.exists())


def overdue_task() -> str | None:
    """The most urgent of the overdue tasks."""
    return next(overdue_tasks(), None)


def _wake_batches() -> None:
    now = timezone.now()
    idle = (
        Batch.objects.unleased()
        .filter(campaign__status=CampaignStatus.RUNNING, woken_at__lt=now - WAKE_AGAIN_AFTER)
        .filter(Exists(CallLog.objects.due(now).filter(batch=OuterRef("pk"))))
        .order_by("woken_at")
    )
    if ids := list(idle.values_list("pk", flat=True)[:MAX_BATCHES]):
        Batch.objects.filter(pk__in=ids).update(woken_at=now)
        wake("place_batch", ids)


def _end_campaigns() -> None:
    calls = CallLog.objects.last_attempts().filter(campaign=OuterRef("pk"))
    unended = calls.exclude(status__in=TERMINAL)
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
            ids = list(locked.order_by("pk").values_list("pk", flat=True))
            ended = Campaign.objects.filter(pk__in=ids)
            ended.update(status=after, ended_at=timezone.now())
            announce_campaigns(ids)
