"""Whom we tell about calls, and what we have told them."""

import base64
import secrets
import uuid
from datetime import datetime
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from calls.fields import EncryptedTextField
from calls.models.call_log import CallLog


class EventType(models.TextChoices):
    PHONE_CALL_ENDED = "phone_call.ended", _("a call ended")


class PayloadForm(models.TextChoices):
    ENVELOPE = "envelope", _("envelope: type, timestamp and data")
    FLAT = "flat", _("flat: the data alone")


def default_events() -> list[str]:
    return [EventType.PHONE_CALL_ENDED.value]


def generate_secret() -> str:
    """A signing secret as Standard Webhooks writes it: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def validate_address(url: str) -> None:
    """An absolute address of http or https; the host may be a name that only this network knows."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValidationError(_("Give a whole address, such as https://example.com/hooks."))
    if parts.username or parts.password:
        raise ValidationError(_("Give an address without user name and password."))


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def enabled(self) -> "WebhookEndpointQuerySet":
        return self.filter(disabled_at=None)

    def subscribed(self, event_type: str) -> "list[WebhookEndpoint]":
        """The enabled endpoints that want this event."""
        return [endpoint for endpoint in self.enabled() if event_type in endpoint.events]


class WebhookEndpoint(models.Model):
    """An address that is told about events."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    url = models.CharField(_("address"), max_length=2000, validators=[validate_address])
    description = models.CharField(_("description"), max_length=255, blank=True)
    events = models.JSONField(_("events"), default=default_events)
    form = models.CharField(
        _("form"), max_length=10, choices=PayloadForm.choices, default=PayloadForm.ENVELOPE
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    disabled_at = models.DateTimeField(_("disabled at"), null=True, blank=True)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")

    def __str__(self) -> str:
        return self.url

    def add_secret(self) -> str:
        """Give the endpoint another signing secret and return it."""
        secret = generate_secret()
        self.secrets.create(value=secret)
        return secret


class WebhookSecret(models.Model):
    """A secret that signs an endpoint's deliveries; each live one adds a signature."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="secrets")
    value = EncryptedTextField(_("secret"), editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("webhook secret")
        verbose_name_plural = _("webhook secrets")

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", _("pending")
    DELIVERED = "delivered", _("delivered")
    DEAD = "dead", _("dead")


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def pending(self) -> "WebhookDeliveryQuerySet":
        return self.filter(status=DeliveryStatus.PENDING)

    def due(self, now: datetime) -> "WebhookDeliveryQuerySet":
        return self.pending().filter(next_attempt_at__lte=now, endpoint__disabled_at=None)


class WebhookDelivery(models.Model):
    """One event for one endpoint; its id is the `webhook-id` of every try."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, models.PROTECT, related_name="deliveries")
    event_type = models.CharField(_("event"), max_length=40, choices=EventType.choices)
    call = models.ForeignKey(CallLog, models.CASCADE, related_name="deliveries")
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=DeliveryStatus.choices,
        default=DeliveryStatus.PENDING,
    )
    tries = models.PositiveIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField(_("next attempt at"), default=timezone.now)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    delivered_at = models.DateTimeField(_("delivered at"), null=True)
    last_result = models.CharField(_("last result"), max_length=120, blank=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "event_type", "call"], name="delivery_once_per_endpoint"
            ),
            models.CheckConstraint(
                condition=Q(status__in=list(DeliveryStatus)), name="delivery_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.DELIVERED, delivered_at__isnull=False)
                | (~Q(status=DeliveryStatus.DELIVERED) & Q(delivered_at=None)),
                name="delivery_delivered_has_time",
            ),
        ]
        indexes = [
            # The delivery loop: what is due, endpoint by endpoint.
            models.Index(
                fields=["endpoint", "next_attempt_at"],
                condition=Q(status=DeliveryStatus.PENDING),
                name="delivery_pending",
            ),
            models.Index(fields=["-created_at"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return str(self.id)
