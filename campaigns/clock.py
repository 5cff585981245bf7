"""The one clock that all machines share: the database's."""

import time
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

# The clock is asked anew after this: a machine that sleeps counts no seconds.
FOLLOWED_SECONDS = 300
_anchor: tuple[float, datetime] | None = None


def database_now() -> datetime:
    """The time by the database, which decides what is due, expired or over.

    A machine whose own clock is wrong then changes nothing. SQLite has no clock but the machine's,
    and no second machine.
    """
    global _anchor
    now = _ask()
    _anchor = (time.monotonic(), now)
    return now


def followed_now() -> datetime:
    """The database's clock as it was last asked in this process, and followed since: for threads
    that have no connection. A step of the machine's own clock does not move it.
    """
    if _anchor is None or time.monotonic() - _anchor[0] > FOLLOWED_SECONDS:
        return database_now()
    asked_at, now = _anchor
    return now + timedelta(seconds=time.monotonic() - asked_at)


def _ask() -> datetime:
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now
