"""A running worker tells of itself in a row, for `/readyz` and `doctor` on any machine."""

import os
import socket
import time
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from campaigns.clock import database_now
from collections_platform.ops.models import SEEN_WITHIN, WorkerProcess

KEPT_FOR = timedelta(days=1)
PRUNE_SECONDS = 3600


class Heartbeat:
    """The row of this process."""

    def __init__(self) -> None:
        self._pk = 0
        self._prune_at = 0.0

    def beat(self, has_swept: bool) -> None:
        """The process lives, and its last sweep went well or not. Raises `DatabaseError`."""
        news = {"seen_at": Now(), "machine_time": timezone.now()}
        news |= {"swept_at": Now()} if has_swept else {}
        if not WorkerProcess.objects.filter(pk=self._pk).update(**news):
            self._begin(news)
        if time.monotonic() >= self._prune_at:
            WorkerProcess.objects.filter(seen_at__lt=database_now() - KEPT_FOR).delete()
            self._prune_at = time.monotonic() + PRUNE_SECONDS

    def end(self) -> None:
        """The process is to stop, and takes up nothing more."""
        if self._pk:
            WorkerProcess.objects.filter(pk=self._pk).delete()

    def _begin(self, news: dict[str, object]) -> None:
        mine = {"host": socket.gethostname()[:255], "queue": settings.QUEUE_NAME}
        # What others left here when they were killed. One that lives after all writes a new row.
        WorkerProcess.objects.filter(**mine, seen_at__lt=database_now() - SEEN_WITHIN).delete()
        version = str(settings.SPECTACULAR_SETTINGS["VERSION"])
        row = WorkerProcess(**mine, pid=os.getpid(), version=version, started_at=Now(), **news)
        row.save(force_insert=True)
        self._pk = row.pk
