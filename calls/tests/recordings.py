"""What tests of recordings share: sounds, servers that have them, and rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event as Flag
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.utils import timezone

from calls.models import Recording, RecordingStatus
from calls.recordings import note_recordings
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from calls.tests.far_side import FarSide

WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(range(256)) * 4
MP3 = b"ID3\x04\x00\x00" + b"\x00" * 400
MP3_FRAME = b"\xff\xfb\x90\x64" + b"\x00" * 400
OGG = b"OggS\x00\x02" + b"\x00" * 400
M4A = b"\x00\x00\x00\x20ftypM4A " + b"\x00" * 400


@dataclass(frozen=True, slots=True)
class Serves:
    """An answer with headers of its own; without a length of its own, that of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        handler.send_response(self.status)
        for name, value in {"Content-Length": str(len(self.body)), **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self.body)


@dataclass(slots=True)
class Floods:
    """Chunks without end, as fast as they are taken."""

    sent: int = 0

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        part = WAV
        while not is_over.is_set():
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.sent += len(part)
            part = b"\0" * 65_536


class AudioServer(FarSide):
    """Answers with `Serves` and `Floods` too; with a WAV file unless told otherwise."""

    answer: Any

    def __init__(self) -> None:
        super().__init__()
        self.answer = lambda asked: Serves(WAV, headers={"Content-Type": "audio/wav"})


def make_recording(url: str = "http://127.0.0.1:9/r.wav", **what_matters: Any) -> Recording:
    """A recording that is due, of a call that has just ended."""
    call = make_call(**{"status": CallStatus.COMPLETED, "recording_url": url} | what_matters)
    note_recordings([call])
    return Recording.objects.get(pk=call.pk)


def make_stored(content: bytes = WAV, **what_matters: Any) -> Recording:
    """A recording that was copied."""
    recording = make_recording()
    storage = recording.file.storage
    fields = {
        "status": RecordingStatus.STORED,
        "file": storage.save(f"recordings/2026/01/{recording.pk}.wav", ContentFile(content)),
        "bytes": len(content),
        "content_type": "audio/wav",
        "stored_at": timezone.now(),
        "next_attempt_at": None,
    }
    Recording.objects.filter(pk=recording.pk).update(**fields | what_matters)
    recording.refresh_from_db()
    return recording


def stored_files() -> list[str]:
    """The names of all files below MEDIA_ROOT."""
    root = Path(settings.MEDIA_ROOT)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
