"""Campaigns with their calls: launching one, and watching it."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.csrf import csrf_protect

from calls.admin.launching import LaunchForm
from calls.models import CallLog, ProviderAccount
from calls.providers import reaches_people
from calls.statuses import TERMINAL, CallStatus
from campaigns.admin import CampaignAdmin as BaseCampaignAdmin
from campaigns.models import ENDED_CAMPAIGN, Campaign


def progress(campaign: Campaign) -> dict[str, Any]:
    """Where a campaign stands, as its page and the script on it show it."""
    counts = CallLog.objects.filter(campaign=campaign).counts()
    calls = reverse("admin:calls_calllog_changelist")

    def row(label: str, number: int, **filters: str) -> dict[str, Any]:
        query = urlencode({"campaign": campaign.pk} | filters)
        return {"label": label, "number": number, "url": f"{calls}?{query}"}

    return {
        "status": campaign.get_status_display(),
        "isEnded": campaign.status in ENDED_CAMPAIGN,
        "total": sum(counts["status"].values()),
        "ended": sum(counts["status"].get(status, 0) for status in TERMINAL),
        "statuses": [
            row(str(status.label), counts["status"][status], status__exact=status.value)
            for status in CallStatus
            if status in counts["status"]
        ],
        "outcomes": [
            row(outcome, number, outcome=outcome)
            for outcome, number in sorted(
                counts["outcome"].items(), key=lambda item: (-item[1], item[0])
            )
        ],
    }


def _number(**which: Any) -> Coalesce:
    """How many calls (each by its last attempt) the campaign of a row has."""
    calls = CallLog.objects.last_attempts().filter(campaign=OuterRef("pk"), **which)
    number = calls.order_by().values("campaign").annotate(number=Count("pk")).values("number")
    return Coalesce(Subquery(number), 0, output_field=IntegerField())


def _provider_in_use() -> str:
    account = ProviderAccount.objects.filter(is_default=True).first()
    return account.provider if account else settings.CALL_PROVIDER


admin.site.unregister(Campaign)


@admin.register(Campaign)
class CampaignAdmin(BaseCampaignAdmin):
    list_display = [
        "__str__",
        "status",
        "calls_ended",
        "template_version",
        "created_at",
        "source",
        "requested_by",
    ]
    add_form_template = "admin/campaigns/campaign/launch.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .annotate(total=_number(), ended=_number(status__in=TERMINAL))
        )

    @admin.display(description=gettext_lazy("calls ended"))
    def calls_ended(self, campaign: Any) -> str:
        return _("%(ended)d of %(total)d") % {"ended": campaign.ended, "total": campaign.total}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.progress_view)
        address = path("<uuid:object_id>/progress/", view, name="campaigns_campaign_progress")
        return [address, *super().get_urls()]

    def progress_view(self, request: HttpRequest, object_id: UUID) -> JsonResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        campaign = get_object_or_404(Campaign, pk=object_id)
        return JsonResponse(progress(campaign))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        if obj:
            calls = CallLog.objects.filter(campaign=obj, account__isnull=False)
            placed = calls.select_related("account")[:1]
            context["progress"] = progress(obj)
            context["is_simulated"] = any(
                call.account and not reaches_people(call.account.provider) for call in placed
            )
        return super().render_change_form(request, context, add, change, form_url, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    @method_decorator(csrf_protect)
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = LaunchForm(request.POST or None, request.FILES or None)
        if form.is_valid() and (launch := form.launch(request.user)):
            campaign = launch.campaign
            self.log_addition(request, campaign, [{"added": {}}])
            text = ngettext(
                "The campaign was launched: %d call.",
                "The campaign was launched: %d calls.",
                len(launch.calls),
            )
            self.message_user(request, text % len(launch.calls), messages.SUCCESS)
            return HttpResponseRedirect(
                reverse("admin:campaigns_campaign_change", args=[campaign.pk])
            )
        return self._render_launch_form(request, form)

    def _render_launch_form(self, request: HttpRequest, form: LaunchForm) -> HttpResponse:
        names = ["name", "template", "country_code", "batch_size", "file", "update_existing"]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Add campaign"),
            "adminform": AdminForm(form, [(None, {"fields": names})], {}, model_admin=self),
            "form": form,
            "is_simulated": not reaches_people(_provider_in_use()),
            "errors": AdminErrorList(form, []),
            "media": self.media + form.media,
            "inline_admin_formsets": [],
            "is_popup": False,
            "original": None,
        }
        return self.render_change_form(request, context, add=True)
