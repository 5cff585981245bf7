"""The one clock that all machines share: the database's."""

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """The time by the database, which decides what is due, expired or over.

    A machine whose own clock is wrong then changes nothing. SQLite has no clock but the machine's,
    and no second machine.
    """
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
        return now
