"""Tasks of which one runs at a time."""

from django.db import models

from campaigns.leases import Leased


class SingletonTask(Leased):
    """A task that runs nowhere else while someone holds its lease; made when first asked for."""

    name = models.CharField(max_length=64, primary_key=True)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def named(cls, name: str) -> "SingletonTask":
        return cls.objects.get_or_create(name=name)[0]
