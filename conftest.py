from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django_q.brokers import get_broker

from campaigns import clock
from collections_platform.ops.webhook_receiver import WebhookReceiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A webhook receiver that answers 204 and keeps what it received."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def _clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test follows the clock as another, which may have travelled in time, last asked it."""
    monkeypatch.setattr(clock, "_anchor", None)


@pytest.fixture(autouse=True)
def _queue_of_its_own() -> Iterator[None]:
    """What a test leaves in Redis, which no transaction takes back, fills no other test's queue."""
    yield
    if settings.REDIS_URL:
        get_broker().purge_queue()


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that moves the database's clock, as decisions see it: `let_pass(minutes=5)`.
    Leases, which the database itself compares, stay where they are.
    """
    passed, ask = timedelta(), clock._ask

    def move(**duration: float) -> None:
        nonlocal passed
        passed += timedelta(**duration)

    monkeypatch.setattr(clock, "_ask", lambda: ask() + passed)
    return move
