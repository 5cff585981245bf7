"""Playing a recording: in parts, as browsers ask for it, and never without a log entry."""

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import IO

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from calls.models import CallLog, Recording
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

LISTEN = "calls.listen_recording"
PLAYED = "Listened to the recording."
# A request for a later part belongs to a play that was logged not longer ago than this.
PLAY_LASTS = timedelta(hours=1)
CHUNK_BYTES = 64 * 1024
ONE_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.IGNORECASE)


class NotSatisfiable(Exception):
    """The part that was asked for lies behind the end."""


def play(request: HttpRequest, recording: Recording) -> HttpResponseBase:
    """Answer with the recording, or with the part that a GET asks for (RFC 9110, 14.2)."""
    size = recording.bytes
    try:
        part = None if request.method == "HEAD" else asked_part(request, size)
    except NotSatisfiable:
        answer = _with_headers(HttpResponse(status=416), recording, 0)
        answer["Content-Range"] = f"bytes */{size}"
        return answer
    if request.method == "HEAD":
        return _with_headers(HttpResponse(), recording, size)
    start, end = part or (0, size - 1)
    file = _open(recording)
    try:
        _log(request, recording.call, is_beginning=start == 0)
        file.seek(start)
    except BaseException:
        file.close()
        raise
    length = end - start + 1
    answer = StreamingHttpResponse(_Part(file, length), status=206 if part else 200)
    if part:
        answer["Content-Range"] = f"bytes {start}-{end}/{size}"
    return _with_headers(answer, recording, length)


def asked_part(request: HttpRequest, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are asked for; None for all of it, which is also the
    answer to several ranges at once, to a range that cannot be read, and to `If-Range`, as the
    recording has no validator. Raises `NotSatisfiable`.
    """
    asked = ONE_RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if not asked or "If-Range" in request.headers:
        return None
    first, last, suffix = asked.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size - 1
    else:
        start, end = int(first), min(int(last or size), size - 1)
        if last and int(last) < start:
            return None
    if start >= size:
        raise NotSatisfiable
    return start, end


def _open(recording: Recording) -> IO[bytes]:
    file = recording.file
    try:
        opened: IO[bytes] = file.storage.open(file.name, "rb")  # type: ignore[arg-type]
    except FileNotFoundError:
        logger.error("The file of the recording of call %s is missing", recording.pk)
        raise Http404 from None
    return opened


def _log(request: HttpRequest, call: CallLog, *, is_beginning: bool) -> None:
    """Log who listens: each time from the beginning, and from elsewhere unless it goes on with
    what was begun.
    """
    user = str(request.user.pk)
    if not is_beginning:
        entries = LogEntry.objects.filter(
            user_id=user,
            content_type=ContentType.objects.get_for_model(CallLog),
            object_id=str(call.pk),
            change_message=PLAYED,
            action_time__gte=database_now() - PLAY_LASTS,
        )
        if entries.exists():
            return
    LogEntry.objects.log_actions(user, [call], CHANGE, PLAYED, single_object=True)


def _with_headers(answer: HttpResponseBase, recording: Recording, length: int) -> HttpResponseBase:
    """The name says nothing about the person, and no cache keeps what was heard."""
    extension = recording.file.name.rpartition(".")[2] if recording.file.name else ""
    headers = {
        "Content-Type": recording.content_type,
        "Content-Length": str(length),
        "Content-Disposition": f'inline; filename="recording.{extension}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }
    for name, value in headers.items():
        answer[name] = value
    return answer


class _Part:
    """So many bytes of a file from where it stands, which is closed with the answer."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file, self._left = file, length

    def __iter__(self) -> Iterator[bytes]:
        while self._left > 0 and (chunk := self._file.read(min(CHUNK_BYTES, self._left))):
            self._left -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()
