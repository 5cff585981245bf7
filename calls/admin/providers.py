"""Provider accounts and what the providers told."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from calls.admin.links import link_to_call
from calls.models import ProviderAccount, ProviderEvent
from calls.providers import PROVIDERS, reaches_people
from campaigns.admin import Record


class ProviderAccountForm(forms.ModelForm):
    provider = forms.ChoiceField(
        label=_("Provider"), choices=[(name, name) for name in sorted(PROVIDERS)]
    )

    def clean(self) -> None:
        super().clean()
        provider = self.cleaned_data.get("provider") or self.instance.provider
        if (
            self.cleaned_data.get("is_default")
            and provider in PROVIDERS
            and not reaches_people(provider)
            and not settings.ALLOW_SIMULATED
        ):
            self.add_error(
                "is_default", _("This provider reaches nobody, and ALLOW_SIMULATED is not set.")
            )

    def _get_validation_exclusions(self) -> set[str]:
        # That there is one default is not for the user to mend: saving switches over.
        return super()._get_validation_exclusions() | {"is_default"}  # type: ignore[misc,no-any-return]


@admin.register(ProviderAccount)
class ProviderAccountAdmin(admin.ModelAdmin):
    form = ProviderAccountForm
    list_display = ["name", "provider", "reaches_people", "is_default", "created_at"]
    ordering = ["name"]
    fields = ["name", "provider", "is_default", "created_at"]

    @admin.display(description=_("reaches people"), boolean=True)
    def reaches_people(self, account: ProviderAccount) -> bool:
        return reaches_people(account.provider)

    def get_readonly_fields(
        self, request: HttpRequest, obj: ProviderAccount | None = None
    ) -> list[Any] | tuple[Any, ...]:
        # The account's calls were placed with this provider.
        return ["created_at", "provider"] if obj else ["created_at"]

    def save_model(
        self, request: HttpRequest, obj: ProviderAccount, form: Any, change: bool
    ) -> None:
        if obj.is_default:
            others = ProviderAccount.objects.exclude(pk=obj.pk).filter(is_default=True)
            others.update(is_default=False)
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ProviderEvent)
class ProviderEventAdmin(Record, admin.ModelAdmin):
    list_display = ["event_id", "kind", "account", "call_link", "occurred_at", "received_at"]
    list_filter = ["kind", "account"]
    list_select_related = ["account"]
    list_per_page = 50
    show_full_result_count = False
    ordering = ["-pk"]
    fields = ["account", "event_id", "kind", "call", "occurred_at", "received_at"]

    @admin.display(description=_("call"))
    def call_link(self, event: ProviderEvent) -> str | None:
        return link_to_call(event.call_id)
