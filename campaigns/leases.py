"""Work that one worker does at a time, though any worker may die in the middle of it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Self

from django.db import DatabaseError, connection, models
from django.db.models import ExpressionWrapper, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class LeasedQuerySet(models.QuerySet):
    def unleased(self) -> Self:
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=Now()))


class Leased(models.Model):
    """A row that a worker holds for a limited time.

    The token fences off a worker whose lease ran out and went to another: it renews and releases
    nothing any more. Times are the database's, the one clock that all machines share.
    """

    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(_("leased until"), null=True, editable=False)

    objects = LeasedQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(lease_token=None, lease_until=None)
                | Q(lease_token__isnull=False, lease_until__isnull=False),
                name="%(class)s_lease_is_whole",
            )
        ]

    def take_lease(self, seconds: int) -> bool:
        """Take the lease if it is free; False if another worker holds it."""
        token = uuid.uuid4()
        free = type(self).objects.unleased().filter(pk=self.pk)
        if not free.update(lease_token=token, lease_until=_from_now(seconds)):
            return False
        self.lease_token = token
        return True

    @contextmanager
    def hold_lease(self, seconds: int) -> Iterator[bool]:
        """Hold the lease inside the block, which is told whether it could be had at all. A lease
        that cannot be given back, the database being gone, runs out by itself.
        """
        is_held = self.take_lease(seconds)
        try:
            yield is_held
        finally:
            if is_held:
                with suppress(DatabaseError):
                    if not connection.in_atomic_block:
                        connection.close_if_unusable_or_obsolete()
                    self.release_lease()

    def renew_lease(self, seconds: int) -> bool:
        """Hold the lease for `seconds` from now; False if it was lost."""
        return bool(self._held().update(lease_until=_from_now(seconds)))

    def release_lease(self) -> None:
        self._held().update(lease_token=None, lease_until=None)

    def _held(self) -> LeasedQuerySet:
        return type(self).objects.filter(pk=self.pk, lease_token=self.lease_token)


def _from_now(seconds: int) -> ExpressionWrapper:
    return ExpressionWrapper(
        Now() + timedelta(seconds=seconds), output_field=models.DateTimeField()
    )
