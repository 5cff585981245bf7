"""Campaigns: one bulk request each, cut into batches."""

import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.leases import Leased
from templates.models import TemplateVersion

MIN_BATCH_SIZE, MAX_BATCH_SIZE = 10, 1000


class CampaignStatus(models.TextChoices):
    DRAFT = "draft", _("draft")
    SCHEDULED = "scheduled", _("scheduled")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    CANCELLING = "cancelling", _("cancelling")
    COMPLETED = "completed", _("completed")
    CANCELLED = "cancelled", _("cancelled")


ENDED_CAMPAIGN = (CampaignStatus.COMPLETED, CampaignStatus.CANCELLED)
# Nobody has been called yet.
UNSTARTED_CAMPAIGN = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED)


class CampaignSource(models.TextChoices):
    API = "api", _("API")
    ADMIN = "admin", _("admin")
    COMMAND = "command", _("command")


class Campaign(models.Model):
    """One bulk request: who asked for it, with which template, and how far it is."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120, blank=True)
    source = models.CharField(_("source"), max_length=10, choices=CampaignSource.choices)
    template_version = models.ForeignKey(
        TemplateVersion, models.PROTECT, related_name="campaigns", verbose_name=_("template")
    )
    account = models.ForeignKey(
        "calls.ProviderAccount",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="campaigns",
        verbose_name=_("provider account"),
        help_text=_("What places its calls. Empty: the template's account, else the default."),
    )
    country_code = models.CharField(
        _("country code"),
        max_length=2,
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{2}$")],
        help_text=_("ISO 3166-1 alpha-2: reads numbers written without a country code."),
    )
    batch_size = models.PositiveIntegerField(
        _("batch size"),
        validators=[MinValueValidator(MIN_BATCH_SIZE), MaxValueValidator(MAX_BATCH_SIZE)],
    )
    status = models.CharField(
        _("status"),
        max_length=10,
        choices=CampaignStatus.choices,
        default=CampaignStatus.RUNNING,
    )
    api_client = models.ForeignKey(
        "api.ApiClient", models.PROTECT, null=True, blank=True, verbose_name=_("API client")
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        verbose_name=_("created by"),
    )
    copied_from = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="copies",
        verbose_name=_("copied from"),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    starts_at = models.DateTimeField(
        _("starts at"),
        null=True,
        blank=True,
        help_text=_("When a scheduled campaign begins to call."),
    )
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True, editable=False)
    served_at = models.DateTimeField(
        _("served at"),
        null=True,
        editable=False,
        help_text=_("When a worker was last called to one of its batches: they take turns."),
    )

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["-created_at"], name="campaign_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(batch_size__range=(MIN_BATCH_SIZE, MAX_BATCH_SIZE)),
                name="campaign_batch_size_in_range",
            ),
            models.CheckConstraint(
                condition=Q(status__in=list(CampaignStatus)), name="campaign_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=ENDED_CAMPAIGN, ended_at__isnull=False)
                | (~Q(status__in=ENDED_CAMPAIGN) & Q(ended_at=None)),
                name="campaign_ended_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status=CampaignStatus.SCHEDULED) | Q(starts_at__isnull=False),
                name="campaign_scheduled_has_start",
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.get_source_display()} {self.created_at:%Y-%m-%d %H:%M}"


class Batch(Leased):
    """Up to `batch_size` calls of a campaign, placed by one worker at a time under a lease."""

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField(_("number"))
    due_at = models.DateTimeField(
        _("due at"),
        null=True,
        help_text=_(
            "Before this, no call of it is due; empty: none is queued. A hint that the sweep mends."
        ),
    )
    woken_at = models.DateTimeField(
        _("woken at"), null=True, help_text=_("When a worker was called to it and has not come.")
    )

    class Meta(Leased.Meta):
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        constraints = [
            *Leased.Meta.constraints,
            models.UniqueConstraint(fields=["campaign", "number"], name="batch_number_once"),
        ]
        indexes = [
            # Whose turn is next: the batches of a campaign in which something may be due.
            models.Index(
                fields=["campaign", "due_at"], condition=Q(due_at__isnull=False), name="batch_due"
            ),
            # The batches in workers' hands.
            models.Index(
                fields=["woken_at"], condition=Q(woken_at__isnull=False), name="batch_woken"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign} #{self.number}"
