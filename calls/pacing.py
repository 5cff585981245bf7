"""How fast an account may be used, and when not at all.

All of it stands in the account's row, locked for the few milliseconds of a claim, and goes by the
database's clock: any number of workers on any number of machines share one pace and one hold.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from calls.models import CallLog, ProviderAccount
from calls.providers.base import AccountError, Placement, ProviderError, TemporaryError
from calls.statuses import LIVE
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

# The bucket holds what flows in during this time, and at least one call.
BURST_SECONDS = 0.2
# An account is held after so many failures in a row, for so long, the longer the more often.
FAILURES_TO_HOLD = 5
HOLD_SECONDS = (10, 20, 40, 60)
HOLD_FIELDS = ("failures", "holds", "held_since", "held_at", "held_until", "held_reason")
# The longest a worker waits for the pace; beyond, it does something else.
MAX_WAIT_SECONDS = 1.0
# How long nobody else tries while one call is tried on an account that was held.
PROBE_SECONDS = 30


class NotAsked(TemporaryError):
    """The call was claimed and then not handed over; says nothing of the provider."""


@dataclass(frozen=True, slots=True)
class Room:
    """`calls` may be placed now. If none: `wait` is the number of seconds until the pace allows
    the next, None if that takes the end of a call or of a hold.
    """

    calls: int
    wait: float | None = None


def find_room(
    account: ProviderAccount, wanted: int, *, has_caps: bool = False
) -> tuple[ProviderAccount, Room, datetime]:
    """The account as it stands, how many calls of up to `wanted` it may place, and the time by
    which that was decided. In a transaction: an account that has a pace, a hold, or caps on its
    numbers, stays locked to its end.
    """
    if account.is_paced or account.is_held or has_caps:
        account = ProviderAccount.objects.lock(account.pk)
    now = database_now()  # of a claim that has waited for another no earlier than the other's
    return account, _room(account, now, wanted), now


def _room(account: ProviderAccount, now: datetime, wanted: int) -> Room:
    if account.held_until:
        if now < account.held_until:
            return Room(0)
        wanted = 1
    if account.max_live is not None:
        wanted = min(wanted, account.max_live - open_lines(account))
    if wanted <= 0:
        return Room(0)
    wait = wait_for_token(account, now)
    if wait or account.calls_per_second is None:
        return Room(0, wait) if wait else Room(wanted)
    return Room(min(wanted, math.floor(tokens_at(account, now))))


def use_room(account: ProviderAccount, now: datetime, calls: int) -> None:
    """Take the tokens of `calls`; on a held account, keep others from trying at the same time.
    Follows `find_room` in the same transaction.
    """
    if not calls:
        return
    changed: dict[str, Any] = {}
    if account.calls_per_second is not None:
        changed |= {"tokens": tokens_at(account, now) - calls, "tokens_at": now}
    if account.held_until:
        changed["held_until"] = now + timedelta(seconds=PROBE_SECONDS)
    if changed:
        ProviderAccount.objects.filter(pk=account.pk).update(**changed)


def open_lines(account: ProviderAccount) -> int:
    """Calls under way, and those that ended for us while their line may still be open."""
    lines = CallLog.objects.filter(account=account)
    return lines.filter(Q(status__in=LIVE) | Q(hang_up_at__isnull=False)).count()


def tokens_at(account: ProviderAccount, now: datetime) -> float:
    """What is in the bucket: never more than a burst, a whole one if it was never used."""
    rate = account.calls_per_second or 0
    burst = max(1.0, rate * BURST_SECONDS)
    if account.tokens_at is None:
        return burst
    seconds = max(0.0, (now - account.tokens_at).total_seconds())
    # Rounded, so that a whole token is not missed by a hair.
    return round(min(burst, account.tokens + rate * seconds), 6)


def wait_for_token(account: ProviderAccount, now: datetime) -> float:
    """In how many seconds the pace allows the next call; 0 if it does now."""
    if account.calls_per_second is None:
        return 0.0
    return max(0.0, (1 - tokens_at(account, now)) / account.calls_per_second)


def turns(
    account: ProviderAccount,
    now: datetime,
    at_work: int,
    coming: int,
    numbers_room: int | None = None,
) -> int:
    """How many more batches workers should be called to, beside those `at_work` and those `coming`,
    for an account that is paced or held, or whose numbers may place `numbers_room` more calls
    today. More of them would only wait for each other.
    """
    limits = []
    if numbers_room is not None:
        limits.append(numbers_room - coming)
    if account.held_until:
        limits.append((1 if now >= account.held_until else 0) - at_work - coming)
    if account.max_live is not None:  # the calls of batches at work are counted as lines
        limits.append(account.max_live - open_lines(account) - coming)
    if account.calls_per_second is not None:
        is_soon = wait_for_token(account, now) <= MAX_WAIT_SECONDS
        limits.append(
            (1 + math.ceil(account.calls_per_second) if is_soon else 0) - at_work - coming
        )
    return max(0, min(limits, default=0))


@transaction.atomic
def note_results(
    account: ProviderAccount, results: Sequence[Placement | Exception], claimed_at: datetime
) -> None:
    """Draw the conclusions from what the provider answered about calls that were claimed at
    `claimed_at`, in this order: hold the account after an error of the account or too many
    failures in a row, and release it after a success. Calls claimed before a hold say nothing of
    what has been since.
    """
    told = [result for result in results if not isinstance(result, NotAsked)]
    failed = [is_failure(result) for result in told]
    if not any(failed) and not account.is_held:
        healthy = ProviderAccount.objects.filter(pk=account.pk, held_until=None, failures__gt=0)
        healthy.update(failures=0)
        return
    account = ProviderAccount.objects.lock(account.pk)
    if account.held_at and claimed_at < account.held_at:
        return
    reason = ""
    for result, has_failed in zip(told, failed, strict=True):
        if has_failed:
            account.failures += 1
            reason = _reason_to_hold(account, result) or reason
        else:
            account.failures, reason = 0, ""
            account.release()
    if reason:
        _hold(account, reason)
    account.save(update_fields=HOLD_FIELDS)


def is_failure(result: Placement | Exception) -> bool:
    """Does it say that the provider, not the one call, has a problem?"""
    if isinstance(result, Placement | NotAsked):
        return False
    return isinstance(result, TemporaryError) or not isinstance(result, ProviderError)


def retry_now(account: ProviderAccount) -> None:
    """Try one call at once on an account that is held."""
    held = ProviderAccount.objects.filter(pk=account.pk, held_until__isnull=False)
    held.update(held_until=database_now())


def _reason_to_hold(account: ProviderAccount, failure: Placement | Exception) -> str:
    """Why the account is to be held after this failure; empty if it is not yet."""
    if isinstance(failure, AccountError):
        return f"account: {failure.reason}"
    if account.failures < FAILURES_TO_HOLD and not account.is_held:
        return ""
    told = failure.reason if isinstance(failure, ProviderError) else type(failure).__name__
    return f"provider: {told}"


def _hold(account: ProviderAccount, reason: str) -> None:
    now = database_now()
    seconds = HOLD_SECONDS[min(account.holds, len(HOLD_SECONDS) - 1)]
    account.holds += 1
    account.held_since, account.held_at = account.held_since or now, now
    account.held_until = now + timedelta(seconds=seconds)
    account.held_reason = reason[:200]
    logger.warning("Account %s is held for %s s: %s", account.pk, seconds, account.held_reason)
