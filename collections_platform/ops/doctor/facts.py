"""What the database and the queue say about the installation, read once for all checks."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Min, OuterRef, Q, Subquery
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage

from calls.models import CallLog, ProviderAccount, WebhookDelivery, WebhookEndpoint
from campaigns.clock import database_now
from campaigns.models import Batch, CampaignStatus
from collections_platform.ops.models import SEEN_WITHIN, WorkerProcess

# For as long, things may be in nobody's hands: between two sweeps, or two slices.
PATIENCE = timedelta(minutes=2)
MANY = 1000  # rows of what an installation has few of


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """The batches of running campaigns that have queued calls."""

    held: int  # by a worker
    abandoned: int  # by a worker that held it and has not come back for longer than PATIENCE
    oldest_due: datetime | None  # since when the first call is due
    oldest_unheld: datetime | None  # likewise, of the batches that no worker holds


@dataclass(frozen=True, slots=True)
class Facts:
    """All times are the database's, but for `machine_time`, this machine's at `now`."""

    now: datetime
    machine_time: datetime
    workers: list[WorkerProcess]
    accounts: list[ProviderAccount]
    endpoints: list[WebhookEndpoint]
    deliveries: dict[UUID, datetime | None]  # by endpoint, when the first that waits is due
    batches: BatchFacts
    live: dict[int | None, int]  # calls under way, by account

    @property
    def running(self) -> list[WorkerProcess]:
        """The workers of our queue that have just been seen."""
        return [worker for worker in self.workers if self.is_seen(worker) and is_ours(worker)]

    def is_seen(self, worker: WorkerProcess) -> bool:
        return bool(worker.seen_at >= self.now - SEEN_WITHIN)


def is_ours(worker: WorkerProcess) -> bool:
    """Does it serve the queue of this installation?"""
    return bool(worker.queue == settings.QUEUE_NAME)


def gather() -> Facts:
    """Raises `DatabaseError`."""
    now = database_now()
    machine_time = timezone.now()
    under_way = CallLog.objects.live().order_by().values_list("account")
    return Facts(
        now=now,
        machine_time=machine_time,
        workers=list(WorkerProcess.objects.order_by("host", "started_at")[:MANY]),
        accounts=list(ProviderAccount.objects.order_by("name")[:MANY]),
        endpoints=list(WebhookEndpoint.objects.order_by("pk")[:MANY]),
        deliveries=_deliveries(),
        batches=_batches(now),
        live=dict(under_way.annotate(number=Count("pk"))),
    )


def _deliveries() -> dict[UUID, datetime | None]:
    pending = WebhookDelivery.objects.pending().filter(endpoint=OuterRef("pk"))
    first = pending.order_by("next_attempt_at").values("next_attempt_at")[:1]
    endpoints = WebhookEndpoint.objects.annotate(first=Subquery(first)).order_by("pk")
    return dict(endpoints.values_list("pk", "first")[:MANY])


def _batches(now: datetime) -> BatchFacts:
    # Batch by batch, by the index for claims: the calls themselves may be a million.
    queued = CallLog.objects.queued().filter(batch=OuterRef("pk")).order_by("not_before")
    batches = Batch.objects.filter(campaign__status=CampaignStatus.RUNNING).annotate(
        first=Subquery(queued.values("not_before")[:1])
    )
    is_held = Q(lease_until__gte=now)
    is_due = Q(first__lte=now)
    found: dict[str, Any] = batches.aggregate(
        held=Count("pk", filter=is_held),
        abandoned=Count("pk", filter=is_due & Q(lease_until__lt=now - PATIENCE)),
        oldest_due=Min("first", filter=is_due),
        oldest_unheld=Min("first", filter=is_due & (Q(lease_until=None) | ~is_held)),
    )
    return BatchFacts(**found)


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """The tasks that wait in the broker."""

    length: int
    oldest: datetime | None  # since when the first waits


def gather_queue() -> QueueFacts:
    """Raises `DatabaseError` or `RedisError`."""
    broker = get_broker()
    if settings.REDIS_URL:
        payload = broker.connection.lindex(broker.list_key, 0)
    else:
        waiting = OrmQ.objects.filter(key=broker.list_key, lock__lte=timezone.now())
        payload = waiting.order_by("pk").values_list("payload", flat=True).first()
    try:
        oldest = SignedPackage.loads(payload)["started"] if payload else None
    except BadSignature:  # signed by somebody with another SECRET_KEY
        oldest = None
    return QueueFacts(broker.queue_size(), oldest)
