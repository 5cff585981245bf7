"""What a check of the doctor finds."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or, as a note, only worth knowing; each text is whole sentences."""

    sentence: str
    remedy: str
    is_note: bool = False


def lasting(time: timedelta) -> str:
    """A length of time in words, such as `7 min`."""
    seconds = int(time.total_seconds())
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
