import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings

from collections_platform.ops.dotenv import write_dotenv
from collections_platform.ops.processes import PROJECT

EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".env.example").write_text(EXAMPLE, encoding="utf-8")
    return tmp_path


def values(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE))


def test_the_file_holds_fresh_keys_that_only_its_owner_reads(folder: Path) -> None:
    assert write_dotenv(folder)

    first = values((folder / ".env").read_text())
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    (folder / ".env").unlink()
    write_dotenv(folder)
    second = values((folder / ".env").read_text())
    for key in ("SECRET_KEY", "JWT_KEYS", "ENCRYPTION_KEYS"):
        assert len(first[key]) >= 40
        assert first[key] != second[key]


def test_an_existing_file_is_left_alone(folder: Path) -> None:
    (folder / ".env").write_text("mine")

    assert not write_dotenv(folder)
    assert (folder / ".env").read_text() == "mine"


def test_of_runs_at_the_same_moment_one_writes(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(write_dotenv, [folder] * 8))

    assert wrote.count(True) == 1
    assert sorted(path.name for path in folder.iterdir()) == [".env", ".env.example"]


def test_the_settings_accept_the_file(folder: Path) -> None:
    write_dotenv(folder)
    path = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    check = subprocess.run(
        [sys.executable, str(PROJECT / "manage.py"), "check", "--fail-level", "WARNING"],
        env=path | {"ENV_FILE": str(folder / ".env")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert check.returncode == 0, check.stderr


def test_the_example_explains_every_variable_of_the_settings() -> None:
    source = Path(settings.BASE_DIR, "collections_platform", "settings.py").read_text()
    read = set(re.findall(r'(?:flag|number|secrets|read|env\.\w+)\(\s*"([A-Z_]+)"', source))

    explained = set(re.findall(r"^(?:# )?([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE))

    assert len(read) > 15
    assert read <= explained
