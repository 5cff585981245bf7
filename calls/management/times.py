"""Times as operators write them."""

from argparse import ArgumentTypeError
from datetime import datetime

from django.utils import timezone


def read_time(text: str) -> datetime:
    """A date or a time in ISO 8601, in the platform's time zone where it names none."""
    try:
        time = datetime.fromisoformat(text)
        return timezone.make_aware(time) if timezone.is_naive(time) else time
    except (ValueError, OverflowError):
        example = "write a time such as 2026-01-15 or 2026-01-15T09:30:00+03:00"
        raise ArgumentTypeError(example) from None
