from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Platform, fresh_database


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A migrated database and a queue of its own, with no process running yet."""
    with fresh_database(tmp_path) as url, Platform(tmp_path, DATABASE_URL=url) as platform:
        platform.manage("migrate", "--verbosity", "0")
        yield platform
