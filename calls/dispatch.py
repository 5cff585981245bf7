"""Whose turn it is: which batches workers are called to.

The queue holds only as many batches as workers soon take, and campaigns take turns in it, so that
one of fifty calls is not stuck behind one of a hundred thousand, and a campaign of many batches
does not bury the webhooks and polls that wait in the same queue.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from calls.models import ProviderAccount
from calls.pacing import batches_at_once
from calls.queue import free_places, wake
from campaigns.clock import database_now
from campaigns.models import Batch, Campaign, CampaignStatus

# A worker that was called and has not come after this long never will: the call is repeated.
COMES_WITHIN = timedelta(seconds=10)

# A batch, by its number in the table, and its campaign.
Turn = tuple[int, UUID]


def dispatch() -> None:
    """Call workers to batches in which calls are due, as many as there is room for.

    Safe to run anywhere, any number of times.
    """
    places = free_places()
    if places <= 0:
        return
    now = database_now()
    account = ProviderAccount.objects.default()
    limit = batches_at_once(account, now)
    if limit is not None:
        places = min(places, limit - _in_hands(now).count())
    if places <= 0:
        return
    with transaction.atomic():
        chosen = _choose(now, places)
        ids = [batch_id for batch_id, _ in chosen]
        Batch.objects.filter(pk__in=ids).update(woken_at=now)
        _note_turns({campaign for _, campaign in chosen}, now)
        if ids:
            wake("place_batch", ids)


def dispatch_on_commit() -> None:
    """Dispatch once the transaction around it has committed."""
    transaction.on_commit(dispatch)


def campaigns_waiting(now: datetime) -> int:
    """How many running campaigns have a batch in which calls may be due."""
    due = Batch.objects.filter(campaign=OuterRef("pk"), due_at__lte=now)
    return Campaign.objects.filter(Exists(due), status=CampaignStatus.RUNNING).count()


def call_for(batches: Iterable[int], now: datetime) -> None:
    """Note that calls of these batches are due, and dispatch when the transaction commits."""
    ids = sorted(set(batches))
    late = Batch.objects.filter(pk__in=ids).filter(Q(due_at=None) | Q(due_at__gt=now))
    if ids:
        late.update(due_at=now)
        dispatch_on_commit()


def _ready(now: datetime) -> QuerySet[Batch]:
    """Batches in which calls may be due and to which no worker is on the way."""
    due = Batch.objects.unleased().filter(due_at__lte=now)
    return due.filter(Q(woken_at=None) | Q(woken_at__lt=now - COMES_WITHIN))


def _in_hands(now: datetime) -> QuerySet[Batch]:
    """Batches that a worker is at, or on the way to."""
    called = Batch.objects.filter(woken_at__isnull=False)
    return called.filter(Q(lease_until__gte=Now()) | Q(woken_at__gte=now - COMES_WITHIN))


def _choose(now: datetime, places: int) -> list[Turn]:
    """Up to `places` batches, each with its campaign: in turns, beginning with the campaign that
    has waited longest.
    """
    ready = _ready(now)
    campaigns = (
        Campaign.objects.filter(status=CampaignStatus.RUNNING)
        .filter(Exists(ready.filter(campaign=OuterRef("pk"))))
        .order_by(F("served_at").asc(nulls_first=True), "created_at", "pk")
        .values_list("pk", flat=True)[:places]
    )
    by_campaign = [
        [
            (batch, campaign)
            for batch in ready.filter(campaign=campaign)
            .order_by("due_at", "pk")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)[:places]
        ]
        for campaign in campaigns
    ]
    return _in_turns(by_campaign)[:places]


def _in_turns(queues: Sequence[Sequence[Turn]]) -> list[Turn]:
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _note_turns(campaigns: Iterable[UUID], now: datetime) -> None:
    ids = list(campaigns)
    # Skipping locked rows: who acts on a campaign just now need not wait, nor deadlock with us.
    rows = Campaign.objects.filter(pk__in=ids).select_for_update(skip_locked=True, no_key=True)
    Campaign.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(served_at=now)
