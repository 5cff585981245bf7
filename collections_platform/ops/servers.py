"""What the platform stands on, and whether it answers. Nothing here waits long."""

from functools import cache

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django_q.brokers import get_broker
from redis.backoff import NoBackoff
from redis.retry import Retry

# A name may stand for two addresses: twice this to connect, and this for the answer.
REDIS_SECONDS = 0.9


def ask_database() -> None:
    """Raises `DatabaseError` or `InterfaceError`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def unapplied_migrations() -> list[str]:
    """The names of the migrations that this code has and the database has not."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [str(migration) for migration, _ in plan]


def ask_broker() -> None:
    """Raises `RedisError`, or `DatabaseError` where the queue is a table."""
    if settings.REDIS_URL:
        redis_client().ping()
    else:
        get_broker().queue_size()


@cache
def redis_client() -> redis.Redis:
    """A client that gives up within three seconds."""
    return redis.from_url(
        settings.REDIS_URL,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
