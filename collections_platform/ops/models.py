"""The workers that are running, as all machines know them."""

from datetime import datetime, timedelta

from django.db import models
from django.utils.translation import gettext_lazy as _

# A worker tells of itself every two seconds.
SEEN_WITHIN = timedelta(seconds=30)


class WorkerProcessQuerySet(models.QuerySet["WorkerProcess"]):
    def seen(self, now: datetime) -> "WorkerProcessQuerySet":
        """Those that are running; `now` is the database's time."""
        return self.filter(seen_at__gte=now - SEEN_WITHIN)


class WorkerProcess(models.Model):
    """One `run_worker`: made when it starts, removed when it stops; one that was killed leaves its
    row behind for a day. Times are the database's, but for `machine_time`.
    """

    host = models.CharField(_("machine"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    queue = models.CharField(_("queue"), max_length=255)
    version = models.CharField(_("version"), max_length=40)
    started_at = models.DateTimeField(_("started at"))
    seen_at = models.DateTimeField(_("seen at"))
    machine_time = models.DateTimeField(
        _("machine's time"), help_text=_("What the machine's own clock said when it was seen.")
    )
    swept_at = models.DateTimeField(
        _("swept at"), null=True, help_text=_("When a sweep of it last went well.")
    )

    objects = WorkerProcessQuerySet.as_manager()

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")

    def __str__(self) -> str:
        return f"{self.host} {self.pid}"
