"""django-q's brokers as this platform uses them."""

import os
from pathlib import Path
from typing import Any

import redis
from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.conf import Conf
from django_q.signing import SignedPackage
from redis.backoff import NoBackoff
from redis.retry import Retry

from collections_platform.ops.progress import VARIABLE, write_stat

# Longer than the second for which a cluster waits for a task.
ANSWER_SECONDS = 4
CONNECT_SECONDS = 2


class _StatFile:
    """A cluster below `run_worker` keeps its state in a file, where that finds it. No cache that
    processes share is needed, and the sentinel does not stand still with the broker.
    """

    def set_stat(self, key: str, value: str, timeout: int) -> None:
        if directory := os.environ.get(VARIABLE):
            write_stat(Path(directory), SignedPackage.loads(value))
        else:
            super().set_stat(key, value, timeout)  # type: ignore[misc]


class OrmBroker(_StatFile, ORM):
    """The queue is a table of the database."""


class RedisBroker(_StatFile, Redis):
    """The queue is a list in Redis; one that does not answer is given up after seconds."""

    @staticmethod
    def get_connection(list_key: str | None = None) -> Any:
        return redis.from_url(
            Conf.REDIS,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 1),
        )
