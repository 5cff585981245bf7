import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from campaigns.clock import database_now
from collections_platform.ops import health
from collections_platform.ops.servers import redis_client
from collections_platform.ops.tests.factories import make_worker

pytestmark = pytest.mark.django_db

EVERYTHING = {"database": "ok", "migrations": "ok", "broker": "ok", "worker": "ok"}
SILENCE = {"worker": "no worker has been seen"}


@pytest.fixture(autouse=True)
def forget_migrations() -> Iterator[None]:
    health._migrated.clear()
    yield
    health._migrated.clear()


@pytest.fixture
def redis_at() -> Iterator[Any]:
    """Has the platform use another Redis: call it with the address."""
    with pytest.MonkeyPatch.context() as patch:

        def use(url: str) -> None:
            patch.setattr(settings, "REDIS_URL", url)
            redis_client.cache_clear()

        yield use
    redis_client.cache_clear()


def readyz(query: str = "") -> tuple[int, dict[str, Any]]:
    answer = Client().get(f"/readyz{query}")
    return answer.status_code, answer.json()


def not_ready(**checks: str) -> tuple[int, dict[str, Any]]:
    return 503, {"status": "not ready", "checks": EVERYTHING | checks}


def test_a_platform_with_a_worker_is_ready() -> None:
    make_worker()
    assert readyz() == (200, {"status": "ok", "checks": EVERYTHING})


def test_without_a_worker_it_is_not_ready() -> None:
    assert readyz() == not_ready(**SILENCE)


def test_a_worker_that_has_fallen_silent_does_not_count() -> None:
    make_worker(seen_at=database_now() - timedelta(seconds=40))
    assert readyz() == not_ready(worker="no worker has been seen for 40 s")


def test_a_worker_of_another_queue_does_not_count() -> None:
    make_worker(queue="other")
    assert readyz() == not_ready(**SILENCE)


def test_only_the_checks_that_are_named_are_made() -> None:
    assert readyz("?checks=database,migrations") == (
        200,
        {"status": "ok", "checks": {"database": "ok", "migrations": "ok"}},
    )


@pytest.mark.parametrize("query", ["?checks=", "?checks=database,disk", "?checks=database,"])
def test_an_unknown_check_is_refused(query: str) -> None:
    message = "Choose from database, migrations, broker, worker"
    error = {"loc": ["query", "checks"], "msg": message, "type": "value_error"}
    assert readyz(query) == (422, {"detail": [error]})


def test_migrations_that_are_missing_are_counted() -> None:
    make_worker()
    MigrationRecorder(connection).migration_qs.filter(app="ops").delete()
    assert readyz() == not_ready(migrations="1 not applied")


def test_migrations_that_are_applied_are_looked_at_once(django_assert_num_queries) -> None:
    assert readyz("?checks=migrations")[0] == 200
    with django_assert_num_queries(0):
        assert readyz("?checks=migrations")[0] == 200


def test_a_database_that_does_not_answer_is_asked_once_and_healthz_does_without() -> None:
    asked = []

    def refuse(*_: object) -> None:
        asked.append(1)
        raise OperationalError("host db.example.com, password secret")

    gone = "the database does not answer"
    with connection.execute_wrapper(refuse):
        assert readyz() == not_ready(
            database=gone,
            migrations=gone,
            broker="ok" if settings.REDIS_URL else gone,
            worker=gone,
        )
        assert Client().get("/healthz").status_code == 200
    assert len(asked) == 1


def test_a_redis_that_is_gone_is_told_without_its_address(redis_at) -> None:
    make_worker()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    redis_at(f"redis://:secret@127.0.0.1:{port}/0")
    assert readyz() == not_ready(broker="Redis does not answer")


def test_a_redis_that_hangs_keeps_nobody_waiting(redis_at) -> None:
    make_worker()
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, never answers
        redis_at(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        began = time.monotonic()
        assert readyz() == not_ready(broker="Redis does not answer")
    assert time.monotonic() - began < 3
