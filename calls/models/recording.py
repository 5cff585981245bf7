"""Our copies of what the providers recorded."""

from datetime import datetime, timedelta

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from calls.models.call_log import CallLog


class RecordingStatus(models.TextChoices):
    WAITING = "waiting", _("waiting to be copied")
    STORED = "stored", _("stored")
    FAILED = "failed", _("could not be copied")
    GONE = "gone", _("deleted")


def recordings_storage() -> Storage:
    return storages["recordings"]


class RecordingQuerySet(models.QuerySet["Recording"]):
    def waiting(self) -> "RecordingQuerySet":
        return self.filter(status=RecordingStatus.WAITING)

    def due(self, now: datetime) -> "RecordingQuerySet":
        """Recordings that are to be copied by now, and that no worker has claimed."""
        return self.waiting().filter(next_attempt_at__lte=now)

    def expired(self, now: datetime) -> "RecordingQuerySet":
        """Stored recordings that are to be deleted by now; none where they are kept for ever."""
        days = settings.RECORDING_RETENTION_DAYS
        if not days:
            return self.none()
        return self.filter(
            Q(next_attempt_at=None) | Q(next_attempt_at__lte=now),
            status=RecordingStatus.STORED,
            stored_at__lte=now - timedelta(days=days),
        )


class Recording(models.Model):
    """The recording of one call: where the provider has it, and our copy.

    `tries` counts claims, so that it tells one claim from the next: a worker that lost its claim
    to another writes nothing any more. `file` is noted before anything is written under that
    name; it is to be played only when the status is `stored`.
    """

    call = models.OneToOneField(CallLog, models.CASCADE, primary_key=True, related_name="recording")
    source_url = models.CharField(_("provider's address"), max_length=2000)
    file = models.FileField(
        _("file"), storage=recordings_storage, max_length=200, blank=True, editable=False
    )
    status = models.CharField(
        _("status"),
        max_length=8,
        choices=RecordingStatus.choices,
        default=RecordingStatus.WAITING,
    )
    tries = models.PositiveIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField(
        _("next attempt at"),
        null=True,
        default=timezone.now,
        help_text=_("When to copy it; of a stored one, when to try again to delete it."),
    )
    bytes = models.PositiveBigIntegerField(_("bytes"), default=0)
    content_type = models.CharField(_("content type"), max_length=40, blank=True)
    stored_at = models.DateTimeField(_("stored at"), null=True)
    deleted_at = models.DateTimeField(_("deleted at"), null=True)
    last_error = models.CharField(_("last error"), max_length=120, blank=True)

    objects = RecordingQuerySet.as_manager()

    class Meta:
        verbose_name = _("recording")
        verbose_name_plural = _("recordings")
        default_permissions = ()
        permissions = [("listen_recording", _("Can listen to recordings"))]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=list(RecordingStatus)), name="recording_status_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(status=RecordingStatus.WAITING) | Q(next_attempt_at__isnull=False),
                name="recording_waiting_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status=RecordingStatus.STORED)
                | (Q(stored_at__isnull=False, deleted_at=None, bytes__gt=0) & ~Q(file="")),
                name="recording_stored_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(status=RecordingStatus.GONE, file="", deleted_at__isnull=False)
                | (~Q(status=RecordingStatus.GONE) & Q(deleted_at=None)),
                name="recording_gone_has_no_file",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(status=RecordingStatus.WAITING),
                name="recording_to_copy",
            ),
            models.Index(
                fields=["stored_at"],
                condition=Q(status=RecordingStatus.STORED),
                name="recording_to_delete",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_stored(self) -> bool:
        return self.status == RecordingStatus.STORED

    def delete_file(self) -> None:
        """Delete what lies under the noted name, if anything does. Raises what the storage does."""
        if self.file.name:
            self.file.storage.delete(self.file.name)
