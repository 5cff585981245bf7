"""Checks of the settings, the machine and what the platform stands on; no table is read."""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, InterfaceError, connection
from redis import RedisError

from collections_platform.ops.doctor.problem import Problem
from collections_platform.ops.servers import (
    ask_broker,
    ask_database,
    redis_client,
    unapplied_migrations,
)

LONGEST_SLICE_SECONDS = 60  # `deliver_webhooks`; answers on their way come after that
PLACEMENT_SECONDS = 12  # what one call to a provider may take
FULL_BYTES = 1024**3


def system_checks() -> Iterator[Problem]:
    """What every command warns of."""
    for message in checks.run_checks():
        if message.level >= checks.WARNING and not message.is_silenced():
            yield Problem(f"{message.msg} ({message.id})", message.hint or "Change the settings.")


def debug() -> Iterator[Problem]:
    if settings.DEBUG:
        yield Problem(
            "DEBUG is on: answers show stack traces and settings to anybody.",
            "Set DEBUG=false and restart all processes.",
        )


def queue_timeout() -> Iterator[Problem]:
    timeout = settings.Q_CLUSTER["timeout"]
    if timeout <= LONGEST_SLICE_SECONDS:
        yield Problem(
            f"The queue kills tasks after {timeout} s, although some run for more than "
            f"{LONGEST_SLICE_SECONDS} s.",
            "Raise `timeout` of Q_CLUSTER in settings.py.",
        )


def queue_retry() -> Iterator[Problem]:
    """A task's time runs while it waits in the memory of a cluster for a worker of it."""
    queue = settings.Q_CLUSTER
    waiting = queue["queue_limit"] + queue.get("bulk", 1)
    least = queue["timeout"] * (1 + math.ceil(waiting / queue["workers"]))
    if queue["retry"] <= least:
        yield Problem(
            f"The queue hands a task out again after {queue['retry']} s, although it may be under "
            f"way for {least} s.",
            "Raise `retry` of Q_CLUSTER in settings.py.",
        )


def stop_seconds() -> Iterator[Problem]:
    if settings.WORKER_STOP_SECONDS < PLACEMENT_SECONDS:
        yield Problem(
            f"WORKER_STOP_SECONDS is {settings.WORKER_STOP_SECONDS}: a worker that stops is "
            "killed while it places calls, and these must be asked about.",
            f"Set WORKER_STOP_SECONDS to {PLACEMENT_SECONDS} or more.",
        )


def disk() -> Iterator[Problem]:
    folders = {"MEDIA_ROOT": Path(settings.MEDIA_ROOT)} if settings.MEDIA_ROOT else {}
    if connection.vendor == "sqlite":
        folders["the database"] = Path(connection.settings_dict["NAME"]).parent
    for name, folder in folders.items():
        if folder.exists() and (free := shutil.disk_usage(folder).free) < FULL_BYTES:
            yield Problem(
                f"Only {free // 1024**2} MiB are free on the disk of {name}.",
                "Make room, or move it to a larger disk.",
            )


def database() -> Iterator[Problem]:
    try:
        ask_database()
    except (DatabaseError, InterfaceError) as error:
        yield Problem(
            f"The database does not answer ({type(error).__name__}).",
            "See whether it runs, and whether DATABASE_URL names it: what needs it is not checked.",
        )


def migrations() -> Iterator[Problem]:
    if missing := unapplied_migrations():
        yield Problem(
            f"The database is older than this code: {len(missing)} migrations are not applied.",
            "Run `manage.py migrate`: what needs the tables is not checked.",
        )


def broker() -> Iterator[Problem]:
    try:
        ask_broker()
    except (RedisError, DatabaseError) as error:
        yield Problem(
            f"The queue's broker does not answer ({type(error).__name__}): no call is placed and "
            "no webhook sent.",
            "See whether Redis runs, and whether REDIS_URL names it.",
        )


def redis_memory() -> Iterator[Problem]:
    """An evicted queue is only a few seconds late, but those who are called feel them."""
    if not settings.REDIS_URL:
        return
    memory = redis_client().info("memory")
    policy = memory.get("maxmemory_policy", "noeviction")
    if int(memory.get("maxmemory", 0)) and policy != "noeviction":
        yield Problem(
            f"Redis may throw the queue away when its memory is full (maxmemory-policy {policy}).",
            "Set maxmemory-policy to noeviction, or give the queue a Redis of its own.",
            is_note=True,
        )
