"""What lost wake-ups and dead workers leave behind is found in the rows and taken up again."""

from datetime import timedelta

from django.db.models import Exists, OuterRef
from django.utils import timezone

from calls.idempotency import prune_keys
from calls.models import CallLog, SingletonTask, WebhookDelivery
from calls.queue import wake
from calls.statuses import TERMINAL
from campaigns.models import Batch, Campaign, CampaignStatus

# A batch is not called for again while a wake-up may still be waiting in the queue.
WAKE_AGAIN_AFTER = timedelta(seconds=10)
MAX_BATCHES = 200


def sweep() -> None:
    """Wake workers for all that is due and taken up by nobody, and close finished campaigns.

    Does no work itself, so it may run anywhere, any number of times.
    """
    now = timezone.now()
    if WebhookDelivery.objects.due(now).exists() and _is_idle("deliver_webhooks"):
        wake("deliver_webhooks")
    if CallLog.objects.to_poll(now).exists() and _is_idle("poll_calls"):
        wake("poll_calls")
    cancelling = Campaign.objects.filter(status=CampaignStatus.CANCELLING)
    if cancelling.exists() and _is_idle("cancel_calls"):
        wake("cancel_calls")
    _wake_batches()
    _end_campaigns()
    prune_keys()


def _is_idle(task: str) -> bool:
    return SingletonTask.objects.unleased().filter(pk=SingletonTask.named(task).pk).exists()


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
    now = timezone.now()
    for before, after in (
        (CampaignStatus.RUNNING, CampaignStatus.COMPLETED),
        (CampaignStatus.CANCELLING, CampaignStatus.CANCELLED),
    ):
        finished.filter(status=before).update(status=after, ended_at=now)
