"""Provider accounts and what the providers told."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import CASCADE
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from calls.account_check import check_account
from calls.admin.links import link_to_call
from calls.admin.trial_call import TestCallForm
from calls.models import CallerNumber, ProviderAccount, ProviderEvent
from calls.pacing import retry_now
from calls.providers import PROVIDERS, callback_url, reaches_people
from calls.providers.base import AccountField, Provider
from campaigns.admin import Record
from campaigns.clock import database_now
from contacts.phone_numbers import UnusableNumber, to_e164

# What a new account may do until staff say otherwise: a mistake in the first campaign then rings
# few telephones.
FIRST_PACE = {"max_live": 10, "calls_per_second": 1}
MAX_VALUE = 2000  # characters of a provider's setting or secret


def fields_of(provider: str) -> tuple[AccountField, ...]:
    """What an account with this provider is asked for; nothing if no provider has the name."""
    return PROVIDERS[provider].fields if provider in PROVIDERS else ()


def form_name(provider: str, field: AccountField) -> str:
    """The name of the provider's field in the form: two providers may name theirs alike."""
    return f"{provider}_{field.name}"


def _form_field(field: AccountField, stored: object) -> forms.Field:
    """`stored`: the setting as it stands. A secret is never given to the form."""
    told: dict[str, Any] = {"label": _now(field.label), "required": False}
    # The translation of an empty text is the catalogue's head.
    help_text = _now(field.help_text) if field.help_text else ""
    if field.is_secret:
        stays = _now("Not shown again. Left empty, the one that is stored stays.")
        told["help_text"] = f"{help_text} {stays}".strip()
        hidden = forms.PasswordInput(attrs={"class": "vTextField", "autocomplete": "off"})
        return forms.CharField(**told, max_length=MAX_VALUE, widget=hidden)
    told |= {"help_text": help_text, "initial": stored}
    if field.choices:
        named = [(choice, choice) for choice in field.choices]
        return forms.ChoiceField(**told, choices=[("", "---------"), *named])
    widget = forms.TextInput(attrs={"class": "vURLField"})  # as wide as an address
    return forms.CharField(**told, max_length=MAX_VALUE, widget=widget)


class ProviderAccountForm(forms.ModelForm):
    """The account and, of each provider that it may be with, the fields that the provider names;
    those of the other providers are ignored.
    """

    class Media:
        js = [Script("calls/provider_fields.js", defer=True)]

    provider = forms.ChoiceField(
        label=_("Provider"),
        choices=lambda: [(name, name) for name in sorted(PROVIDERS)],
        help_text=_(
            "http: an agent of your own. simulated: reaches nobody, and starts without limits."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance.pk is None
        for provider in sorted(PROVIDERS) if is_new else [self.instance.provider]:
            for field in fields_of(provider):
                stored = self.instance.settings.get(field.name, "")
                self.fields[form_name(provider, field)] = _form_field(field, stored)
        if is_new:
            self.initial = {**FIRST_PACE, **self.initial}

    @property
    def chosen(self) -> str:
        """The account's provider."""
        return str(self.cleaned_data.get("provider") or self.instance.provider)

    def clean(self) -> None:
        super().clean()
        if self.chosen in PROVIDERS and not reaches_people(self.chosen):
            self._clean_simulated()
        for field in fields_of(self.chosen):
            self._check(field)

    def _clean_simulated(self) -> None:
        if self.cleaned_data.get("is_default") and not settings.ALLOW_SIMULATED:
            self.add_error(
                "is_default", _("This provider reaches nobody, and ALLOW_SIMULATED is not set.")
            )
        if self.instance.pk is None:
            # The limits that a new account starts with are there for those who answer telephones.
            for name in FIRST_PACE.keys() - self.changed_data:
                self.cleaned_data[name] = None

    def _check(self, field: AccountField) -> None:
        name = form_name(self.chosen, field)
        if name not in self.cleaned_data:
            return  # refused already
        value = self.cleaned_data[name]
        if not value:
            if field.is_required and not (field.is_secret and self._stored(field)):
                self.add_error(name, _("This is needed."))
        elif field.check and name in self.changed_data:
            try:
                field.check(value)
            except ValidationError as error:
                self.add_error(name, error)

    def _stored(self, field: AccountField) -> bool:
        return bool(_secrets(self.instance).get(field.name))

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        known, secrets = dict(self.instance.settings), _secrets(self.instance)
        for field in fields_of(self.chosen):
            value = self.cleaned_data.get(form_name(self.chosen, field))
            if value:
                (secrets if field.is_secret else known)[field.name] = value
            elif value is not None and not field.is_secret:
                known.pop(field.name, None)
        self.instance.settings = known
        self.instance.credentials = json.dumps(secrets) if secrets else ""

    def _get_validation_exclusions(self) -> set[str]:
        # That there is one default is not for the user to mend: saving switches over.
        return super()._get_validation_exclusions() | {"is_default"}  # type: ignore[misc,no-any-return]


class CallerNumberForm(forms.ModelForm):
    def clean_number(self) -> str:
        try:
            return to_e164(self.cleaned_data["number"], None)
        except UnusableNumber as unusable:
            raise ValidationError(_("The number %s.") % unusable) from None


class CallerNumberInline(admin.TabularInline):
    """Part of the account: whoever may change that may change them."""

    model = CallerNumber
    form = CallerNumberForm
    fields = ["number", "daily_cap", "is_active"]
    ordering = ["number"]
    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("calls.view_provideraccount") or self._may(request, obj)

    def _may(self, request: HttpRequest, obj: Any = None) -> bool:
        permission = "change" if obj else "add"
        return request.user.has_perm(f"calls.{permission}_provideraccount")

    has_add_permission = has_change_permission = has_delete_permission = _may


@admin.register(ProviderAccount)
class ProviderAccountAdmin(admin.ModelAdmin):
    form = ProviderAccountForm
    inlines = [CallerNumberInline]
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

    @admin.display(description=_("provider's settings"))
    def provider_settings(self, account: ProviderAccount) -> str:
        """For those who may only look."""
        secrets = _secrets(account)
        told = [
            (
                _now(field.label),
                (_now("stored") if secrets.get(field.name) else "")
                if field.is_secret
                else account.settings.get(field.name, ""),
            )
            for field in fields_of(account.provider)
        ]
        return format_html_join(mark_safe("<br>"), "{}: {}", told)

    @admin.display(description=_("address for events"))
    def events_address(self, account: ProviderAccount) -> str:
        return callback_url(account) or _now(
            "None: PUBLIC_URL is not set, the provider is only asked."
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

    def get_fieldsets(
        self, request: HttpRequest, obj: ProviderAccount | None = None
    ) -> list[tuple[Any, Any]]:
        head = ["name", "provider", "is_default", "max_live", "calls_per_second"]
        if obj is None:
            return [
                (None, {"fields": head}),
                *(_fieldset(name) for name in sorted(PROVIDERS) if fields_of(name)),
            ]
        names = [form_name(obj.provider, field) for field in fields_of(obj.provider)]
        if names and not self.has_change_permission(request, obj):
            names = ["provider_settings"]
        address = ["events_address"] if _sends_events(obj.provider) else []
        return [(None, {"fields": [*head, *names, *address, "state", "created_at"]})]

    def get_form(
        self,
        request: HttpRequest,
        obj: ProviderAccount | None = None,
        change: bool = False,
        **kwargs: Any,
    ) -> Any:
        # The fieldsets name fields of providers too, which the form adds by itself.
        fields = ["name", "provider", "is_default", "max_live", "calls_per_second"]
        return super().get_form(request, obj, change, **kwargs | {"fields": fields})

    def get_readonly_fields(
        self, request: HttpRequest, obj: ProviderAccount | None = None
    ) -> list[Any] | tuple[Any, ...]:
        # The account's calls were placed with this provider.
        facts = ["provider", "provider_settings", "events_address", "state", "created_at"]
        return facts if obj else []

    @method_decorator(sensitive_post_parameters())
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """What is sent holds secrets: no report of an error shows it."""
        return super().changeform_view(request, *args, **kwargs)

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
        views = {"retry": self.retry_view, "check": self.check_view}
        addresses = [
            path(
                f"<int:object_id>/{name}/",
                self.admin_site.admin_view(require_POST(view)),
                name=f"calls_provideraccount_{name}",
            )
            for name, view in views.items()
        ]
        test_call = path(
            "<int:object_id>/test-call/",
            self.admin_site.admin_view(self.test_call_view),
            name="calls_provideraccount_test_call",
        )
        return [*addresses, test_call, *super().get_urls()]

    def _changeable(self, request: HttpRequest, object_id: int) -> ProviderAccount:
        account = get_object_or_404(ProviderAccount, pk=object_id)
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        return account

    def check_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Ask the provider whether the account, as it is stored, can place calls."""
        account = self._changeable(request, object_id)
        finding = check_account(account)
        level = messages.SUCCESS if finding.is_good else messages.ERROR
        self.message_user(request, finding.sentence, level)
        return redirect("admin:calls_provideraccount_change", account.pk)

    def test_call_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Ask whom to call, and place one call with the account when that is confirmed by a POST.
        It keeps every rule that calls have.
        """
        account = self._changeable(request, object_id)
        if not request.user.has_perm("campaigns.add_campaign"):
            raise PermissionDenied
        form = TestCallForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                with transaction.atomic():
                    launch = form.launch(account, request.user)
            except IntegrityError:
                self.message_user(
                    request, _("This form was sent before, and its call is placed."), messages.ERROR
                )
                return redirect("admin:calls_provideraccount_change", account.pk)
            if launch:
                link = link_to_call(launch.calls[0].pk, _now("See what becomes of it"))
                text = format_html("{} {}", _now("The test call is queued."), link)
                self.message_user(request, text, messages.SUCCESS)
                return redirect("admin:calls_provideraccount_change", account.pk)
        if reaches_people(account.provider):
            sentence = _now("A telephone rings: the call is a real one, and may cost money.")
        else:
            sentence = _now("Simulated: nobody will really be called.")
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "original": account,
            "title": _now("Test call"),
            "sentence": sentence,
            "form": form,
            "media": self.media + form.media,
        }
        return TemplateResponse(request, "admin/calls/provideraccount/test_call.html", context)

    def retry_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Have a held account tried again now."""
        account = self._changeable(request, object_id)
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
                "The account cannot be deleted: calls or events of it are stored, or campaigns or"
                " templates name it. Make another account the default if no more calls are to be"
                " placed with it."
            )
            self.message_user(request, text, messages.ERROR)
            return redirect("admin:calls_provideraccount_change", account.pk)
        return super().delete_view(request, object_id, extra_context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one by one, which says what is in the way
        return actions


def _secrets(account: ProviderAccount) -> dict[str, str]:
    secrets: dict[str, str] = json.loads(account.credentials or "{}")
    return secrets


def _fieldset(provider: str) -> tuple[str, dict[str, Any]]:
    """The fields of one provider, on the page that has all of them."""
    names = [form_name(provider, field) for field in fields_of(provider)]
    text = _now("Only for the provider %s.") % provider
    classes = ["provider-fields", f"provider-{provider}"]
    return provider, {"fields": names, "description": text, "classes": classes}


def _sends_events(provider: str) -> bool:
    return provider in PROVIDERS and PROVIDERS[provider].read_events is not Provider.read_events


def _shown(time: Any) -> str:
    return date_format(timezone.localtime(time), "DATETIME_FORMAT")


def _is_used(account: ProviderAccount) -> bool:
    """Does any row refer to the account that would not go with it?"""
    return any(
        relation.related_model._base_manager.filter(**{relation.field.name: account}).exists()
        for relation in account._meta.related_objects
        if relation.on_delete is not CASCADE
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
