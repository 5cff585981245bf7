"""Waking the workers. Rows say what is to be done; a wake-up that is lost costs a few seconds."""

import logging
from collections.abc import Sequence
from functools import cache, partial

from django.conf import settings
from django.db import DatabaseError, transaction
from django_q.brokers import Broker, get_broker
from django_q.tasks import async_task
from redis import RedisError

logger = logging.getLogger(__name__)


def wake(task: str, ids: Sequence[int] | None = None) -> None:
    """Have a worker run `calls.tasks.<task>`, once, or once with each of `ids`.

    Takes effect when the transaction around it commits. A broker that cannot be reached is
    logged and otherwise ignored: the sweep wakes again.
    """
    arguments = [()] if ids is None else [(pk,) for pk in ids]
    transaction.on_commit(partial(_enqueue, f"calls.tasks.{task}", arguments))


def free_places() -> int:
    """How many more tasks may wait so that the workers of one machine have enough to do, and what
    comes later does not wait long. 0 where the broker does not say.
    """
    try:
        return 2 * settings.QUEUE_WORKERS - int(_broker().queue_size())
    except (DatabaseError, RedisError):
        return 0


@cache
def _broker() -> Broker:
    """One for the process: a client of Redis keeps its connections."""
    return get_broker()


def _enqueue(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    try:
        with transaction.atomic():  # one commit where the queue is a table
            for args in arguments:
                async_task(task, *args, broker=_broker())
    except (DatabaseError, RedisError) as error:
        logger.warning("The queue did not take %s: %s", task, type(error).__name__)
