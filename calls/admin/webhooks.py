"""Webhook endpoints, and what they were told."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from calls.admin.links import link_to_call, link_to_campaign
from calls.models import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookSecret
from calls.models.webhook import (
    SUBSCRIBABLE,
    EventType,
    WebhookDeliveryQuerySet,
    default_events,
)
from calls.queue import wake
from calls.webhooks.addresses import validate_address, validate_destination
from calls.webhooks.delivery import send_test
from calls.webhooks.replay import replay
from campaigns.admin import Record


class WebhookEndpointForm(forms.ModelForm):
    class Meta:
        widgets = {"url": forms.URLInput(attrs={"class": "vURLField"})}

    events = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[(event.value, event.label) for event in SUBSCRIBABLE],
        initial=default_events,
        widget=forms.CheckboxSelectMultiple,
    )
    is_enabled = forms.BooleanField(
        label=_("Enabled"),
        required=False,
        help_text=_("A disabled endpoint is sent nothing; what is already due waits for it."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["is_enabled"] = self.instance.disabled_at is None

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if "url" in self.changed_data:
            validate_address(url)
            validate_destination(url)
        return url


class WebhookSecretInline(Record, admin.TabularInline):
    """That there are secrets, never what they are."""

    model = WebhookSecret
    fields = ["created_at", "expires_at"]
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("value")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(admin.ModelAdmin):
    form = WebhookEndpointForm
    list_display = [
        "url",
        "description",
        "form",
        "is_enabled",
        "failing_since",
        "last_success_at",
        "created_at",
    ]
    list_per_page = 50
    ordering = ["-created_at"]
    search_fields = ["url", "description", "=id"]
    readonly_fields = ["disabled_at", "failing_since", "last_success_at", "id", "created_at"]
    inlines = [WebhookSecretInline]

    @admin.display(description=_("enabled"), boolean=True, ordering="disabled_at")
    def is_enabled(self, endpoint: WebhookEndpoint) -> bool:
        return endpoint.disabled_at is None

    def save_model(
        self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool
    ) -> None:
        saved = ["url", "description", "events", "form"]
        if not form.cleaned_data["is_enabled"]:
            obj.disable()
            saved += ["disabled_at", "failing_since"]
        elif obj.disabled_at:
            obj.enable()
            saved += ["disabled_at", "failing_since"]
            wake("deliver_webhooks")
        if change:
            obj.save(update_fields=saved)  # a worker may be writing the others
        else:
            super().save_model(request, obj, form, change)
            self._add_secret(request, obj)

    def _add_secret(self, request: HttpRequest, endpoint: WebhookEndpoint) -> None:
        text = _("The signing secret, shown only this once: {}")
        secret = format_html("<code>{}</code>", endpoint.add_secret())
        self.message_user(request, format_html(str(text), secret), messages.WARNING)

    def get_urls(self) -> list[URLPattern]:
        views = {"new-secret": self.new_secret_view, "test": self.test_view}
        addresses = [
            path(
                f"<uuid:object_id>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"calls_webhookendpoint_{name.replace('-', '_')}",
            )
            for name, view in views.items()
        ]
        return [*addresses, *super().get_urls()]

    def _changeable(self, request: HttpRequest, object_id: UUID) -> WebhookEndpoint:
        endpoint = get_object_or_404(WebhookEndpoint, pk=object_id)
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        return endpoint

    def new_secret_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        endpoint = self._changeable(request, object_id)
        self._add_secret(request, endpoint)
        self.log_change(request, endpoint, "New secret.")
        return redirect("admin:calls_webhookendpoint_change", endpoint.pk)

    def test_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        endpoint = self._changeable(request, object_id)
        if endpoint.disabled_at:
            self.message_user(request, _("Enable the endpoint first."), messages.ERROR)
        else:
            delivery = send_test(endpoint)
            is_taken = delivery.status == DeliveryStatus.DELIVERED
            text = _("The test event was taken: {}") if is_taken else _("It was not taken: {}")
            link = reverse("admin:calls_webhookdelivery_change", args=[delivery.pk])
            result = format_html('<a href="{}">{}</a>', link, delivery.last_result)
            level = messages.SUCCESS if is_taken else messages.ERROR
            self.message_user(request, format_html(str(text), result), level)
        return redirect("admin:calls_webhookendpoint_change", endpoint.pk)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        asked = ["url", "description", "events", "form", "is_enabled"]
        return [*asked, *self.readonly_fields] if obj else asked

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(Record, admin.ModelAdmin):
    list_display = [
        "created_at",
        "endpoint",
        "subject",
        "status",
        "tries",
        "last_result",
        "due_at",
    ]
    list_filter = ["status", "event_type", "endpoint"]
    list_select_related = ["endpoint"]
    list_per_page = 50
    show_full_result_count = False
    ordering = ["-created_at"]
    search_fields = ["=id", "=call__id", "=campaign__id"]
    search_help_text = _("Webhook id, attempt id or campaign id")
    fields = [
        "id",
        "endpoint",
        "event_type",
        "subject",
        "status",
        "tries",
        "last_result",
        "due_at",
        "created_at",
        "delivered_at",
    ]

    actions = ["replay"]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["can_replay"] = self.has_replay_permission(request)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.action(description=_("Send selected deliveries again"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: WebhookDeliveryQuerySet) -> None:
        with transaction.atomic():
            LogEntry.objects.log_actions(str(request.user.pk), queryset, CHANGE, "Sent again.")
            number = replay(queryset)
        text = ngettext("%d delivery is due again.", "%d deliveries are due again.", number)
        self.message_user(request, text % number, messages.SUCCESS)

    @admin.display(description=_("about"))
    def subject(self, delivery: WebhookDelivery) -> str | None:
        if delivery.event_type == EventType.WEBHOOK_TEST:
            return delivery.get_event_type_display()
        if delivery.campaign_id:
            return link_to_campaign(delivery.campaign_id)
        return link_to_call(delivery.call_id)

    @admin.display(description=_("next attempt at"), ordering="next_attempt_at")
    def due_at(self, delivery: WebhookDelivery) -> Any:
        return delivery.next_attempt_at if delivery.status == DeliveryStatus.PENDING else None
