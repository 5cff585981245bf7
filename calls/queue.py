"""Waking the workers. Rows say what is to be done; a wake-up that is lost costs a few seconds."""

import logging
from collections.abc import Sequence
from functools import partial

from django.conf import settings
from django.db import DatabaseError, transaction
from django_q.brokers import get_broker
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


def is_backed_up() -> bool:
    """Do more tasks wait than the workers of one machine take at a time? True, too, where the
    broker does not say.
    """
    try:
        waiting: int = get_broker().queue_size()
    except (DatabaseError, RedisError):
        return True
    return waiting > 2 * settings.QUEUE_WORKERS


def _enqueue(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    try:
        broker = get_broker()
        with transaction.atomic():  # one commit where the queue is a table
            for args in arguments:
                async_task(task, *args, broker=broker)
    except (DatabaseError, RedisError) as error:
        logger.warning("The queue did not take %s: %s", task, type(error).__name__)
