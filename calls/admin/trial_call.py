"""The form that places one call, to hear whether an account works."""

import json
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from calls.admin.launching import TokenField
from calls.models import ProviderAccount
from calls.schemas import read_bulk_request
from calls.services import Launch, launch_campaign
from campaigns.models import CampaignSource
from contacts.phone_numbers import UnusableNumber, to_e164
from contacts.validation import InvalidInput, describe
from templates.models import AISettingsTemplate


class TestCallForm(forms.Form):
    number = forms.CharField(
        label=_("Number to call"),
        widget=AdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("With its country code, such as +966500000001."),
    )
    template = forms.ModelChoiceField(
        AISettingsTemplate.objects.none(), label=_("AI settings template")
    )
    tags = forms.CharField(
        label=_("Tags"),
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 4, "dir": "auto"}),
        help_text=_(
            "A value for each tag of the template that has no default, one in a line:"
            " amount: 5,000 SAR."
        ),
    )
    token = TokenField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        usable = AISettingsTemplate.objects.filter(versions__number=1).order_by("name")
        self.fields["template"].queryset = usable  # type: ignore[attr-defined]
        self.fields["template"].initial = usable.filter(is_default=True).first()

    def clean_number(self) -> str:
        try:
            return to_e164(self.cleaned_data["number"], None)
        except UnusableNumber as unusable:
            raise ValidationError(_("The number %s.") % unusable) from None

    def clean_tags(self) -> dict[str, str]:
        lines = [line for line in self.cleaned_data["tags"].splitlines() if line.strip()]
        if not all(":" in line for line in lines):
            raise ValidationError(_("Write a tag, a colon and its value in each line."))
        pairs = (line.partition(":") for line in lines)
        return {tag.strip(): value.strip() for tag, _colon, value in pairs}

    def launch(self, account: ProviderAccount, user: Any) -> Launch | None:
        """Launch a campaign of the one call of a valid form; None, and errors on the form, if it
        was refused. Raises `IntegrityError` if the form's campaign is there already.
        """
        person = {
            "numberToCall": self.cleaned_data["number"],
            "promptTags": self.cleaned_data["tags"],
        }
        body = {
            "aiSettingsTemplateId": str(self.cleaned_data["template"].pk),
            "contacts": [person],
        }
        try:
            return launch_campaign(
                read_bulk_request(json.dumps(body).encode()),
                CampaignSource.ADMIN,
                name=_now("Test call"),
                created_by=user,
                campaign_id=self.cleaned_data["token"],
                account_id=account.pk,
            )
        except InvalidInput as refused:
            for error in refused.errors:
                self.add_error(None, describe(error, {}))
        return None
