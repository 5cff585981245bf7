"""The call log: one row per attempt."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from calls.models.provider import ProviderAccount
from calls.statuses import LIVE, TERMINAL, UNANSWERED, CallStatus, Sentiment
from campaigns.models import Batch, Campaign, CampaignStatus
from contacts.models import Contact
from templates.rendering import parse


class CallLogQuerySet(models.QuerySet["CallLog"]):
    def with_context(self) -> "CallLogQuerySet":
        """With what deciding about a call reads. The account's secrets are left out: one that
        cannot be decrypted costs no other account's calls anything.
        """
        related = self.select_related("campaign__template_version", "account")
        return related.defer("account__credentials")

    def queued(self) -> "CallLogQuerySet":
        return self.filter(status=CallStatus.QUEUED)

    def due(self, now: datetime) -> "CallLogQuerySet":
        """Queued calls whose time has come."""
        return self.queued().filter(not_before__lte=now)

    def live(self) -> "CallLogQuerySet":
        return self.filter(status__in=LIVE)

    def open_lines(self) -> "CallLogQuerySet":
        """Calls that have ended for us, while the provider has not closed their line."""
        return self.filter(hang_up_at__isnull=False)

    def busy(self) -> "CallLogQuerySet":
        """Calls during which their contact is not called again."""
        return self.filter(Q(status__in=LIVE) | Q(hang_up_at__isnull=False))

    def unconfirmed(self) -> "CallLogQuerySet":
        """Calls that were claimed, and of which nothing has been heard since."""
        return self.filter(status=CallStatus.DIALING, provider_call_id="")

    def to_cancel(self) -> "CallLogQuerySet":
        """Calls that nobody has answered, of campaigns that are being cancelled."""
        return self.unanswered().filter(campaign__status=CampaignStatus.CANCELLING)

    def unanswered(self) -> "CallLogQuerySet":
        """Calls that wait, are being placed, or ring."""
        return self.filter(status__in=UNANSWERED)

    def to_poll(self, now: datetime) -> "CallLogQuerySet":
        """Live calls about which the provider is to be asked by now."""
        return self.live().filter(poll_at__lte=now)

    def to_hang_up(self, now: datetime) -> "CallLogQuerySet":
        """Lines that the provider is to be asked to close by now."""
        return self.filter(hang_up_at__lte=now)

    def to_evaluate(self, now: datetime) -> "CallLogQuerySet":
        """Conversations whose outcome is to be found in the transcript by now."""
        return self.filter(evaluate_at__lte=now)

    def last_attempts(self) -> "CallLogQuerySet":
        """One row per call: its newest attempt."""
        return self.filter(is_last_attempt=True)

    @transaction.atomic
    def write(self, calls: Iterable["CallLog"], fields: Iterable[str]) -> None:
        """Write these fields of each call. A statement per row: `bulk_update` builds one CASE per
        field, which takes ten times as long for a call's ending. In the order in which rows are
        locked elsewhere.
        """
        for call in sorted(calls, key=lambda call: call.pk):
            call.save(update_fields=fields)

    def counts(self) -> dict[str, dict[str, int]]:
        """Calls by the status and by the outcome of their last attempt, in one query:
        `{"status": {"completed": 2}, "outcome": {"PROMISE_TO_PAY": 1}}`.
        """
        counts: dict[str, dict[str, int]] = {"status": {}, "outcome": {}}
        groups = self.last_attempts().order_by().values_list("status", "outcome")
        for status, outcome, number in groups.annotate(number=Count("pk")):
            counts["status"][status] = counts["status"].get(status, 0) + number
            if outcome:
                counts["outcome"][outcome] = counts["outcome"].get(outcome, 0) + number
        return counts


class CallLog(models.Model):
    """One attempt to call one person: everything the engine, staff and webhooks know of it.

    `call_id` is the same for all attempts of a call, and equals the first attempt's `id`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call_id = models.UUIDField(_("call id"))
    attempt = models.PositiveIntegerField(_("attempt"), default=1)
    is_last_attempt = models.BooleanField(
        _("last attempt"), default=True, help_text=_("No later attempt of this call exists.")
    )
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="calls")
    batch = models.ForeignKey(Batch, models.PROTECT, related_name="calls")
    position = models.PositiveIntegerField(
        _("position"), help_text=_("Place in the request, from 0.")
    )
    contact = models.ForeignKey(Contact, models.PROTECT, related_name="calls")

    # As the caller asked.
    phone_number = models.CharField(_("number to call"), max_length=21)
    prompt_tags = models.JSONField(_("prompt tags"), default=dict)
    metadata = models.JSONField(_("metadata"), default=dict)
    debt_reference = models.CharField(_("debt reference"), max_length=255, blank=True)
    consent = models.JSONField(_("consent"), null=True, blank=True)

    # Where the attempt is.
    status = models.CharField(
        _("status"), max_length=16, choices=CallStatus.choices, default=CallStatus.QUEUED
    )
    not_before = models.DateTimeField(_("not before"), default=timezone.now)
    poll_at = models.DateTimeField(
        _("poll at"), null=True, help_text=_("When to ask the provider how the call is.")
    )
    hang_up_at = models.DateTimeField(
        _("hang up at"),
        null=True,
        help_text=_("When to ask the provider to end a line that may still be open."),
    )
    refusals = models.PositiveIntegerField(
        _("refusals"),
        default=0,
        help_text=_("How often the provider refused it for the moment while it took others."),
    )
    refused_at = models.DateTimeField(_("refused at"), null=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    started_at = models.DateTimeField(_("started at"), null=True)
    answered_at = models.DateTimeField(_("answered at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    ended_reason = models.CharField(_("ended reason"), max_length=120, blank=True)

    # As dialled.
    account = models.ForeignKey(
        ProviderAccount, models.PROTECT, null=True, verbose_name=_("provider account")
    )
    provider_call_id = models.CharField(_("provider's call id"), max_length=200, blank=True)
    number_from = models.CharField(_("number from"), max_length=21, blank=True)
    system_prompt = models.TextField(_("system prompt"), blank=True)
    first_message = models.TextField(_("first message"), blank=True)

    # What it brought.
    duration_seconds = models.PositiveIntegerField(_("duration (seconds)"), default=0)
    outcome = models.CharField(_("outcome"), max_length=64, blank=True)
    outcome_reasoning = models.TextField(_("outcome reasoning"), blank=True)
    call_back_at = models.DateTimeField(
        _("call back at"), null=True, help_text=_("When the person asked to be called again.")
    )
    sentiment = models.CharField(
        _("sentiment"), max_length=8, choices=Sentiment.choices, blank=True
    )
    sentiment_reasoning = models.TextField(_("sentiment reasoning"), blank=True)
    summary = models.TextField(_("summary"), blank=True)
    transcript = models.TextField(_("transcript"), blank=True)
    recording_url = models.URLField(_("recording"), max_length=2000, blank=True)
    evaluate_at = models.DateTimeField(
        _("evaluate at"),
        null=True,
        help_text=_("When the outcome is found in the transcript, if nobody has told it by then."),
    )
    cost = models.DecimalField(_("cost"), max_digits=12, decimal_places=6, null=True)
    cost_currency = models.CharField(_("currency of the cost"), max_length=3, blank=True)

    objects = CallLogQuerySet.as_manager()

    class Meta:
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        constraints = [
            models.UniqueConstraint(fields=["call_id", "attempt"], name="call_attempt_once"),
            models.UniqueConstraint(
                fields=["call_id"],
                condition=Q(is_last_attempt=True),
                name="call_one_last_attempt",
            ),
            models.UniqueConstraint(
                fields=["contact"],
                condition=Q(status__in=LIVE),
                name="call_one_live_per_contact",
            ),
            models.UniqueConstraint(
                fields=["account", "provider_call_id"],
                condition=~Q(provider_call_id=""),
                name="call_provider_call_id_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=list(CallStatus)), name="call_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=TERMINAL, ended_at__isnull=False)
                | (~Q(status__in=TERMINAL) & Q(ended_at=None)),
                name="call_ended_has_time",
            ),
            models.CheckConstraint(
                condition=Q(status=CallStatus.QUEUED, started_at=None)
                | ~Q(status__in=[CallStatus.QUEUED, *LIVE])
                | Q(status__in=LIVE, started_at__isnull=False, account__isnull=False),
                name="call_live_was_started",
            ),
            models.CheckConstraint(
                condition=Q(outcome="") | Q(status=CallStatus.COMPLETED),
                name="call_outcome_needs_conversation",
            ),
            models.CheckConstraint(
                condition=Q(attempt=1, call_id=models.F("id")) | Q(attempt__gt=1),
                name="call_id_is_first_attempts_id",
            ),
        ]
        indexes = [
            # The claim: what of this batch may be dialled now.
            models.Index(
                fields=["batch", "not_before"],
                condition=Q(status=CallStatus.QUEUED),
                name="call_queued",
            ),
            # The poll: which live calls are to be asked about.
            models.Index(
                fields=["poll_at"], condition=Q(poll_at__isnull=False), name="call_to_poll"
            ),
            # Lines that are to be closed, and whose contact is not called meanwhile.
            models.Index(
                fields=["hang_up_at"], condition=Q(hang_up_at__isnull=False), name="call_to_hang_up"
            ),
            models.Index(
                fields=["contact"],
                condition=Q(hang_up_at__isnull=False),
                name="call_line_open",
            ),
            # Conversations whose outcome nobody has told.
            models.Index(
                fields=["evaluate_at"],
                condition=Q(evaluate_at__isnull=False),
                name="call_to_evaluate",
            ),
            # How many calls an account has under way.
            models.Index(fields=["account"], condition=Q(status__in=LIVE), name="call_live"),
            # Progress of a campaign, and whether anything of it is still open.
            models.Index(
                fields=["campaign", "status", "outcome"],
                condition=Q(is_last_attempt=True),
                name="call_progress",
            ),
            models.Index(fields=["-created_at"], name="call_newest"),
            # How many calls each caller number has placed today.
            models.Index(
                fields=["account", "started_at", "number_from"],
                condition=~Q(number_from=""),
                name="call_number_from",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_ended(self) -> bool:
        return self.status in TERMINAL

    def queue_again(self, not_before: datetime) -> None:
        """Store that this attempt, of which it is certain that nobody was called, waits once more;
        it keeps its id, by which the provider knows it if it does after all.
        """
        self.status, self.not_before = CallStatus.QUEUED, not_before
        self.account = self.started_at = self.poll_at = None
        self.system_prompt = self.first_message = self.number_from = ""
        self.save(
            update_fields=[
                "number_from",
                "status",
                "not_before",
                "account",
                "started_at",
                "poll_at",
                "system_prompt",
                "first_message",
                "refusals",
                "refused_at",
            ]
        )

    def freeze_prompts(self) -> None:
        """Render what the agent will be told, from the campaign's template version.

        Raises `templates.rendering.MissingTag`.
        """
        version = self.campaign.template_version
        tags: dict[str, Any] = version.tag_defaults | self.prompt_tags
        self.system_prompt = parse(version.system_prompt).render(tags)
        self.first_message = parse(version.first_message).render(tags)
