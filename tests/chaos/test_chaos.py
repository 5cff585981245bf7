"""The short form of `make chaos`: every kind of trouble that fits into a minute, at once."""

import shutil
import sys

import pytest

from tests.chaos.scenarios import Size, everything

pytestmark = [
    pytest.mark.workers,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; orphans end on Linux only"),
]


def test_nothing_is_lost_and_nobody_is_called_twice_whatever_dies() -> None:
    result = everything(Size(seed="1", seconds=12, calls=300))

    assert result.violations == [], f"{result}\nsee {result.folder}"
    assert result.figures["kills"] >= 5
    shutil.rmtree(result.folder)
