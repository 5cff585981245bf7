"""API clients for staff. A secret is shown once, in the answer that makes it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.admin import Record
from collections_platform.api.models import (
    ApiClient,
    ClientSecret,
    Scope,
    SecretRefused,
    all_scopes,
)


class ApiClientForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"),
        choices=Scope.choices,
        initial=all_scopes,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("What the client may do, from its next request on."),
    )


class NewSecretForm(forms.Form):
    expires_in_days = forms.IntegerField(
        label=gettext_lazy("Days until it expires"),
        required=False,
        min_value=1,
        max_value=3650,
        help_text=gettext_lazy("Left empty: it does not expire."),
    )

    def expires_at(self) -> Any:
        days = self.cleaned_data["expires_in_days"]
        return timezone.now() + timedelta(days=days) if days else None


class ClientSecretInline(Record, admin.TabularInline):
    """That there are secrets, never what they are."""

    model = ClientSecret
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("client").defer("digest")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["created_at", "expires_at", "revoked_at", "last_used_at"]
        may_revoke = request.user.has_perm("api.change_apiclient")
        return [*fields, "revoke_link"] if may_revoke else fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        return user.has_perm("api.view_apiclient") or user.has_perm("api.change_apiclient")

    @admin.display(description=gettext_lazy("revoke"))
    def revoke_link(self, secret: ClientSecret) -> str:
        if not secret.is_live or secret.client.revoked_at:
            return ""
        address = reverse("admin:api_clientsecret_revoke", args=[secret.client_id, secret.pk])
        return format_html('<a href="{}">{}</a>', address, _("Revoke…"))


@admin.register(ApiClient)
class ApiClientAdmin(admin.ModelAdmin):
    form = ApiClientForm
    list_display = ["name", "id", "created_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_per_page = 50
    ordering = ["name"]
    search_fields = ["name", "=id"]
    readonly_fields = ["revoked_at", "id", "created_at"]
    inlines = [ClientSecretInline]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["name", "scopes", *(self.readonly_fields if obj else [])]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        def page(address: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(f"<uuid:client_id>/{address}", self.admin_site.admin_view(view), name=name)

        return [
            page("new-secret/", self.new_secret_view, "api_clientsecret_new"),
            page("revoke/", self.revoke_view, "api_apiclient_revoke"),
            page("secrets/<int:secret_id>/revoke/", self.revoke_secret, "api_clientsecret_revoke"),
            *super().get_urls(),
        ]

    def response_add(
        self, request: HttpRequest, obj: ApiClient, post_url_continue: Any = None
    ) -> HttpResponse:
        return self._show_secret(request, obj, obj.add_secret())

    def new_secret_view(self, request: HttpRequest, client_id: UUID) -> HttpResponse:
        client = self._changeable(request, client_id)
        form = NewSecretForm(request.POST or None)
        if request.method != "POST" or not form.is_valid():
            text = _("A client may have two live secrets at once, so that one can replace another.")
            return self._ask(request, client, _("New secret"), text, _("Make a secret"), form)
        try:
            with transaction.atomic():
                secret = client.add_secret(form.expires_at())
                self.log_change(request, client, "Added a secret.")
        except SecretRefused as refused:
            return self._back(request, client, str(refused), messages.ERROR)
        return self._show_secret(request, client, secret)

    def revoke_view(self, request: HttpRequest, client_id: UUID) -> HttpResponse:
        client = self._changeable(request, client_id)
        if request.method != "POST":
            text = _("All secrets and tokens of the client end at once. This cannot be undone.")
            return self._ask(request, client, _("Revoke the client"), text, _("Yes, revoke"))
        with transaction.atomic():
            if is_new := client.revoke():
                self.log_change(request, client, "Revoked the client.")
        text = _("The client was revoked.") if is_new else _("The client was revoked before.")
        return self._back(request, client, text, messages.SUCCESS if is_new else messages.WARNING)

    def revoke_secret(self, request: HttpRequest, client_id: UUID, secret_id: int) -> HttpResponse:
        client = self._changeable(request, client_id)
        secret = get_object_or_404(client.secrets, pk=secret_id)
        if request.method != "POST":
            made_at = date_format(timezone.localtime(secret.created_at), "DATETIME_FORMAT")
            text = _("The secret made at %s and all its tokens end at once.") % made_at
            text += " " + _("This cannot be undone.")
            return self._ask(request, client, _("Revoke a secret"), text, _("Yes, revoke"))
        with transaction.atomic():
            if is_new := secret.revoke():
                self.log_change(request, client, f"Revoked the secret made at {secret} UTC.")
        text = _("The secret was revoked.") if is_new else _("The secret was revoked before.")
        return self._back(request, client, text, messages.SUCCESS if is_new else messages.WARNING)

    def _changeable(self, request: HttpRequest, client_id: UUID) -> ApiClient:
        if not self.has_change_permission(request):
            raise PermissionDenied
        return get_object_or_404(ApiClient, pk=client_id)

    def _ask(
        self,
        request: HttpRequest,
        client: ApiClient,
        title: str,
        text: str,
        button: str,
        form: forms.Form | None = None,
    ) -> HttpResponse:
        context = {"title": title, "text": text, "button": button, "form": form}
        return self._render(request, client, "confirm", context)

    def _show_secret(self, request: HttpRequest, client: ApiClient, secret: str) -> HttpResponse:
        context = {"title": _("The secret, shown only this once"), "secret": secret}
        return self._render(request, client, "secret", context)

    def _render(
        self, request: HttpRequest, client: ApiClient, page: str, context: dict[str, Any]
    ) -> HttpResponse:
        context |= self.admin_site.each_context(request) | {
            "opts": self.opts,
            "original": client,
            "title": context["title"],
            "media": self.media,
        }
        return TemplateResponse(request, f"admin/api/apiclient/{page}.html", context)

    def _back(self, request: HttpRequest, client: ApiClient, text: str, level: int) -> HttpResponse:
        self.message_user(request, text, level)
        return HttpResponseRedirect(reverse("admin:api_apiclient_change", args=[client.pk]))
