"""Calls for staff: every attempt, as it was asked for, as it was dialled, and what it brought."""

import re
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from calls.admin.links import link_to_call
from calls.admin.playing import LISTEN, play
from calls.models import CallLog, ProviderEvent, Recording, RecordingStatus, WebhookDelivery
from calls.providers import reaches_people
from campaigns.admin import Record
from campaigns.models import Campaign
from templates.models import TemplateVersion

CAMPAIGNS_TO_CHOOSE_FROM = 10


class CampaignFilter(admin.SimpleListFilter):
    """The newest campaigns, and the one that is chosen: all of them would be too many."""

    title = gettext_lazy("campaign")
    parameter_name = "campaign"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        campaigns = list(Campaign.objects.order_by("-created_at")[:CAMPAIGNS_TO_CHOOSE_FROM])
        chosen = self.chosen()
        if chosen and chosen not in {campaign.pk for campaign in campaigns}:
            campaigns += Campaign.objects.filter(pk=chosen)
        return [(str(campaign.pk), str(campaign)) for campaign in campaigns]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        chosen = self.chosen()
        return queryset.filter(campaign=chosen) if chosen else queryset

    def chosen(self) -> UUID | None:
        value = self.value()
        try:
            return UUID(value) if value else None
        except ValueError as error:
            raise IncorrectLookupParameters from error


class OutcomeFilter(admin.SimpleListFilter):
    """The words of all templates, for those of all calls would have to be looked for in them."""

    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        lists = TemplateVersion.objects.values_list("outcomes", flat=True)
        words = sorted({outcome["word"] for outcomes in lists for outcome in outcomes})
        return [(word, word) for word in words]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


class DeliveryInline(Record, admin.TabularInline):
    model = WebhookDelivery
    fields = ["endpoint", "event_type", "status", "tries", "last_result", "delivered_at"]
    ordering = ["created_at"]
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("endpoint")


class EventInline(Record, admin.TabularInline):
    model = ProviderEvent
    fields = ["kind", "event_id", "occurred_at", "received_at"]
    ordering = ["occurred_at"]


@admin.register(CallLog)
class CallLogAdmin(Record, admin.ModelAdmin):
    list_display = [
        "phone_number",
        "contact",
        "campaign",
        "status_shown",
        "outcome",
        "duration",
        "ended_at",
    ]
    list_filter = ["status", OutcomeFilter, CampaignFilter, "account"]
    list_select_related = ["contact", "campaign", "account"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-created_at"]
    search_fields = ["phone_number"]
    search_help_text = gettext_lazy("Call id, attempt id, or a part of the number")
    inlines = [DeliveryInline, EventInline]
    fieldsets = [
        (
            gettext_lazy("Person and campaign"),
            {
                "fields": [
                    "phone_number",
                    "contact",
                    "campaign",
                    "place",
                    "prompt_tags",
                    "metadata",
                    "debt_reference",
                    "consent",
                ]
            },
        ),
        (
            gettext_lazy("Where it is"),
            {
                "fields": [
                    "status_shown",
                    "ended_reason",
                    "call_id",
                    "attempt_id",
                    "attempts",
                    "created_at",
                    "not_before",
                    "started_at",
                    "answered_at",
                    "ended_at",
                ]
            },
        ),
        (
            gettext_lazy("As dialled"),
            {
                "fields": [
                    "account",
                    "provider_call_id",
                    "number_from",
                    "system_prompt",
                    "first_message",
                ]
            },
        ),
        (
            gettext_lazy("What it brought"),
            {
                "fields": [
                    "duration",
                    "outcome",
                    "outcome_reasoning",
                    "sentiment",
                    "sentiment_reasoning",
                    "summary",
                    "transcript",
                ]
            },
        ),
    ]

    class Media:
        css = {"all": ["calls/admin.css"]}

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            uuid = UUID(term)
        except ValueError:
            digits = re.sub(r"\D", "", term).lstrip("0")
            if not digits:
                return queryset.none(), False
            return queryset.filter(contact__phone_number__contains=digits), False
        return queryset.filter(Q(pk=uuid) | Q(call_id=uuid)), False

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["is_simulated"] = obj.account and not reaches_people(obj.account.provider)
        context["recording"] = Recording.objects.filter(pk=obj.pk).first()
        context["may_listen"] = request.user.has_perm(LISTEN)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_urls(self) -> list[Any]:
        play = self.admin_site.admin_view(require_safe(self.play_recording))
        address = path("<uuid:pk>/recording/", play, name="calls_calllog_recording")
        return [address, *super().get_urls()]

    def play_recording(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """The recording of a call, for those who may listen to it; whoever does is logged."""
        if not self.has_view_permission(request) or not request.user.has_perm(LISTEN):
            raise PermissionDenied
        stored = Recording.objects.filter(status=RecordingStatus.STORED).select_related("call")
        return play(request, get_object_or_404(stored, pk=pk))

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def status_shown(self, call: CallLog) -> str:
        status = call.get_status_display()
        if call.account and not reaches_people(call.account.provider):
            return _("%s (simulated)") % status
        return status

    @admin.display(description=gettext_lazy("duration"), ordering="duration_seconds")
    def duration(self, call: CallLog) -> str | None:
        minutes, seconds = divmod(call.duration_seconds, 60)
        return f"{minutes}:{seconds:02}" if call.answered_at else None

    @admin.display(description=gettext_lazy("attempt id"))
    def attempt_id(self, call: CallLog) -> UUID:
        return call.pk

    @admin.display(description=gettext_lazy("place in the request"))
    def place(self, call: CallLog) -> int:
        return call.position + 1

    @admin.display(description=gettext_lazy("attempts"))
    def attempts(self, call: CallLog) -> str:
        attempts = CallLog.objects.filter(call_id=call.call_id).order_by("attempt")
        rows = ((self._attempt(attempt, call),) for attempt in attempts)
        return format_html_join(mark_safe("<br>"), "{}", rows)

    def _attempt(self, attempt: CallLog, shown: CallLog) -> str:
        text = f"{attempt.attempt}: {attempt.get_status_display()}"
        if attempt == shown:
            return _("%s (this one)") % text
        return str(link_to_call(attempt.pk, text))
