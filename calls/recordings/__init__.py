"""Copies of what the providers recorded: their addresses expire, and their copies are not ours."""

from collections.abc import Iterable

from calls.models import CallLog, Recording
from campaigns.clock import database_now


def note_recordings(calls: Iterable[CallLog]) -> None:
    """Note that the recordings of these calls are to be copied, where they have one; a call whose
    recording is noted already stays as it is.

    Belongs into the transaction that wrote `recording_url`. The sweep wakes a worker.
    """
    recorded = [call for call in calls if call.recording_url]
    if recorded:
        now = database_now()
        Recording.objects.bulk_create(
            [
                Recording(call=call, source_url=call.recording_url, next_attempt_at=now)
                for call in recorded
            ],
            ignore_conflicts=True,
        )
