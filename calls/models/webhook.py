"""Whom we tell about calls, and what we have told them."""

import base64
import secrets
import uuid
from datetime import datetime, timedelta

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from calls.fields import EncryptedTextField
from calls.models.call_log import CallLog
from calls.webhooks.addresses import validate_address
from calls.webhooks.signing import PREFIX
from campaigns.models import Campaign


class EventType(models.TextChoices):
    PHONE_CALL_ENDED = "phone_call.ended", _("a call ended")
    CAMPAIGN_COMPLETED = "campaign.completed", _("a campaign ended")
    WEBHOOK_TEST = "webhook.test", _("a test")


# What an endpoint can be set to hear of; a test comes to whom it is sent.
SUBSCRIBABLE = (EventType.PHONE_CALL_ENDED, EventType.CAMPAIGN_COMPLETED)


class PayloadForm(models.TextChoices):
    ENVELOPE = "envelope", _("envelope: type, timestamp and data")
    FLAT = "flat", _("flat: the data alone")


def default_events() -> list[str]:
    return [EventType.PHONE_CALL_ENDED.value]


# How long the secret before still signs beside a new one.
OLD_SECRET_SIGNS_FOR = timedelta(hours=24)


def generate_secret() -> str:
    """A signing secret as Standard Webhooks writes it: `whsec_` and base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def enabled(self) -> "WebhookEndpointQuerySet":
        return self.filter(disabled_at=None)

    def given_up(self) -> "WebhookEndpointQuerySet":
        """Disabled because they failed, and nobody has looked after them since."""
        return self.filter(disabled_at__isnull=False, failing_since__isnull=False)

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
    failing_since = models.DateTimeField(
        _("failing since"),
        null=True,
        editable=False,
        help_text=_("The first failed try after the last success."),
    )
    last_success_at = models.DateTimeField(_("last success at"), null=True, editable=False)

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")

    def __str__(self) -> str:
        return self.url

    def enable(self) -> None:
        """What waits goes on, and the endpoint has all the time again before it is disabled."""
        self.disabled_at = self.failing_since = None

    def disable(self) -> None:
        """By somebody, who therefore need not be told of it."""
        self.disabled_at = self.disabled_at or timezone.now()
        self.failing_since = None

    @transaction.atomic
    def add_secret(self, secret: str = "") -> str:
        """Give the endpoint a new signing secret, or this one, and return it.

        The secret before signs beside it for another 24 hours; one that was already on its way
        out stops now, so that at most two are live.
        """
        secret = secret or generate_secret()
        WebhookEndpoint.objects.select_for_update().get(pk=self.pk)
        now = timezone.now()
        live = self.secrets.live(now)
        live.exclude(expires_at=None).update(expires_at=now)
        live.filter(expires_at=None).update(expires_at=now + OLD_SECRET_SIGNS_FOR)
        self.secrets.create(value=secret, created_at=now)
        return secret


class WebhookSecretQuerySet(models.QuerySet["WebhookSecret"]):
    def live(self, now: datetime) -> "WebhookSecretQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now))


class WebhookSecret(models.Model):
    """A secret that signs an endpoint's deliveries; each live one adds a signature."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="secrets")
    value = EncryptedTextField(_("secret"), editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(
        _("signs until"),
        null=True,
        editable=False,
        help_text=_("Empty for the secret in use; the one before it signs for another day."),
    )

    objects = WebhookSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook secret")
        verbose_name_plural = _("webhook secrets")
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=Q(expires_at=None),
                name="webhook_secret_one_in_use",
            )
        ]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}"


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", _("pending")
    DELIVERED = "delivered", _("delivered")
    DEAD = "dead", _("dead")


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def pending(self) -> "WebhookDeliveryQuerySet":
        return self.filter(status=DeliveryStatus.PENDING)

    def dead(self) -> "WebhookDeliveryQuerySet":
        return self.filter(status=DeliveryStatus.DEAD)

    def due(self, now: datetime) -> "WebhookDeliveryQuerySet":
        return self.pending().filter(next_attempt_at__lte=now, endpoint__disabled_at=None)


class WebhookDelivery(models.Model):
    """One event for one endpoint; its id is the `webhook-id` of every try."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, models.PROTECT, related_name="deliveries")
    event_type = models.CharField(_("event"), max_length=40, choices=EventType.choices)
    # What the event is about.
    call = models.ForeignKey(CallLog, models.CASCADE, null=True, related_name="deliveries")
    campaign = models.ForeignKey(Campaign, models.CASCADE, null=True, related_name="deliveries")
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
                fields=["endpoint", "event_type", "call"], name="delivery_once_per_call"
            ),
            models.UniqueConstraint(
                fields=["endpoint", "event_type", "campaign"], name="delivery_once_per_campaign"
            ),
            models.CheckConstraint(
                condition=Q(
                    event_type=EventType.PHONE_CALL_ENDED,
                    call__isnull=False,
                    campaign=None,
                )
                | Q(
                    event_type=EventType.CAMPAIGN_COMPLETED,
                    call=None,
                    campaign__isnull=False,
                )
                | Q(event_type=EventType.WEBHOOK_TEST, call=None, campaign=None),
                name="delivery_subject_fits_event",
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
