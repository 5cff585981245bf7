"""Which number a call is placed from.

The number that called a person last calls them again; else the one that has called least today.
No number places more calls in a day of TIME_ZONE than its cap says.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, time
from uuid import UUID

from django.db.models import Count
from django.utils import timezone

from calls.models import CallerNumber, CallLog, ProviderAccount


class NumbersOfToday:
    """An account's active numbers with the calls that each has placed today.

    Where one of them has a cap, a claim reads it with the account's row locked.
    """

    def __init__(
        self, account: ProviderAccount, numbers: Sequence[CallerNumber], now: datetime
    ) -> None:
        self._caps = {number.number: number.daily_cap for number in numbers}
        self._account = account
        self._used = _calls_today(account, now) if numbers else Counter[str]()
        self._last: dict[UUID, str] = {}

    @property
    def room(self) -> int | None:
        """How many more calls they may place today; None: any number."""
        room = 0
        for number, cap in self._caps.items():
            if cap is None:
                return None
            room += max(0, cap - self._used[number])
        return room if self._caps else None

    def note_people(self, contacts: Iterable[UUID]) -> None:
        """Find out which number called each of these contacts last."""
        if self._caps:
            calls = CallLog.objects.filter(account=self._account, contact__in=list(contacts))
            told = calls.exclude(number_from="").order_by("started_at")
            self._last = dict(told.values_list("contact_id", "number_from"))

    def take(self, contact_id: UUID) -> str:
        """The number to call this contact from, which is one call nearer to its cap then; empty
        where the account has none. Within `room`.
        """
        free = [number for number in self._caps if self._has_room(number)]
        if not free:
            return ""
        last = self._last.get(contact_id)
        number = last if last in free else min(free, key=lambda n: (self._used[n], n))
        self._used[number] += 1
        return number

    def _has_room(self, number: str) -> bool:
        cap = self._caps[number]
        return cap is None or self._used[number] < cap


def active_numbers(account: ProviderAccount) -> list[CallerNumber]:
    return list(CallerNumber.objects.active().filter(account=account))


def are_capped(numbers: Sequence[CallerNumber]) -> bool:
    """May the account come to have no number left to call from today?"""
    return bool(numbers) and all(number.daily_cap is not None for number in numbers)


def midnight_before(now: datetime) -> datetime:
    """When the day of TIME_ZONE began."""
    zone = timezone.get_default_timezone()
    return datetime.combine(now.astimezone(zone).date(), time.min, zone)


def _calls_today(account: ProviderAccount, now: datetime) -> Counter[str]:
    calls = CallLog.objects.filter(account=account, started_at__gte=midnight_before(now))
    groups = calls.exclude(number_from="").order_by().values_list("number_from")
    return Counter(dict(groups.annotate(number=Count("pk"))))
