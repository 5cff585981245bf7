"""How often something secret may be tried. Counted in rows, so for all processes and machines.

Whose tries they are is stored as a keyed digest only, and for as long as it counts.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from collections_platform.api.models import AttemptCount

# Rows that one call of `prune_attempts` deletes at most.
MAX_PRUNED = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """`limit` tries within `seconds` of the first of them; then none until these are over."""

    limit: int
    seconds: int

    def add(self, row: AttemptCount, now: datetime) -> None:
        if row.expires_at <= now:
            row.count, row.expires_at = 0, now + timedelta(seconds=self.seconds)
        row.count += 1
        row.retry_at = row.expires_at if row.count >= self.limit else None


@dataclass(frozen=True, slots=True)
class Backoff:
    """`free` tries; then a wait of 1, 2, 4 … up to `longest` seconds before each further one.

    All is forgotten `forget_after` seconds after the last try.
    """

    free: int
    longest: int
    forget_after: int

    def add(self, row: AttemptCount, now: datetime) -> None:
        if row.expires_at <= now:
            row.count = 0
        row.count += 1
        row.expires_at = now + timedelta(seconds=self.forget_after)
        doublings = row.count - self.free
        wait = min(2 ** min(doublings, 30), self.longest) if doublings >= 0 else 0
        row.retry_at = now + timedelta(seconds=wait) if wait else None


@dataclass(frozen=True, slots=True)
class Limit:
    """The rules for tries of one kind, each rule applied to every subject (who tries)."""

    kind: str
    rules: tuple[Window | Backoff, ...]

    def wait(self, subject: str) -> int:
        """For how many seconds the subject must not try; 0: it may. Counts nothing."""
        now = timezone.now()
        waiting = AttemptCount.objects.filter(key__in=self._rules_by_key(subject), retry_at__gt=now)
        return _longest_wait(waiting, now)

    @transaction.atomic
    def take(self, subject: str) -> int:
        """Count a try of the subject and return 0, or return the seconds to wait for it.

        However many ask at once, no more tries are granted than the rules allow.
        """
        now = timezone.now()
        rules = self._rules_by_key(subject)
        rows = {key: AttemptCount(key=key, expires_at=now) for key in sorted(rules)}
        AttemptCount.objects.bulk_create(rows.values(), ignore_conflicts=True)
        locked = AttemptCount.objects.select_for_update().filter(key__in=rules).order_by("key")
        rows |= {row.key: row for row in locked}
        if wait := _longest_wait(rows.values(), now):
            return wait
        for key, row in rows.items():
            rules[key].add(row, now)
        AttemptCount.objects.bulk_create(  # one may have been pruned before it was locked
            rows.values(),
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["count", "retry_at", "expires_at"],
        )
        return 0

    def forget(self, subject: str) -> None:
        """The subject has proved itself: its tries count no longer."""
        AttemptCount.objects.filter(key__in=self._rules_by_key(subject)).delete()

    def _rules_by_key(self, subject: str) -> dict[str, Window | Backoff]:
        def key(number: int) -> str:
            value = f"{self.kind} {number} {subject}"
            return salted_hmac("attempts", value, algorithm="sha256").hexdigest()

        return {key(number): rule for number, rule in enumerate(self.rules)}


TOKEN_FAILURES_OF_ADDRESS = Limit("token address", (Window(20, 60), Window(100, 3600)))
TOKEN_FAILURES_OF_CLIENT = Limit("token client", (Backoff(5, 900, 3600),))
LOGINS_OF_ADDRESS = Limit("log-in address", (Window(20, 60), Window(100, 3600)))
# The longest wait is short: whoever keeps guessing keeps its owner waiting with it.
LOGINS_OF_USER = Limit("log-in user", (Backoff(5, 60, 3600),))


def prune_attempts() -> None:
    """Delete rows that count no longer, as many as can be deleted at once without harm."""
    expired = AttemptCount.objects.filter(expires_at__lte=timezone.now()).order_by("key")
    if keys := list(expired.values_list("key", flat=True)[:MAX_PRUNED]):
        with transaction.atomic():
            unused = expired.select_for_update(skip_locked=True).filter(key__in=keys)
            AttemptCount.objects.filter(key__in=[row.key for row in unused]).delete()


def _longest_wait(rows: Iterable[AttemptCount], now: datetime) -> int:
    seconds = [(row.retry_at - now).total_seconds() for row in rows if row.retry_at]
    return math.ceil(max([0, *seconds]))
