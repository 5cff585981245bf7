"""Recordings are kept for as long as the setting says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage

from calls import tasks
from calls.models import Recording, SingletonTask
from calls.recordings.retention import DELETED_AT_ONCE, prune_recordings
from calls.sweeper import sweep
from calls.tests.recordings import make_recording, make_stored, stored_files

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _settings(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    settings.RECORDING_RETENTION_DAYS = 30


def test_a_recording_is_deleted_when_its_time_is_over(let_pass: Callable[..., None]) -> None:
    old = make_stored()
    let_pass(days=29)
    prune_recordings()
    old.refresh_from_db()
    assert (old.status, stored_files()) == ("stored", [old.file.name])
    let_pass(days=1)
    young = make_recording()
    prune_recordings()
    old.refresh_from_db()
    assert (old.status, old.file.name, stored_files()) == ("gone", "", [])
    assert old.deleted_at
    assert old.call.recording_url == old.source_url
    young.refresh_from_db()
    assert young.status == "waiting"


def test_zero_days_keep_for_ever(settings: Any, let_pass: Callable[..., None]) -> None:
    settings.RECORDING_RETENTION_DAYS = 0
    recording = make_stored()
    let_pass(days=10_000)
    prune_recordings()
    recording.refresh_from_db()
    assert recording.status == "stored"


def test_more_than_fit_into_one_step_are_deleted_in_one_run(let_pass: Callable[..., None]) -> None:
    for _ in range(DELETED_AT_ONCE + 1):
        make_stored()
    let_pass(days=31)
    tasks.prune_recordings()
    assert set(Recording.objects.values_list("status", flat=True)) == {"gone"}
    assert stored_files() == []


def test_a_worker_that_dies_before_the_note_leaves_it_to_the_next(
    let_pass: Callable[..., None],
) -> None:
    recording = make_stored()
    let_pass(days=31)
    recording.delete_file()
    prune_recordings()
    recording.refresh_from_db()
    assert recording.status == "gone"


def test_a_file_that_cannot_be_deleted_holds_up_no_other(
    let_pass: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn, other = make_stored(), make_stored()
    let_pass(days=31)
    delete = FileSystemStorage.delete

    def refuse(storage: FileSystemStorage, name: str) -> None:
        if str(stubborn.pk) in name:
            raise PermissionError
        delete(storage, name)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStorage, "delete", refuse)
        prune_recordings()
    stubborn.refresh_from_db()
    other.refresh_from_db()
    assert (stubborn.status, other.status) == ("stored", "gone")
    assert stubborn.last_error == "storage: PermissionError"
    let_pass(hours=1)
    prune_recordings()
    stubborn.refresh_from_db()
    assert stubborn.status == "gone"


def test_the_sweep_has_a_worker_delete_them(
    let_pass: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    woken: list[str] = []
    monkeypatch.setattr("calls.queue.async_task", lambda task, *_, **__: woken.append(task))
    make_stored()
    for expected in (0, 1):
        SingletonTask.objects.all().delete()
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        assert woken.count("calls.tasks.prune_recordings") == expected
        let_pass(days=31)
