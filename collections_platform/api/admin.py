"""API clients for staff. A client's secret is shown once, when the client is added."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from campaigns.admin import Record
from collections_platform.api.models import ApiClient, ClientSecret, Scope, all_scopes


class ApiClientForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=Scope.choices,
        initial=all_scopes,
        widget=forms.CheckboxSelectMultiple,
    )


class ClientSecretInline(Record, admin.TabularInline):
    """That there are secrets, never what they are."""

    model = ClientSecret
    fields = ["created_at", "expires_at", "revoked_at"]


@admin.register(ApiClient)
class ApiClientAdmin(admin.ModelAdmin):
    form = ApiClientForm
    list_display = ["name", "id", "created_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    list_per_page = 50
    ordering = ["name"]
    search_fields = ["name", "=id"]
    readonly_fields = ["id", "created_at"]
    inlines = [ClientSecretInline]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["name", "scopes", *(["revoked_at", "id", "created_at"] if obj else [])]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else []

    def save_model(self, request: HttpRequest, obj: ApiClient, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            text = _("Client id: {} Client secret, shown only this once: {}")
            client_id = format_html("<code>{}</code><br>", obj.pk)
            secret = format_html("<code>{}</code>", obj.add_secret())
            self.message_user(request, format_html(str(text), client_id, secret), messages.WARNING)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
