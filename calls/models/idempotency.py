"""Requests that may be repeated without being carried out twice."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from campaigns.models import Campaign


class IdempotencyKey(models.Model):
    """A key that a client gave with a request, and the campaign that came of it.

    Written in the transaction of the request: one that failed or died leaves no key behind, and
    another with the same key waits for it.
    """

    api_client = models.ForeignKey("api.ApiClient", models.CASCADE)
    path = models.CharField(max_length=40)
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64)  # SHA-256 in hex of what was asked
    campaign = models.ForeignKey(Campaign, models.CASCADE, null=True)
    rejected = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["api_client", "path", "key"], name="idempotency_key_once_per_client"
            ),
            models.CheckConstraint(condition=~Q(key=""), name="idempotency_key_is_given"),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_key_oldest")]

    def __str__(self) -> str:
        return str(self.pk)
