"""Tasks of which one runs at a time."""

from collections.abc import Callable

from django.db import models

from calls.slices import Slice
from campaigns.leases import Leased


class SingletonTask(Leased):
    """A task that runs nowhere else while someone holds its lease; made when first asked for."""

    name = models.CharField(max_length=64, primary_key=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def named(cls, name: str) -> "SingletonTask":
        return cls.objects.get_or_create(name=name)[0]

    @classmethod
    def repeat(cls, name: str, lease_seconds: int, step: Callable[[], bool]) -> None:
        """Take steps until one finds nothing to do, for one slice of time, unless another worker
        is at it. No step may take longer than the lease.
        """
        task = cls.named(name)
        with task.hold_lease(lease_seconds) as is_ours:
            a_while = Slice()
            while is_ours and not a_while.is_over and step():
                is_ours = task.renew_lease(lease_seconds)
