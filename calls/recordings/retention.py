"""Deleting recordings that have been kept for long enough."""

import logging
from datetime import timedelta

from calls.models import Recording, RecordingStatus, SingletonTask
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
DELETED_AT_ONCE = 20
TRY_AGAIN_AFTER = timedelta(hours=1)


def prune_recordings() -> None:
    """Delete recordings older than RECORDING_RETENTION_DAYS; one worker at a time does."""
    SingletonTask.repeat("prune_recordings", LEASE_SECONDS, _delete_some)


def has_expired() -> bool:
    return Recording.objects.expired(database_now()).exists()


def _delete_some() -> bool:
    expired = Recording.objects.expired(database_now()).order_by("stored_at")
    recordings = list(expired[:DELETED_AT_ONCE])
    for recording in recordings:
        _delete(recording)
    return bool(recordings)


def _delete(recording: Recording) -> None:
    """Delete the file, then note it: whoever dies between leaves a row that is expired still."""
    row, now = Recording.objects.filter(pk=recording.pk), database_now()
    try:
        recording.delete_file()
    except Exception as error:  # what a storage raises is its own affair
        kind = type(error).__name__
        logger.error("The recording of call %s cannot be deleted: %s", recording.pk, kind)
        row.update(next_attempt_at=now + TRY_AGAIN_AFTER, last_error=f"storage: {kind}")
        return
    row.update(
        status=RecordingStatus.GONE,
        file="",
        deleted_at=now,
        next_attempt_at=None,
        last_error="",
    )
