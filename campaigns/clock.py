"""The one clock that all machines share: the database's."""

import time
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """The time by the database, which decides what is due, expired or over.

    A machine whose own clock is wrong then changes nothing. SQLite has no clock but the machine's,
    and no second machine.
    """
    return _ask()


def _ask() -> datetime:
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now


class DatabaseClock:
    """The database's clock, asked once and then followed without asking: for the seconds that a
    task lasts, and for threads that have no connection. A step of the machine's clock moves it not.
    """

    def __init__(self) -> None:
        self._asked_at = time.monotonic()
        self._time = database_now()

    def now(self) -> datetime:
        return self._time + timedelta(seconds=time.monotonic() - self._asked_at)
