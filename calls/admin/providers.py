"""Provider accounts and what the providers told."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from calls.admin.links import link_to_call
from calls.models import ProviderAccount, ProviderEvent
from calls.pacing import retry_now
from calls.providers import PROVIDERS, callback_url, reaches_people
from calls.webhooks.addresses import validate_address
from calls.webhooks.signing import validate_secret
from campaigns.admin import Record
from campaigns.clock import database_now

# What a new account may do until staff say otherwise: a mistake in the first campaign then rings
# few telephones.
FIRST_PACE = {"max_live": 10, "calls_per_second": 1}
AGENT = "http"


class ProviderAccountForm(forms.ModelForm):
    provider = forms.ChoiceField(
        label=_("Provider"),
        choices=[(name, name) for name in sorted(PROVIDERS)],
        help_text=_(
            "http: an agent of your own. simulated: reaches nobody, and starts without limits."
        ),
    )
    agent_url = forms.CharField(
        label=_("Agent's address"),
        required=False,
        max_length=2000,
        widget=forms.URLInput(attrs={"class": "vURLField"}),
        help_text=_("Only for http. Calls are placed at /calls below it."),
    )
    agent_secret = forms.CharField(
        label=_("Agent's secret"),
        required=False,
        widget=forms.PasswordInput(attrs={"class": "vTextField", "autocomplete": "off"}),
        help_text=_(
            "Only for http: whsec_ and the base64 of 24 to 64 random bytes. It signs what is sent"
            " both ways, and is not shown again. Left empty, the one that is stored stays."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["agent_url"] = self.instance.settings.get("url", "")
        else:
            self.initial = {**FIRST_PACE, **self.initial}

    def clean_agent_url(self) -> str:
        url = str(self.cleaned_data["agent_url"]).rstrip("/")
        if url and "agent_url" in self.changed_data:
            validate_address(url)
            if "?" in url or "#" in url:
                raise ValidationError(_("Give an address without ? and #."))
        return url

    def clean_agent_secret(self) -> str:
        secret: str = self.cleaned_data["agent_secret"]
        if secret:
            validate_secret(secret)
        return secret

    def clean(self) -> None:
        super().clean()
        provider = self.cleaned_data.get("provider") or self.instance.provider
        if provider in PROVIDERS and not reaches_people(provider):
            self._clean_simulated()
        if provider == AGENT:
            self._clean_agent()

    def _clean_simulated(self) -> None:
        if self.cleaned_data.get("is_default") and not settings.ALLOW_SIMULATED:
            self.add_error(
                "is_default", _("This provider reaches nobody, and ALLOW_SIMULATED is not set.")
            )
        if self.instance.pk is None:
            # The limits that a new account starts with are there for those who answer telephones.
            for name in FIRST_PACE.keys() - self.changed_data:
                self.cleaned_data[name] = None

    def _clean_agent(self) -> None:
        known = self.instance.credentials if self.instance.pk else ""
        if not self.cleaned_data.get("agent_url", True):
            self.add_error("agent_url", _("An agent has an address."))
        if not (known or self.cleaned_data.get("agent_secret", True)):
            self.add_error("agent_secret", _("An agent has a secret."))

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if (self.cleaned_data.get("provider") or self.instance.provider) != AGENT:
            return
        if url := self.cleaned_data.get("agent_url"):
            self.instance.settings = self.instance.settings | {"url": url}
        if secret := self.cleaned_data.get("agent_secret"):
            known = json.loads(self.instance.credentials or "{}")
            self.instance.credentials = json.dumps(known | {"secret": secret})

    def _get_validation_exclusions(self) -> set[str]:
        # That there is one default is not for the user to mend: saving switches over.
        return super()._get_validation_exclusions() | {"is_default"}  # type: ignore[misc,no-any-return]


@admin.register(ProviderAccount)
class ProviderAccountAdmin(admin.ModelAdmin):
    form = ProviderAccountForm
    list_display = [
        "name",
        "provider",
        "reaches_people",
        "is_default",
        "max_live",
        "calls_per_second",
        "takes_calls",
    ]
    ordering = ["name"]

    @admin.display(description=_("reaches people"), boolean=True)
    def reaches_people(self, account: ProviderAccount) -> bool:
        return reaches_people(account.provider)

    @admin.display(description=_("takes calls"), boolean=True)
    def takes_calls(self, account: ProviderAccount) -> bool:
        return not account.is_held

    @admin.display(description=_("agent's address"))
    def agent_url(self, account: ProviderAccount) -> str:
        return str(account.settings.get("url", ""))

    @admin.display(description=_("agent's secret"))
    def agent_secret(self, account: ProviderAccount) -> str | None:
        return _now("stored") if account.credentials else None

    @admin.display(description=_("address for events"))
    def events_address(self, account: ProviderAccount) -> str:
        return callback_url(account) or _now(
            "None: PUBLIC_URL is not set, the agent is only asked."
        )

    @admin.display(description=_("state"))
    def state(self, account: ProviderAccount) -> str:
        if account.held_since is None or account.held_until is None:
            return _now("Takes calls.")
        when = {"since": _shown(account.held_since), "until": _shown(account.held_until)}
        if account.held_until <= database_now():
            text = _now("Held since %(since)s; the next call that is due is tried.")
        else:
            text = _now("Held since %(since)s; one call is tried at %(until)s.")
        return f"{account.hold_sentence} {text % when}"

    def get_fields(self, request: HttpRequest, obj: ProviderAccount | None = None) -> Any:
        fields = ["name", "provider", "is_default", "max_live", "calls_per_second"]
        if obj is None:
            return [*fields, "agent_url", "agent_secret"]
        agent = ["agent_url", "agent_secret", "events_address"] if obj.provider == AGENT else []
        return [*fields, *agent, "state", "created_at"]

    def get_readonly_fields(
        self, request: HttpRequest, obj: ProviderAccount | None = None
    ) -> list[Any] | tuple[Any, ...]:
        # The account's calls were placed with this provider.
        return ["provider", "events_address", "state", "created_at"] if obj else []

    def save_model(
        self, request: HttpRequest, obj: ProviderAccount, form: Any, change: bool
    ) -> None:
        if obj.is_default:
            others = ProviderAccount.objects.exclude(pk=obj.pk).filter(is_default=True)
            others.update(is_default=False)
        if change:  # workers may be writing the others
            limits = ["max_live", "calls_per_second"]
            obj.save(update_fields=["name", "is_default", *limits, "settings", "credentials"])
        else:
            super().save_model(request, obj, form, change)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.retry_view))
        name = "calls_provideraccount_retry"
        return [path("<int:object_id>/retry/", view, name=name), *super().get_urls()]

    def retry_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Have a held account tried again now."""
        account = get_object_or_404(ProviderAccount, pk=object_id)
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        if not account.is_held:
            self.message_user(request, _("The account takes calls already."))
        else:
            retry_now(account)
            self.log_change(request, account, "To be tried again now.")
            self.message_user(
                request, _("The next call that is due is tried. If it is taken, others follow.")
            )
        return redirect("admin:calls_provideraccount_change", account.pk)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Refused while anything refers to the account; Django's own page would list it all."""
        account = self.get_object(request, unquote(object_id))
        if account and self.has_delete_permission(request, account) and _is_used(account):
            text = _(
                "The account cannot be deleted: calls or events of it are stored, and name it. Make"
                " another account the default if no more calls are to be placed with it."
            )
            self.message_user(request, text, messages.ERROR)
            return redirect("admin:calls_provideraccount_change", account.pk)
        return super().delete_view(request, object_id, extra_context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one by one, which says what is in the way
        return actions


def _shown(time: Any) -> str:
    return date_format(timezone.localtime(time), "DATETIME_FORMAT")


def _is_used(account: ProviderAccount) -> bool:
    """Does any row refer to the account?"""
    return any(
        relation.related_model._base_manager.filter(**{relation.field.name: account}).exists()
        for relation in account._meta.related_objects
    )


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
