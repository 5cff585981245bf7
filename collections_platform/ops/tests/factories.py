from typing import Any

from django.conf import settings
from django.utils import timezone

from campaigns.clock import database_now
from collections_platform.ops.models import WorkerProcess


def make_worker(**what_matters: Any) -> WorkerProcess:
    """A worker that has just been seen."""
    now = database_now()
    fields = {
        "host": "worker-1",
        "pid": 4711,
        "queue": settings.QUEUE_NAME,
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "started_at": now,
        "seen_at": now,
        "machine_time": timezone.now(),
        "swept_at": now,
    }
    return WorkerProcess.objects.create(**fields | what_matters)
