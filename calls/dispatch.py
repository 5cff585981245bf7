"""Whose turn it is: which batches workers are called to.

The queue holds only as many batches as workers soon take, and campaigns take turns in it, so that
one of fifty calls is not stuck behind one of a hundred thousand, and a campaign of many batches
does not bury the webhooks and polls that wait in the same queue.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from calls.accounts import NAMED, served_by, with_named_account
from calls.caller_numbers import NumbersOfToday, active_numbers, are_capped
from calls.models import ProviderAccount
from calls.pacing import turns
from calls.queue import free_places, wake
from campaigns.clock import database_now
from campaigns.leases import LeasedQuerySet
from campaigns.models import Batch, Campaign, CampaignStatus

logger = logging.getLogger(__name__)

# A worker that was called and has not come after this long never will: the call is repeated.
COMES_WITHIN = timedelta(seconds=10)

# A batch, by its number in the table, and its campaign.
Turn = tuple[int, UUID]
Item = TypeVar("Item")
# Before any campaign was served.
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Demand:
    """An account for whose campaigns workers are wanted; `campaigns` finds them among those
    `with_named_account`.
    """

    account: ProviderAccount
    campaigns: Q


@dataclass(frozen=True, slots=True)
class Queue:
    """Campaigns of one account, and to how many of their batches workers may be called now."""

    campaigns: Q
    places: int


def dispatch() -> None:
    """Call workers to batches in which calls are due, as many as there is room for.

    Safe to run anywhere, any number of times.
    """
    places = free_places()
    if places <= 0:
        return
    now = database_now()
    queues = [_queue(account, now, places) for account in _accounts_in_demand(now)]
    if not any(queue.places for queue in queues):
        return
    with transaction.atomic():
        chosen = _choose(now, places, queues)
        ids = [batch_id for batch_id, _ in chosen]
        Batch.objects.filter(pk__in=ids).update(woken_at=now)
        _note_turns({campaign for _, campaign in chosen}, now)
        if ids:
            wake("place_batch", ids)


def dispatch_on_commit() -> None:
    """Dispatch once the transaction around it has committed."""
    _on_commit(dispatch)


def campaigns_waiting(account: ProviderAccount, now: datetime) -> int:
    """How many running campaigns of the account have a batch in which calls may be due."""
    due = Batch.objects.filter(campaign=OuterRef("pk"), due_at__lte=now)
    waiting = Campaign.objects.filter(Exists(due), status=CampaignStatus.RUNNING)
    return served_by(account, waiting).count()


def call_for(batches: Iterable[int]) -> None:
    """Once the transaction around it has committed, note that calls of these batches are due now,
    and dispatch. The note has a transaction of its own: whoever holds calls or a batch waits for
    no other batch.
    """
    if ids := sorted(set(batches)):
        _on_commit(partial(_note_due, ids))
        dispatch_on_commit()


def _on_commit(act: Callable[[], None]) -> None:
    """Act once the transaction has committed. What fails then is left to the sweep: it must not
    look as if the transaction itself had failed.
    """

    def attempt() -> None:
        try:
            act()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Not dispatched, the sweep will: %s", type(error).__name__)

    transaction.on_commit(attempt)


@transaction.atomic
def _note_due(ids: Sequence[int]) -> None:
    now = database_now()
    late = Batch.objects.filter(pk__in=ids).filter(Q(due_at=None) | Q(due_at__gt=now))
    locked = late.order_by("pk").select_for_update(no_key=True)
    Batch.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).update(due_at=now)


def _ready(now: datetime) -> QuerySet[Batch]:
    """Batches in which calls may be due and to which no worker is on the way."""
    due = Batch.objects.unleased().filter(due_at__lte=now)
    return due.filter(Q(woken_at=None) | Q(woken_at__lt=now - COMES_WITHIN))


def _called() -> LeasedQuerySet:
    """Batches that a worker was called to, and has not left."""
    return Batch.objects.all().filter(woken_at__isnull=False)


def _waiting(now: datetime) -> QuerySet[Campaign]:
    """Running campaigns that have a batch to which a worker could be called."""
    ready = _ready(now).filter(campaign=OuterRef("pk"))
    return Campaign.objects.filter(Exists(ready), status=CampaignStatus.RUNNING)


def _accounts_in_demand(now: datetime) -> list[Demand]:
    """The accounts of the campaigns that wait; a full or held one holds up no other's campaigns."""
    named = set(_waiting(now).order_by().values_list(NAMED, flat=True).distinct())
    demands = {}
    if None in named:
        default = ProviderAccount.objects.default()
        demands[default.pk] = Demand(default, Q(named_account=None) | Q(named_account=default.pk))
    others = named - demands.keys() - {None}
    if others:
        for account in ProviderAccount.objects.defer("credentials").filter(pk__in=others):
            demands[account.pk] = Demand(account, Q(named_account=account.pk))
    return list(demands.values())


def _queue(demand: Demand, now: datetime, places: int) -> Queue:
    """How many of the queue's free places the account can use."""
    account = demand.account
    numbers = active_numbers(account)
    numbers_room = NumbersOfToday(account, numbers, now).room if are_capped(numbers) else None
    if account.is_paced or account.is_held or numbers_room is not None:
        campaigns = with_named_account(Campaign.objects.all()).filter(demand.campaigns)
        called = _called().filter(campaign__in=campaigns.values("pk"))
        at_work = called.filter(lease_until__gte=Now()).count()
        coming = called.unleased().filter(woken_at__gte=now - COMES_WITHIN).count()
        places = min(places, turns(account, now, at_work, coming, numbers_room))
    return Queue(demand.campaigns, places)


def _choose(now: datetime, places: int, queues: Sequence[Queue]) -> list[Turn]:
    """Up to `places` batches, each with its campaign: in turns, beginning with the campaign that
    has waited longest, and of each account no more than it has places.
    """
    waiting = []
    for queue in queues:
        if queue.places:
            campaigns = with_named_account(_waiting(now)).filter(queue.campaigns)
            first = campaigns.order_by(F("served_at").asc(nulls_first=True), "created_at", "pk")
            rows = first.values_list("served_at", "created_at", "pk")[: queue.places]
            waiting += [(served or LONG_AGO, made, pk, queue) for served, made, pk in rows]
    waiting.sort(key=lambda row: row[:3])
    ready = _ready(now)
    by_campaign = [
        [
            (batch, campaign, queue)
            for batch in ready.filter(campaign=campaign)
            .order_by("due_at", "pk")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)[: queue.places]
        ]
        for _served, _made, campaign, queue in waiting[:places]
    ]
    chosen: list[Turn] = []
    left = {id(queue): queue.places for queue in queues}
    for batch, campaign, queue in _in_turns(by_campaign):
        if len(chosen) < places and left[id(queue)]:
            left[id(queue)] -= 1
            chosen.append((batch, campaign))
    return chosen


def _in_turns(queues: Sequence[Sequence[Item]]) -> list[Item]:
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _note_turns(campaigns: Iterable[UUID], now: datetime) -> None:
    ids = list(campaigns)
    # Skipping locked rows: who acts on a campaign just now need not wait, nor deadlock with us.
    rows = Campaign.objects.filter(pk__in=ids).select_for_update(skip_locked=True, no_key=True)
    Campaign.objects.filter(pk__in=list(rows.values_list("pk", flat=True))).update(served_at=now)
