"""Campaigns with their calls: launching one, and watching it."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.helpers import AdminErrorList, AdminForm
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Count, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.csrf import csrf_protect

from calls.admin.campaign_actions import ACTIONS, Action, Change, Copying
from calls.admin.launching import LaunchForm
from calls.control import NotAllowed
from calls.models import CallLog, ProviderAccount
from calls.providers import reaches_people
from calls.services import Launch
from calls.statuses import TERMINAL, CallStatus
from campaigns.admin import CampaignAdmin as BaseCampaignAdmin
from campaigns.models import ENDED_CAMPAIGN, Campaign, CampaignSource, CampaignStatus


def describe_status(campaign: Campaign) -> str:
    """The status, and when a scheduled campaign starts."""
    if campaign.status == CampaignStatus.SCHEDULED and campaign.starts_at:
        return _("scheduled for %s") % _shown(campaign.starts_at)
    return campaign.get_status_display()


def _shown(time: datetime, form: str = "DATETIME_FORMAT") -> str:
    return date_format(timezone.localtime(time), form)


def progress(campaign: Campaign) -> dict[str, Any]:
    """Where a campaign stands, as its page and the script on it show it."""
    counts = CallLog.objects.filter(campaign=campaign).counts()
    calls = reverse("admin:calls_calllog_changelist")

    def row(label: str, number: int, **filters: str) -> dict[str, Any]:
        query = urlencode({"campaign": campaign.pk} | filters)
        return {"label": label, "number": number, "url": f"{calls}?{query}"}

    return {
        "status": describe_status(campaign),
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


def _page_of(action: Action, campaign: Campaign) -> str:
    return reverse(f"admin:campaigns_campaign_{action.name}", args=[campaign.pk])


def _named_account(campaign: Campaign) -> int | None:
    return campaign.account_id or campaign.template_version.template.account_id


def _account_in_use(campaign: Campaign | None = None) -> ProviderAccount | None:
    """The account that places the calls of the campaign, or of those that name none: the one that
    `calls.accounts.account_of` finds, without making it.
    """
    accounts = ProviderAccount.objects.defer("credentials")
    if campaign and (named := _named_account(campaign)):
        return accounts.get(pk=named)
    default = accounts.filter(is_default=True).first()
    return default or accounts.filter(name=settings.CALL_PROVIDER).first()


def _provider_in_use() -> str:
    account = _account_in_use()
    return account.provider if account else settings.CALL_PROVIDER


def _hold(campaign: Campaign | None = None) -> str:
    """Why nobody of the campaign, or of those that name no account, is called just now; empty
    where calls are placed.
    """
    account = _account_in_use(campaign)
    if account is None or account.held_since is None:
        return ""
    is_today = timezone.localdate(account.held_since) == timezone.localdate()
    since = _shown(account.held_since, "TIME_FORMAT" if is_today else "DATETIME_FORMAT")
    text = _("No call is placed with the account “%(account)s” since %(since)s. %(reason)s")
    return text % {"since": since, "reason": account.hold_sentence, "account": account}


admin.site.unregister(Campaign)


@admin.register(Campaign)
class CampaignAdmin(BaseCampaignAdmin):
    list_display = [
        "__str__",
        "status_shown",
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

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def status_shown(self, campaign: Campaign) -> str:
        return describe_status(campaign)

    @admin.display(description=gettext_lazy("provider account"))
    def account_in_use(self, campaign: Campaign) -> str:
        account = _account_in_use(campaign)
        if account is None:
            return self.get_empty_value_display()
        is_named = _named_account(campaign) is not None
        return str(account) if is_named else _("%s (the default)") % account

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        given = [name for name in ("starts_at", "copied_from") if getattr(obj, name, None)]
        return [*self.fields, "account_in_use", *given]

    def get_urls(self) -> list[URLPattern]:
        def page(address: str, view: Callable[..., HttpResponse]) -> URLPattern:
            name = f"campaigns_campaign_{address}"
            return path(f"<uuid:object_id>/{address}/", self.admin_site.admin_view(view), name=name)

        return [
            page("progress", self.progress_view),
            *(page(action.name, partial(self.action_view, action=action)) for action in ACTIONS),
            *super().get_urls(),
        ]

    def progress_view(self, request: HttpRequest, object_id: UUID) -> JsonResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        campaign = get_object_or_404(Campaign, pk=object_id)
        return JsonResponse(progress(campaign))

    def _actions(self, request: HttpRequest, campaign: Campaign) -> list[dict[str, Any]]:
        """The buttons of what this user may do with the campaign now."""
        user = request.user
        return [
            {"label": action.label, "url": _page_of(action, campaign)}
            for action in ACTIONS
            if campaign.status in action.allowed_from and user.has_perms(action.permissions)
        ]

    def action_view(self, request: HttpRequest, object_id: UUID, action: Action) -> HttpResponse:
        """Ask whether to, and do so when that is confirmed by a POST."""
        if not request.user.has_perms(action.permissions):
            raise PermissionDenied
        campaign = get_object_or_404(Campaign, pk=object_id)
        if sent := self._made_of(request):
            return self._sent_before(request, sent)
        if campaign.status not in action.allowed_from:
            return self._unchanged(request, campaign)
        data = request.POST if request.method == "POST" else None
        form = action.form(data, initial={"at": campaign.starts_at})
        try:
            if not form.is_valid():
                return self._ask(request, campaign, action, form)
            if isinstance(action, Copying):
                return self._copy(request, campaign, action, form)
            return self._change(request, campaign, cast(Change, action), form)
        except NotAllowed as refused:
            return self._back(request, campaign, str(refused), messages.ERROR)

    def _ask(
        self, request: HttpRequest, campaign: Campaign, action: Action, form: forms.Form
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "original": campaign,
            "title": str(action.label).rstrip("…"),
            "action": action,
            "sentences": action.expect(campaign),
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/campaigns/campaign/confirm.html", context)

    def _change(
        self, request: HttpRequest, campaign: Campaign, action: Change, form: forms.Form
    ) -> HttpResponse:
        with transaction.atomic():
            # Whoever else acts on it waits, so that what is logged is what was changed.
            campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
            before = (campaign.status, campaign.starts_at)
            try:
                action.act(campaign, form.cleaned_data)
            except NotAllowed:
                return self._unchanged(request, campaign)
            if before == (campaign.status, campaign.starts_at):
                return self._unchanged(request, campaign)
            self.log_change(request, campaign, str(action.done))
        return self._back(request, campaign, str(action.done), messages.SUCCESS)

    def _copy(
        self, request: HttpRequest, campaign: Campaign, action: Copying, form: forms.Form
    ) -> HttpResponse:
        try:
            with transaction.atomic():
                copy = action.copy(
                    campaign,
                    request.user,
                    source=CampaignSource.ADMIN,
                    campaign_id=form.cleaned_data["token"],
                )
                self.log_addition(request, copy.campaign, [{"added": {}}])
                self.log_change(request, campaign, f"Copied: {copy.campaign.pk}")
        except IntegrityError:
            if not (sent := self._made_of(request)):
                raise
            return self._sent_before(request, sent)
        text = " ".join([str(action.done), *copy.left_out])
        return self._back(request, copy.campaign, text, messages.SUCCESS)

    def _unchanged(self, request: HttpRequest, campaign: Campaign) -> HttpResponse:
        text = _("Nothing was changed: the campaign is %s.") % describe_status(campaign)
        return self._back(request, campaign, text, messages.WARNING)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"hold": _hold()} | (extra_context or {}))

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["hold"] = "" if obj and obj.status in ENDED_CAMPAIGN else _hold(obj)
        if obj:
            context["actions"] = self._actions(request, obj)
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
        if sent := self._made_of(request):
            return self._sent_before(request, sent)
        if form.is_valid():
            try:
                with transaction.atomic():
                    launch = form.launch(request.user)
                    if launch:
                        self.log_addition(request, launch.campaign, [{"added": {}}])
            except IntegrityError:
                if not (sent := self._made_of(request)):
                    raise
                return self._sent_before(request, sent)
            if launch:
                return self._launched(request, launch)
        return self._render_launch_form(request, form)

    def _launched(self, request: HttpRequest, launch: Launch) -> HttpResponse:
        number = len(launch.calls)
        match launch.campaign.status:
            case CampaignStatus.DRAFT:
                text = ngettext(
                    "The campaign was saved as a draft: %d call.",
                    "The campaign was saved as a draft: %d calls.",
                    number,
                )
            case CampaignStatus.SCHEDULED:
                text = ngettext(
                    "The campaign was scheduled: %d call.",
                    "The campaign was scheduled: %d calls.",
                    number,
                )
            case _:
                text = ngettext(
                    "The campaign was launched: %d call.",
                    "The campaign was launched: %d calls.",
                    number,
                )
        return self._back(request, launch.campaign, text % number, messages.SUCCESS)

    def _made_of(self, request: HttpRequest) -> Campaign | None:
        """The campaign that the form was made into when it was sent before."""
        try:
            token = UUID(request.POST.get("token", ""))
        except ValueError:
            return None
        return Campaign.objects.filter(pk=token).first()

    def _sent_before(self, request: HttpRequest, campaign: Campaign) -> HttpResponse:
        text = _("This form was sent before, and this campaign was made of it.")
        return self._back(request, campaign, text, messages.WARNING)

    def _back(
        self, request: HttpRequest, campaign: Campaign, text: str, level: int
    ) -> HttpResponse:
        self.message_user(request, text, level)
        return HttpResponseRedirect(reverse("admin:campaigns_campaign_change", args=[campaign.pk]))

    def _render_launch_form(self, request: HttpRequest, form: LaunchForm) -> HttpResponse:
        names = [
            "name",
            "template",
            "account",
            "country_code",
            "batch_size",
            "file",
            "update_existing",
            "start",
            "starts_at",
            "token",
        ]
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
