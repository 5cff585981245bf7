"""Copying recordings into our storage.

A worker may die anywhere in it: what it had claimed is due again, the name under which it was
writing stands in the row, and the next try begins by deleting what lies there.
"""

import logging
import re
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, timedelta
from typing import Any

from django.core.files import File
from django.db import transaction
from django.db.models import F

from calls.models import Recording, RecordingStatus, SingletonTask
from calls.recordings.download import Download, Downloader, NoRecording
from calls.slices import is_draining
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
)
MAX_TRIES = 1 + len(RETRY_AFTER)
# Longer than a step takes, which is the time of a download and of storing what came of it.
LEASE_SECONDS = 110
# Longer than the queue lets a task run.
CLAIMED_FOR = timedelta(minutes=3)
COPIES_AT_ONCE = 4
LOOK_SECONDS = 0.5
# What else lies at a server that does not answer is left for so long.
SPARED_FOR = timedelta(minutes=1)
SERVER = re.compile(r"\w+://[^/?#]+/")


def copy_recordings() -> None:
    """Copy every recording that is due; one worker at a time does."""
    SingletonTask.repeat("copy_recordings", LEASE_SECONDS, _copy_some)


def _copy_some() -> bool:
    recordings = _claim()
    worn_out = [recording for recording in recordings if recording.tries > MAX_TRIES]
    for recording in worn_out:
        _fail(recording, NoRecording("workers died over it"))
    _copy([recording for recording in recordings if recording not in worn_out])
    return bool(recordings)


@transaction.atomic
def _claim() -> list[Recording]:
    """Take recordings to copy; whoever dies over them leaves them to be due again."""
    now = database_now()
    due = Recording.objects.due(now).order_by("next_attempt_at")
    locked = due.select_for_update(skip_locked=True)
    ids = list(locked.values_list("pk", flat=True)[:COPIES_AT_ONCE])
    claimed = Recording.objects.filter(pk__in=ids)
    claimed.update(next_attempt_at=now + CLAIMED_FOR, tries=F("tries") + 1)
    return list(claimed.select_related("call").order_by("pk"))


def _copy(recordings: Sequence[Recording]) -> None:
    """Download them side by side, and store each when it is there."""
    if not recordings:
        return
    with ThreadPoolExecutor(COPIES_AT_ONCE) as threads, Downloader() as downloader:
        under_way = {threads.submit(downloader.get, r.source_url): r for r in recordings}
        while under_way:
            done, _ = wait(under_way, LOOK_SECONDS, FIRST_COMPLETED)
            if is_draining():
                downloader.stop()
            for future in done:
                _conclude(under_way.pop(future), future, downloader)


def _conclude(recording: Recording, future: Future[Download], downloader: Downloader) -> None:
    try:
        download = future.result()
    except NoRecording as failure:
        if downloader.is_stopped:
            _give_back(recording)
        else:
            _fail(recording, failure)
        return
    with download.file:
        _store(recording, download)


def _store(recording: Recording, download: Download) -> None:
    name = _name(recording, download)
    left_behind = {recording.file.name or name, name}
    if not _write(recording, file=name, next_attempt_at=database_now() + CLAIMED_FOR):
        return
    storage = recording.file.storage
    try:
        for old in left_behind:
            storage.delete(old)
        kept = storage.save(name, File(download.file))
    except Exception as error:  # what a storage raises is its own affair
        logger.exception("The recording of call %s was not stored", recording.pk)
        _fail(recording, NoRecording(f"storage: {type(error).__name__}"))
        return
    _write(
        recording,
        status=RecordingStatus.STORED,
        file=kept,
        bytes=download.size,
        content_type=download.sound.content_type,
        stored_at=database_now(),
        next_attempt_at=None,
        last_error="",
    )


def _name(recording: Recording, download: Download) -> str:
    """The same for every try: by the month in which the call ended."""
    call = recording.call
    ended_at = (call.ended_at or call.created_at).astimezone(UTC)
    return f"recordings/{ended_at:%Y/%m}/{recording.pk}.{download.sound.extension}"


def _fail(recording: Recording, failure: NoRecording) -> None:
    """Have it tried again later, or give it up; nothing of it is left in the storage."""
    changes: dict[str, Any] = {"last_error": str(failure)[:120]}
    if recording.file:
        with suppress(Exception):  # then its name stays noted
            recording.delete_file()
            changes["file"] = ""
    if failure.is_final or recording.tries >= MAX_TRIES:
        logger.warning("The recording of call %s is given up: %s", recording.pk, failure)
        changes |= {"status": RecordingStatus.FAILED, "next_attempt_at": None}
    else:
        changes["next_attempt_at"] = database_now() + RETRY_AFTER[recording.tries - 1]
    _write(recording, **changes)
    if failure.is_silent:
        _spare(recording.source_url)


def _spare(url: str) -> None:
    """Leave for a while what else lies at this server, so that it does not hold up what lies
    elsewhere.
    """
    if server := SERVER.match(url):
        now = database_now()
        there = Recording.objects.due(now).filter(source_url__startswith=server[0])
        there.update(next_attempt_at=now + SPARED_FOR)


def _give_back(recording: Recording) -> None:
    """Make due again what was not finished when the worker had to stop."""
    _write(recording, next_attempt_at=database_now(), tries=recording.tries - 1)


def _write(recording: Recording, **changes: Any) -> bool:
    """Write to the row, unless the claim on it was lost: then another worker goes on with it."""
    ours = Recording.objects.waiting().filter(pk=recording.pk, tries=recording.tries)
    if not ours.update(**changes):
        return False
    for name, value in changes.items():
        setattr(recording, name, value)
    return True
