import pytest
from django.db import connection

from collections_platform.ops.sweeping import sweep_once


@pytest.mark.django_db(transaction=True)
def test_a_sweep_that_fails_is_one_line_and_the_next_one_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sweep_once()
    assert caplog.text == ""

    with connection.execute_wrapper(_refuse):
        sweep_once()

    assert len(caplog.records) == 1
    assert caplog.messages[0].startswith("The sweep failed: OSError at ")
    assert caplog.records[0].exc_info is None
    sweep_once()
    assert len(caplog.records) == 1


def _refuse(*_: object) -> None:
    raise OSError("the disk is gone")
