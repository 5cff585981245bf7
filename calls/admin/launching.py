"""The form that launches a campaign from a CSV file."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import (
    AdminIntegerFieldWidget,
    AdminRadioSelect,
    AdminTextInputWidget,
)
from django.db import models
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from calls.control import NotAllowed
from calls.lifecycle import check_start
from calls.models import ProviderAccount
from calls.providers import PROVIDERS, reaches_people
from calls.schemas import read_bulk_request
from calls.services import Launch, launch_campaign
from campaigns.models import Campaign, CampaignSource
from contacts.contact_csv import read_contacts
from contacts.validation import ErrorDetail, InvalidInput, describe
from templates.models import AISettingsTemplate

SAMPLE = """\
numberToCall,firstName,lastName,promptTags.amount,promptTags.due_date,metadata.invoiceNumber
+966500000001,Ahmed,Al-Rashid,"5,000 SAR","January 15, 2026",INV-001
"""
SHOWN_FAULTS = 200
# The form's fields by the names of the request that the form is turned into.
FIELDS = {
    "aiSettingsTemplateId": "template",
    "countryCode": "country_code",
    "batchSize": "batch_size",
    "updateExisting": "update_existing",
}


class Start(models.TextChoices):
    NOW = "now", _("now")
    LATER = "later", _("at a time")
    DRAFT = "draft", _("when somebody starts it: save as a draft")


class StartField(forms.DateTimeField):
    """When to begin: a time that is still to come, picked by the browser's own means."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        zone = format_lazy(_("In the time zone {zone}."), zone=settings.TIME_ZONE)
        super().__init__(label=_("Starts at"), help_text=zone, widget=widget, **kwargs)

    def clean(self, value: Any) -> Any:
        at = super().clean(value)
        if at:
            try:
                check_start(at)
            except NotAllowed as refused:
                raise forms.ValidationError(str(refused)) from None
        return at


class TokenField(forms.UUIDField):
    """The id that a new campaign gets, so that a form that is sent twice makes one campaign."""

    def __init__(self) -> None:
        super().__init__(
            widget=forms.HiddenInput,
            initial=uuid4,
            error_messages=dict.fromkeys(
                ["required", "invalid"], _("This form is not whole: open it anew.")
            ),
        )


class LaunchForm(forms.ModelForm):
    """A bulk request as staff make it: the same body as the API's, with the same errors."""

    template = forms.ModelChoiceField(
        AISettingsTemplate.objects.none(), label=_("AI settings template")
    )
    file = forms.FileField(
        label=_("Contacts (CSV)"),
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"}),
        help_text=format_html(
            "{}<pre>{}</pre>{}",
            _("UTF-8, with a first line that names the columns. For example:"),
            SAMPLE,
            _(
                "Only numberToCall is needed, and a promptTags column for each tag of the template"
                " that has no default. Also known: email, timeZone, region, debtReference."
            ),
        ),
    )
    update_existing = forms.BooleanField(
        required=False,
        label=_("Update existing contacts"),
        help_text=_("Take over names and the like for people that are already known."),
    )
    start = forms.ChoiceField(
        label=_("Start"), choices=Start.choices, initial=Start.NOW, widget=AdminRadioSelect
    )
    starts_at = StartField(required=False)
    token = TokenField()

    class Meta:
        model = Campaign
        fields = ("name", "account", "country_code", "batch_size")
        widgets = {
            "name": AdminTextInputWidget,
            "country_code": AdminTextInputWidget(attrs={"size": 2}),
            "batch_size": AdminIntegerFieldWidget,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        usable = AISettingsTemplate.objects.filter(versions__number=1).order_by("name")
        self.fields["template"].queryset = usable  # type: ignore[attr-defined]
        self.fields["template"].initial = usable.filter(is_default=True).first()
        accounts = ProviderAccount.objects.defer("credentials").order_by("name")
        if not settings.ALLOW_SIMULATED:
            playing = [name for name in PROVIDERS if not reaches_people(name)]
            accounts = accounts.exclude(provider__in=playing)
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]
        self.fields["batch_size"].initial = settings.CALL_BATCH_SIZE
        self.faults: list[str] = []

    @property
    def shown_faults(self) -> list[str]:
        return self.faults[:SHOWN_FAULTS]

    def clean(self) -> None:
        super().clean()
        if self.cleaned_data.get("start") != Start.LATER:
            self.errors.pop("starts_at", None)  # it is not used
        elif not self.cleaned_data.get("starts_at") and "starts_at" not in self.errors:
            self.add_error("starts_at", _("Say when it is to start."))
        for error in self.errors.get("token", ()):  # it has no place of its own on the page
            self.add_error(None, error)

    @property
    def begins_at(self) -> datetime | None:
        """When to begin; None: at once, or not by itself."""
        is_timed = self.cleaned_data["start"] == Start.LATER
        return self.cleaned_data["starts_at"] if is_timed else None

    def clean_country_code(self) -> str:
        return str(self.cleaned_data["country_code"]).strip().upper()

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > settings.BULK_MAX_BODY_BYTES:
            raise forms.ValidationError(
                _("The file is larger than %(limit)s: cut it into several."),
                params={"limit": filesizeformat(settings.BULK_MAX_BODY_BYTES)},
            )
        return file

    def launch(self, user: Any) -> Launch | None:
        """Launch the campaign of a valid form; None, and errors on the form, if it was refused.
        Raises `IntegrityError` if the form's campaign is there already.
        """
        places: Mapping[int, str] = {}
        try:
            file = read_contacts(self.cleaned_data["file"].read())
            places = file.places
            return launch_campaign(
                read_bulk_request(self._body(file.contacts), known_faults=file.errors),
                CampaignSource.ADMIN,
                name=self.cleaned_data["name"],
                created_by=user,
                starts_at=self.begins_at,
                is_draft=self.cleaned_data["start"] == Start.DRAFT,
                campaign_id=self.cleaned_data["token"],
                account_id=account.pk if (account := self.cleaned_data["account"]) else None,
            )
        except InvalidInput as refused:
            self._refuse(refused.errors, places)
        return None

    def _body(self, contacts: Sequence[dict[str, Any]]) -> bytes:
        body = {
            "aiSettingsTemplateId": str(self.cleaned_data["template"].pk),
            "countryCode": self.cleaned_data["country_code"] or None,
            "batchSize": self.cleaned_data["batch_size"],
            "updateExisting": self.cleaned_data["update_existing"],
            "contacts": contacts,
        }
        return json.dumps(body).encode()

    def _refuse(self, errors: Sequence[ErrorDetail], places: Mapping[int, str]) -> None:
        for error in errors:
            names = error["loc"][1:2]
            if field := FIELDS.get(str(*names)):
                self.add_error(field, error["msg"])
            elif names == ["contacts"] and len(error["loc"]) == 2:
                self.add_error("file", error["msg"])
            else:
                self.faults.append(describe(error, places))
        if self.faults:
            text = ngettext(
                "%d error in the file. Nothing was stored.",
                "%d errors in the file. Nothing was stored.",
                len(self.faults),
            )
            self.add_error("file", text % len(self.faults))
