"""Times as the API and the webhooks write them."""

from datetime import UTC, datetime


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds: `2026-01-15T09:30:00.000Z`."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
