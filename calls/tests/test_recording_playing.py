"""Playing a recording in the admin: who may, which part they get, and what is kept of it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.models import Recording
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from calls.tests.recordings import WAV, make_recording, make_stored

pytestmark = pytest.mark.django_db
SIZE = len(WAV)


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


def address(recording: Recording) -> str:
    return reverse("admin:calls_calllog_recording", args=[recording.pk])


def page(recording: Recording) -> str:
    return reverse("admin:calls_calllog_change", args=[recording.pk])


def staff(*permissions: str) -> Client:
    """A browser in which a member of staff with these permissions is logged in."""
    user = User.objects.create_user(f"staff{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, recording: Recording, asked: str = "", **headers: str) -> Any:
    """The answer, with all that was sent in `sent`."""
    headers |= {"Range": asked} if asked else {}
    answer: Any = client.get(address(recording), headers=headers)
    answer.sent = b"".join(answer)
    return answer


# --- What is sent -------------------------------------------------------------------------------


def test_the_whole_recording_is_sent_and_kept_by_no_cache(admin_client: Client) -> None:
    recording = make_stored()
    answer = ask(admin_client, recording)
    assert (answer.status_code, answer.sent) == (200, WAV)
    assert answer["Content-Type"] == "audio/wav"
    assert answer["Content-Length"] == str(SIZE)
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Disposition"] == 'inline; filename="recording.wav"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert {"private", "no-store"} <= set(answer["Cache-Control"].split(", "))
    assert "Content-Range" not in answer


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        ("bytes=0-1", 0, 1),
        ("bytes=10-19", 10, 19),
        ("bytes=10-", 10, SIZE - 1),
        ("bytes=10-999999", 10, SIZE - 1),
        ("bytes=-5", SIZE - 5, SIZE - 1),
        ("bytes=-999999", 0, SIZE - 1),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        ("Bytes=3-4", 3, 4),
    ],
)
def test_a_part_is_sent(admin_client: Client, asked: str, start: int, end: int) -> None:
    answer = ask(admin_client, make_stored(), asked)
    assert (answer.status_code, answer.sent) == (206, WAV[start : end + 1])
    assert answer["Content-Range"] == f"bytes {start}-{end}/{SIZE}"
    assert answer["Content-Length"] == str(end - start + 1)


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-3", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=1-2", "5-6", "bytes=1--2", "x"],
)
def test_a_range_that_cannot_be_read_is_ignored(admin_client: Client, asked: str) -> None:
    answer = ask(admin_client, make_stored(), asked)
    assert (answer.status_code, answer.sent) == (200, WAV)


def test_a_range_that_may_be_of_an_older_copy_is_ignored(admin_client: Client) -> None:
    answer = ask(admin_client, make_stored(), "bytes=5-6", **{"If-Range": '"etag"'})
    assert (answer.status_code, answer.sent) == (200, WAV)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=999999-9999999", "bytes=-0"])
def test_a_part_behind_the_end_is_refused(admin_client: Client, asked: str) -> None:
    answer = ask(admin_client, make_stored(), asked)
    assert (answer.status_code, answer.sent) == (416, b"")
    assert answer["Content-Range"] == f"bytes */{SIZE}"
    assert not LogEntry.objects.exists()


def test_a_large_recording_is_sent_in_pieces(admin_client: Client) -> None:
    content = WAV + bytes(1_000_000)
    address_of_it = address(make_stored(content))
    answer: Any = admin_client.get(address_of_it, headers={"Range": "bytes=1-"})
    pieces = list(answer)
    assert b"".join(pieces) == content[1:]
    assert max(map(len, pieces)) <= 65_536


def test_head_tells_the_size_and_sends_nothing(admin_client: Client) -> None:
    recording = make_stored()
    answer = admin_client.head(address(recording), headers={"Range": "bytes=3-4"})
    assert (answer.status_code, answer["Content-Length"]) == (200, str(SIZE))
    assert answer["Accept-Ranges"] == "bytes"
    assert answer.content == b""
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_it_can_only_be_read(admin_client: Client, method: str) -> None:
    assert getattr(admin_client, method)(address(make_stored())).status_code == 405


def test_what_is_not_stored_is_not_there(admin_client: Client, media: Path) -> None:
    gone: dict[str, Any] = {
        "status": "gone",
        "file": "",
        "stored_at": None,
        "deleted_at": timezone.now(),
    }
    waiting = make_recording()
    Recording.objects.filter(pk=waiting.pk).update(file="recordings/2026/01/half.wav")
    missing = make_stored()
    (media / str(missing.file)).unlink()
    for recording in (waiting, make_stored(**gone), missing):
        assert ask(admin_client, recording).status_code == 404
    call = make_call(status=CallStatus.COMPLETED)
    url = reverse("admin:calls_calllog_recording", args=[call.pk])
    assert admin_client.get(url).status_code == 404
    assert not LogEntry.objects.exists()


# --- Who may listen -----------------------------------------------------------------------------


def test_only_who_may_listen_gets_it() -> None:
    recording = make_stored()
    assert ask(staff("view_calllog", "listen_recording"), recording).status_code == 200
    for others in (staff("view_calllog"), staff("listen_recording"), staff()):
        assert ask(others, recording).status_code == 403
    stranger = ask(Client(), recording)
    assert stranger.status_code == 302
    assert "/login/" in stranger["Location"]
    assert LogEntry.objects.count() == 1


def test_the_page_plays_it_to_who_may_listen(admin_client: Client) -> None:
    recording = make_stored()
    text = admin_client.get(page(recording)).content.decode()
    assert f'<audio controls preload="none" src="{address(recording)}">' in text
    assert recording.source_url not in text
    text = staff("view_calllog").get(page(recording)).content.decode()
    assert "<audio" not in text
    assert recording.source_url not in text
    assert "not allowed to listen" in text
    assert not LogEntry.objects.exists(), "a page is no play"


def test_the_providers_address_is_shown_to_who_may_listen_until_there_is_a_copy(
    admin_client: Client,
) -> None:
    recording = make_recording()
    assert recording.source_url in admin_client.get(page(recording)).content.decode()
    text = staff("view_calllog").get(page(recording)).content.decode()
    assert recording.source_url not in text
    assert "being copied" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": "failed", "last_error": "no sound"}, "could not be copied"),
        ({"status": "waiting", "last_error": "answered with 403"}, "answered with 403"),
    ],
)
def test_the_page_says_why_there_is_no_copy(
    admin_client: Client, changes: dict[str, str], told: str
) -> None:
    recording = make_recording()
    Recording.objects.update(**changes)
    assert told in admin_client.get(page(recording)).content.decode()


def test_the_page_of_a_deleted_recording_says_so(admin_client: Client) -> None:
    recording = make_recording()
    Recording.objects.update(status="gone", deleted_at=timezone.now(), next_attempt_at=None)
    text = admin_client.get(page(recording)).content.decode()
    assert "Deleted" in text
    assert recording.source_url not in text


def test_the_page_of_a_call_without_recording_says_nothing_of_it(admin_client: Client) -> None:
    call = make_call(status=CallStatus.COMPLETED)
    url = reverse("admin:calls_calllog_change", args=[call.pk])
    assert 'id="recording"' not in admin_client.get(url).content.decode()


def test_what_a_provider_says_is_shown_as_text(admin_client: Client) -> None:
    recording = make_recording('javascript:alert("1")')
    text = admin_client.get(page(recording)).content.decode()
    assert "<code>javascript:alert(&quot;1&quot;)</code>" in text
    assert 'href="javascript' not in text


# --- What is kept of it -------------------------------------------------------------------------


def test_a_play_is_logged_in_the_history_of_the_call(admin_client: Client) -> None:
    recording = make_stored()
    ask(admin_client, recording, "bytes=0-")
    entry = LogEntry.objects.get()
    assert entry.user == User.objects.get()
    assert (entry.object_id, entry.object_repr) == (str(recording.pk), str(recording.pk))
    assert entry.get_change_message() == "Listened to the recording."
    history = reverse("admin:calls_calllog_history", args=[recording.pk])
    assert "Listened to the recording." in admin_client.get(history).content.decode()


def test_each_play_is_logged_and_its_later_parts_are_not(admin_client: Client) -> None:
    recording = make_stored()
    for asked in ("bytes=0-", "bytes=100-", "bytes=500-", ""):
        ask(admin_client, recording, asked)
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize("asked", ["bytes=1-", "bytes=-1000"])
def test_nobody_gets_a_part_without_being_logged(admin_client: Client, asked: str) -> None:
    mine, other = make_stored(), make_stored()
    ask(staff("view_calllog", "listen_recording"), mine)
    ask(admin_client, other)
    ask(admin_client, mine, asked)
    assert LogEntry.objects.filter(object_id=str(mine.pk)).count() == 2
    LogEntry.objects.update(action_time=timezone.now() - timedelta(hours=2))
    ask(admin_client, mine, asked)
    assert LogEntry.objects.filter(object_id=str(mine.pk)).count() == 3


def test_nothing_is_sent_where_it_cannot_be_logged(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(LogEntry.objects), "log_actions", fail)
    with pytest.raises(RuntimeError):
        ask(admin_client, make_stored())
