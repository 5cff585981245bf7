"""Copying recordings from servers that are slow, hostile or gone."""

import gzip
import shutil
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls import overdue, tasks
from calls.checks import check_recordings_storage
from calls.events import record_event
from calls.models import ProviderAccount, Recording, SingletonTask
from calls.providers.base import Ending, Event, EventKind
from calls.recordings import copying, download, note_recordings
from calls.recordings.copying import CLAIMED_FOR, MAX_TRIES, RETRY_AFTER, copy_recordings
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from calls.tests.far_side import Drips, Drops, Hangs
from calls.tests.recordings import (
    M4A,
    MP3,
    MP3_FRAME,
    OGG,
    WAV,
    AudioServer,
    Floods,
    Serves,
    make_recording,
    stored_files,
)
from campaigns.clock import database_now
from campaigns.tests.factories import make_batch

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """Ends a worker as a signal would: nothing of ours catches it."""


# What stands for a disk that is full, or a worker that is killed while it writes.
WRITE = "_save"


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


@pytest.fixture
def server() -> Iterator[AudioServer]:
    with AudioServer() as server:
        yield server


def copied(recording: Recording) -> Recording:
    """The recording after workers have copied what is due."""
    copy_recordings()
    recording.refresh_from_db()
    return recording


def outcome(recording: Recording) -> tuple[str, str]:
    copied(recording)
    return recording.status, recording.last_error


# --- What is copied -----------------------------------------------------------------------------


def test_the_recording_of_a_call_that_ends_is_copied(server: AudioServer, media: Path) -> None:
    ended_at = timezone.now()
    call = make_call(status=CallStatus.IN_PROGRESS, answered_at=ended_at, provider_call_id="p-1")
    ending = Ending(CallStatus.COMPLETED, "hangup", ended_at, recording_url=f"{server.url}/1")
    event = Event("e-1", EventKind.ENDED, ended_at, "p-1", call.pk, ending=ending)
    record_event(ProviderAccount.objects.default(), event)
    recording = copied(Recording.objects.get(pk=call.pk))
    assert (recording.status, recording.tries) == ("stored", 1)
    assert (recording.bytes, recording.content_type) == (len(WAV), "audio/wav")
    assert recording.stored_at
    assert recording.next_attempt_at is None
    [name] = stored_files()
    assert name == f"recordings/{ended_at.astimezone(UTC):%Y/%m}/{call.pk}.wav"
    assert (media / name).read_bytes() == WAV
    assert [asked.path for asked in server.asked] == ["/1"]
    call.refresh_from_db()
    assert call.recording_url == f"{server.url}/1", "what others are told stays the provider's"


def test_a_call_without_a_recording_has_none_to_copy() -> None:
    note_recordings([make_call(status=CallStatus.COMPLETED)])
    assert not Recording.objects.exists()


def test_notes_take_one_statement_and_change_none_that_is_there() -> None:
    first = make_recording("https://a.example/1")
    Recording.objects.update(tries=3)
    first.call.recording_url = "https://a.example/2"
    others = [make_call(status=CallStatus.COMPLETED, recording_url="https://a") for _ in range(5)]
    with CaptureQueriesContext(connection) as asked:
        note_recordings([first.call, *others])
    assert sum("INSERT" in query["sql"] for query in asked.captured_queries) == 1
    first.refresh_from_db()
    assert (first.tries, first.source_url) == (3, "https://a.example/1")
    assert Recording.objects.count() == 6


@pytest.mark.parametrize(
    ("content", "said", "extension", "content_type"),
    [
        (WAV, "audio/x-wav", "wav", "audio/wav"),
        (WAV, "AUDIO/WAV; codecs=1", "wav", "audio/wav"),
        (MP3, "application/octet-stream", "mp3", "audio/mpeg"),
        (MP3_FRAME, "audio/mpeg", "mp3", "audio/mpeg"),
        (OGG, "binary/octet-stream", "ogg", "audio/ogg"),
        (M4A, "video/mp4", "m4a", "audio/mp4"),
        (OGG, "audio/wav", "ogg", "audio/ogg"),
        (WAV, "", "wav", "audio/wav"),
    ],
)
def test_what_it_is_is_told_from_its_content(
    server: AudioServer, content: bytes, said: str, extension: str, content_type: str
) -> None:
    server.answer = lambda asked: Serves(content, headers={"Content-Type": said} if said else {})
    recording = copied(make_recording(server.url))
    assert (recording.status, recording.content_type) == ("stored", content_type)
    assert str(recording.file).endswith(f".{extension}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WAV, "text/html"),
        (b"<!doctype html><script>alert(1)</script>", "audio/mpeg"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01", "application/octet-stream"),
        (b"\x00\x00\x00\x20ftypheic\x00\x00\x00\x00", "audio/mp4"),
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "audio/wav"),
        (b"\xff\xf1\x50\x80" + b"\0" * 20, "audio/aac"),
        (b"RIFF", "audio/wav"),
        (gzip.compress(WAV), "audio/wav"),
    ],
)
def test_what_is_no_sound_is_not_kept(server: AudioServer, content: bytes, said: str) -> None:
    server.answer = lambda asked: Serves(content, headers={"Content-Type": said})
    assert outcome(make_recording(server.url)) == ("failed", "no sound")
    assert stored_files() == []


def test_only_the_platforms_own_user_may_read_a_copy(server: AudioServer, media: Path) -> None:
    recording = copied(make_recording(server.url))
    path = media / str(recording.file)
    assert path.stat().st_mode & 0o777 == 0o600
    assert {folder.stat().st_mode & 0o777 for folder in path.parents[:3]} == {0o700}


# --- Addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/r.wav",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/r.wav",
        "https://localhost/r.wav",
        "http://127.0.0.1:9/r.wav",
    ],
)
def test_nothing_is_got_from_a_private_network(settings: Any, url: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    assert outcome(make_recording(url)) == ("failed", "address not allowed")


def test_nothing_is_got_by_plain_http_from_the_public_internet() -> None:
    assert outcome(make_recording("http://8.8.8.8/r.wav")) == ("failed", "plain http not allowed")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://8.8.8.8/r.wav",
        "javascript:alert(1)",
        "r.wav",
        "https://",
        "//x",
    ],
)
def test_an_address_that_is_none_of_http_is_given_up(url: str) -> None:
    assert outcome(make_recording(url)) == ("failed", "no address of http")


def test_redirects_are_followed(server: AudioServer) -> None:
    hops = {"/1": "/2", "/2": f"{server.url}/3", "/3": "/4"}

    def answer(asked: Any) -> Serves:
        to = hops.get(asked.path)
        return Serves(b"x", 302, {"Location": to}) if to else Serves(WAV)

    server.answer = answer
    assert outcome(make_recording(f"{server.url}/1")) == ("stored", "")
    assert [asked.path for asked in server.asked] == ["/1", "/2", "/3", "/4"]


def test_redirects_without_end_are_not(server: AudioServer) -> None:
    server.answer = lambda asked: Serves(b"", 307, {"Location": asked.path + "x"})
    assert outcome(make_recording(f"{server.url}/")) == ("waiting", "too many redirects")
    assert len(server.asked) == download.MAX_REDIRECTS + 1


def test_a_redirect_to_a_private_address_is_refused(server: AudioServer, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.setblocking(False)
        to = f"http://127.0.0.2:{inside.getsockname()[1]}/"
        server.answer = lambda asked: Serves(b"", 302, {"Location": to})
        assert outcome(make_recording(server.url)) == ("failed", "address not allowed")
        with pytest.raises(BlockingIOError):
            inside.accept()


def test_a_redirect_to_a_file_is_refused(server: AudioServer) -> None:
    server.answer = lambda asked: Serves(b"", 302, {"Location": "file:///etc/passwd"})
    assert outcome(make_recording(server.url)) == ("failed", "no address of http")


def test_the_body_of_a_redirect_is_not_read(server: AudioServer) -> None:
    def answer(asked: Any) -> Serves:
        endless = {"Location": "/there", "Content-Length": str(2**31)}
        return Serves(WAV) if asked.path == "/there" else Serves(b"", 302, endless)

    server.answer = answer
    assert outcome(make_recording(f"{server.url}/here")) == ("stored", "")


# --- Too much, too slow, too little -------------------------------------------------------------


def test_two_gigabytes_are_refused_before_they_come(server: AudioServer) -> None:
    server.answer = lambda asked: Serves(WAV, headers={"Content-Length": str(2 * 1024**3)})
    assert outcome(make_recording(server.url)) == ("failed", "larger than RECORDING_MAX_BYTES")
    assert stored_files() == []


def test_a_stream_without_end_is_cut_off_at_the_limit(server: AudioServer, settings: Any) -> None:
    settings.RECORDING_MAX_BYTES = 1024**2
    flood = Floods()
    server.answer = lambda asked: flood
    assert outcome(make_recording(server.url)) == ("failed", "larger than RECORDING_MAX_BYTES")
    assert flood.sent < 64 * 1024**2, "what lies in the buffers of the connection comes on top"
    assert stored_files() == []


@pytest.mark.parametrize("size", [0, 1])
def test_the_limit_itself_is_allowed(server: AudioServer, settings: Any, size: int) -> None:
    settings.RECORDING_MAX_BYTES = len(WAV) - size
    assert outcome(make_recording(server.url))[0] == ("failed" if size else "stored")


def test_a_server_that_drips_is_left_at_the_deadline(server: AudioServer, monkeypatch: Any) -> None:
    monkeypatch.setattr(download, "DOWNLOAD_SECONDS", 0.5)
    server.answer = lambda asked: Drips()
    # The drip of blanks is no sound once there are twelve: the deadline comes before.
    assert outcome(make_recording(server.url)) == ("waiting", "no whole answer in time")


def test_a_server_that_breaks_off_is_asked_again(server: AudioServer) -> None:
    too_long = {"Content-Length": str(len(WAV) + 1), "Connection": "close"}
    server.answer = lambda asked: Serves(WAV, headers=too_long)
    assert outcome(make_recording(server.url)) == ("waiting", "RemoteProtocolError")
    assert stored_files() == []


def test_an_empty_answer_is_asked_for_again(server: AudioServer) -> None:
    server.answer = lambda asked: Serves(b"")
    assert outcome(make_recording(server.url)) == ("waiting", "an empty answer")


# --- Again, and again ---------------------------------------------------------------------------


def test_an_address_that_has_expired_is_tried_for_seven_hours_and_given_up(
    server: AudioServer, let_pass: Callable[..., None]
) -> None:
    server.answer = lambda asked: Serves(b"expired", 403)
    recording = make_recording(server.url)
    waits = []
    for _ in RETRY_AFTER:
        before = database_now()
        assert outcome(recording) == ("waiting", "answered with 403")
        assert recording.next_attempt_at
        waits.append(recording.next_attempt_at - before)
        copy_recordings()  # not due yet
        let_pass(seconds=waits[-1].total_seconds())
    assert outcome(recording) == ("failed", "answered with 403")
    assert (recording.tries, len(server.asked)) == (MAX_TRIES, MAX_TRIES)
    for wait, expected in zip(waits, RETRY_AFTER, strict=True):
        assert expected <= wait < expected + timedelta(seconds=5)
    let_pass(days=30)
    copy_recordings()
    assert len(server.asked) == MAX_TRIES


def test_a_recording_that_comes_later_is_copied_then(
    server: AudioServer, let_pass: Callable[..., None]
) -> None:
    answers = iter([Serves(b"", 404), Drops(), Serves(WAV)])
    server.answer = lambda asked: next(answers)
    recording = make_recording(server.url)
    assert outcome(recording) == ("waiting", "answered with 404")
    let_pass(minutes=1)
    assert copied(recording).status == "waiting"
    let_pass(minutes=10)
    assert outcome(recording) == ("stored", "")
    assert recording.tries == 3


def test_a_server_that_is_silent_holds_up_no_other(
    server: AudioServer, monkeypatch: Any, let_pass: Callable[..., None]
) -> None:
    monkeypatch.setattr(download, "DOWNLOAD_SECONDS", 0.3)
    with AudioServer() as silent:
        silent.answer = lambda asked: Hangs()
        for _ in range(3 * copying.COPIES_AT_ONCE):
            make_recording(f"{silent.url}/r.wav")
        other = make_recording(server.url)
        assert copied(other).status == "stored"
        assert len(silent.asked) == copying.COPIES_AT_ONCE
        spared = Recording.objects.waiting().filter(tries=0)
        assert spared.count() == 2 * copying.COPIES_AT_ONCE
        assert not spared.due(database_now()).exists()
        let_pass(minutes=1)
        assert spared.due(database_now()).count() == 2 * copying.COPIES_AT_ONCE


# --- Workers and storages that fail -------------------------------------------------------------


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Recording]:
    """A function that has a worker die in the middle of writing each file."""

    def run(recording: Recording) -> Recording:
        def half(storage: FileSystemStorage, name: str, content: Any) -> str:
            path = Path(storage.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read()[:100])
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(FileSystemStorage, WRITE, half)
            with pytest.raises(Killed):
                copy_recordings()
        recording.refresh_from_db()
        return recording

    return run  # type: ignore[return-value]


def test_what_a_dead_worker_left_half_written_is_written_anew(
    server: AudioServer, media: Path, dying: Any, let_pass: Callable[..., None]
) -> None:
    recording = dying(make_recording(server.url))
    assert (recording.status, recording.tries) == ("waiting", 1)
    assert [(media / name).stat().st_size for name in stored_files()] == [100]
    assert copied(recording).status == "waiting", "its claim lasts"
    let_pass(seconds=CLAIMED_FOR.total_seconds())
    assert copied(recording).status == "stored"
    assert stored_files() == [recording.file.name]
    assert str(recording.file).endswith(f"/{recording.pk}.wav")
    assert (media / str(recording.file)).read_bytes() == WAV


def test_a_worker_that_dies_before_the_note_leaves_a_copy_that_is_written_over(
    server: AudioServer, media: Path, monkeypatch: Any, let_pass: Callable[..., None]
) -> None:
    recording = make_recording(server.url)
    save = FileSystemStorage.save

    def save_and_die(*args: Any, **options: Any) -> None:
        save(*args, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "save", save_and_die)
        with pytest.raises(Killed):
            copy_recordings()
    recording.refresh_from_db()
    assert recording.status == "waiting"
    let_pass(seconds=CLAIMED_FOR.total_seconds())
    server.answer = lambda asked: Serves(WAV + b"!")
    assert copied(recording).status == "stored"
    assert stored_files() == [recording.file.name]
    assert (media / str(recording.file)).read_bytes() == WAV + b"!"


def test_nothing_is_left_behind_where_the_kind_of_sound_has_changed(
    server: AudioServer, dying: Any, let_pass: Callable[..., None]
) -> None:
    recording = dying(make_recording(server.url))
    server.answer = lambda asked: Serves(MP3)
    let_pass(seconds=CLAIMED_FOR.total_seconds())
    assert copied(recording).status == "stored"
    assert stored_files() == [recording.file.name]
    assert str(recording.file).endswith(".mp3")


def test_a_recording_over_which_workers_die_is_given_up_and_leaves_nothing(
    server: AudioServer, dying: Any, let_pass: Callable[..., None]
) -> None:
    recording = make_recording(server.url)
    for _ in range(MAX_TRIES):
        dying(recording)
        let_pass(seconds=CLAIMED_FOR.total_seconds())
    assert outcome(recording) == ("failed", "workers died over it")
    assert len(server.asked) == MAX_TRIES
    assert (stored_files(), recording.file.name) == ([], "")


def test_a_try_after_deaths_that_fails_leaves_nothing(
    server: AudioServer, dying: Any, let_pass: Callable[..., None]
) -> None:
    recording = dying(make_recording(server.url))
    server.answer = lambda asked: Serves(b"", 410)
    let_pass(seconds=CLAIMED_FOR.total_seconds())
    assert outcome(recording) == ("waiting", "answered with 410")
    assert (stored_files(), recording.file.name) == ([], "")


def test_a_worker_that_lost_its_claim_writes_nothing(server: AudioServer) -> None:
    recording = make_recording(server.url)
    [stale] = copying._claim()
    Recording.objects.update(tries=2)  # by another worker's claim
    copying._copy([stale])
    recording.refresh_from_db()
    assert (recording.status, recording.file.name) == ("waiting", "")
    assert stored_files() == []


def test_a_full_disk_is_tried_again_and_holds_up_no_other(
    server: AudioServer, monkeypatch: Any, let_pass: Callable[..., None]
) -> None:
    first, second = make_recording(server.url), make_recording(server.url)
    save = getattr(FileSystemStorage, WRITE)

    def full(storage: FileSystemStorage, name: str, content: Any) -> Any:
        if str(first.pk) in name:
            save(storage, name, content)
            raise OSError(28, "No space left on device")
        return save(storage, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, WRITE, full)
        assert outcome(first) == ("waiting", "storage: OSError")
    second.refresh_from_db()
    assert stored_files() == [second.file.name]
    let_pass(minutes=1)
    assert outcome(first) == ("stored", "")


def test_a_folder_that_is_gone_is_made_again(server: AudioServer, media: Path) -> None:
    copied(make_recording(server.url))
    shutil.rmtree(media)
    assert copied(make_recording(server.url)).status == "stored"


def test_a_worker_that_is_to_stop_gives_back_what_it_has_begun(
    server: AudioServer, monkeypatch: Any, tmp_path: Path
) -> None:
    drain = tmp_path / "drain"
    monkeypatch.setenv("WORKER_DRAIN_FILE", str(drain))

    def answer(asked: Any) -> Hangs:
        drain.touch()
        return Hangs()

    server.answer = answer
    recording = copied(make_recording(server.url))
    assert (recording.status, recording.tries, recording.last_error) == ("waiting", 0, "")
    assert Recording.objects.due(database_now()).count() == 1


def test_options_that_the_storage_does_not_take_are_told_without_their_values(
    settings: Any,
) -> None:
    assert check_recordings_storage() == []
    options = {"bucket": "secret-bucket"}
    recordings = settings.STORAGES["recordings"] | {"OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"recordings": recordings}
    [error] = check_recordings_storage()
    assert error.id == "calls.E004"
    assert "secret-bucket" not in str(error)


# --- Who is called ------------------------------------------------------------------------------


def test_the_sweep_calls_a_worker_unless_one_is_at_it() -> None:
    recording = make_recording(batch=make_batch(due_at=None))
    assert list(overdue.overdue_tasks()) == ["copy_recordings"]
    SingletonTask.named("copy_recordings").take_lease(60)
    assert list(overdue.overdue_tasks()) == []
    SingletonTask.objects.all().delete()
    Recording.objects.filter(pk=recording.pk).update(
        next_attempt_at=timezone.now() + timedelta(minutes=1)
    )
    assert list(overdue.overdue_tasks()) == []


def test_calls_do_not_wait_for_recordings(server: AudioServer) -> None:
    make_recording(server.url)
    queued = make_call()
    tasks.place_batch(queued.batch_id)
    queued.refresh_from_db()
    assert queued.status == CallStatus.DIALING
    assert server.asked == []


def test_the_task_copies(server: AudioServer) -> None:
    recording = make_recording(server.url)
    tasks.copy_recordings()
    recording.refresh_from_db()
    assert recording.status == "stored"


def test_the_name_is_by_the_month_in_which_the_call_ended(server: AudioServer) -> None:
    ended_at = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    recording = copied(make_recording(server.url, ended_at=ended_at, started_at=ended_at))
    assert recording.file.name == f"recordings/2026/01/{recording.pk}.wav"


def test_more_than_fit_into_one_step_are_copied_in_one_run(server: AudioServer) -> None:
    for _ in range(2 * copying.COPIES_AT_ONCE + 1):
        make_recording(f"{server.url}/{uuid4()}")
    copy_recordings()
    assert set(Recording.objects.values_list("status", flat=True)) == {"stored"}
    assert server.most_at_once <= copying.COPIES_AT_ONCE
