from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models.signals import post_migrate

from collections_platform.ops.progress import tell_progress


class OpsConfig(AppConfig):
    name = "collections_platform.ops"
    verbose_name = "Operations"

    def ready(self) -> None:
        tell_progress()
        post_migrate.connect(schedule_sweep, sender=self)


def schedule_sweep(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Have the queue itself sweep every minute, with or without a `run_worker` that sweeps more
    often. After each `migrate`; what somebody changed in that row is set right.
    """
    from django_q.models import Schedule  # noqa: PLC0415  needs the applications

    if Schedule._meta.db_table not in connections[using].introspection.table_names():
        return  # `migrate ops` alone
    schedule = {
        "func": "calls.tasks.sweep",
        "schedule_type": Schedule.MINUTES,
        "minutes": 1,
        "repeats": -1,  # for ever
        "cluster": None,
    }
    rows = Schedule.objects.using(using).filter(name="sweep")
    if not rows.update(**schedule):
        rows.create(name="sweep", **schedule)
