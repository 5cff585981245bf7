"""AI settings templates for staff: a template is edited as one form with its newest version."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import (
    AdminIntegerFieldWidget,
    AdminTextareaWidget,
    AdminTextInputWidget,
)
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.db.models import Max
from django.forms.utils import ErrorDict
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from templates.forms import RetryRuleField, RetryTable, wants_recommendation
from templates.models import OUTCOME_WORD, AISettingsTemplate, TemplateVersion


class PromptField(forms.CharField):
    """A text as it was written; only the line ends that browsers send become plain ones."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        return (super().to_python(value) or "").replace("\r\n", "\n")


def read_outcomes(text: str) -> list[dict[str, str]]:
    pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
    return [{"word": word.strip(), "description": text.strip()} for word, _, text in pairs]


class OutcomesField(forms.JSONField):
    """Outcomes, one in a line: the word, a colon, the description."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return "\n".join(f"{outcome['word']}: {outcome['description']}" for outcome in value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data or ""

    def to_python(self, value: Any) -> Any:
        ProhibitNullCharactersValidator()(value)
        return read_outcomes(value or "")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(initial != self.to_python(data))


def content_fields() -> dict[str, forms.Field]:
    """The form fields of what a version says."""
    return forms.fields_for_model(
        TemplateVersion,
        TemplateVersion.CONTENT,
        field_classes={
            "system_prompt": PromptField,
            "first_message": PromptField,
            "outcomes": OutcomesField,
            "retry_rule": RetryRuleField,
        },
        widgets={
            "system_prompt": AdminTextareaWidget(attrs={"rows": 14, "dir": "auto"}),
            "first_message": AdminTextareaWidget(attrs={"rows": 3, "dir": "auto"}),
            "voice": AdminTextInputWidget,
            "language": AdminTextInputWidget,
            "max_duration_seconds": AdminIntegerFieldWidget,
            "tag_defaults": AdminTextareaWidget(attrs={"rows": 3}),
            "outcomes": AdminTextareaWidget(attrs={"rows": 10}),
            "retry_rule": RetryTable,
            "retry_budget": AdminIntegerFieldWidget,
        },
        help_texts={
            "outcomes": _(  # type: ignore[dict-item]
                "The words the agent reports a conversation with, one in a line, each with a colon"
                " and when to use it: PROMISE_TO_PAY: The person promises to pay."
            ),
            "retry_rule": _(  # type: ignore[dict-item]
                "A person is called again after an ending whose row says how many times; an empty"
                " row means never. The parts of the day are 9–12, 12–17 and 17–20 o’clock where"
                " the person lives. If the person asks to be called at another time, that time"
                " counts. A new outcome gets its row once the template is saved."
            ),
        },
    )


class TemplateForm(forms.ModelForm):
    """A template and what it says; the fields of the newest version are filled in."""

    class Meta:
        model = AISettingsTemplate
        fields = ("name", "is_default", "account")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields |= content_fields()
        if account := self.fields.get("account"):
            # Its secrets, which may be unreadable, are not needed to name it.
            account.queryset = account.queryset.defer("credentials")  # type: ignore[attr-defined]
        self.newest = self.instance.versions.order_by("-number").first()
        if self.newest:
            newest = {name: getattr(self.newest, name) for name in TemplateVersion.CONTENT}
            self.initial = {**newest, **self.initial}
        words = (outcome["word"] for outcome in read_outcomes(self["outcomes"].value()))
        self.fields["retry_rule"].widget.outcomes = list(filter(OUTCOME_WORD.fullmatch, words))

    def full_clean(self) -> None:
        if wants_recommendation(self.data):  # to be looked at, not to be checked or saved
            self._errors, self.cleaned_data = ErrorDict(), {}
        else:
            super().full_clean()

    def is_valid(self) -> bool:
        return not wants_recommendation(self.data) and super().is_valid()

    @property
    def content(self) -> dict[str, Any]:
        """What is given and sound of the version's content."""
        return {n: self.cleaned_data[n] for n in TemplateVersion.CONTENT if n in self.cleaned_data}

    def clean(self) -> None:
        super().clean()
        if self.newest and "retry_rule" not in self.changed_data:
            # The table may write the same rule in other words.
            self.cleaned_data["retry_rule"] = self.newest.retry_rule
        others = {field.name for field in TemplateVersion._meta.fields} - self.content.keys()
        self._check(lambda version: version.clean_fields(exclude=others))
        if {"outcomes", "retry_rule"} <= self.content.keys():
            self._check(TemplateVersion.clean)

    def _check(self, check: Callable[[TemplateVersion], None]) -> None:
        try:
            check(TemplateVersion(**self.content))
        except ValidationError as error:
            self.add_error(None, error)

    def _get_validation_exclusions(self) -> set[str]:
        # That there is one default is not for the user to mend: saving switches over.
        return super()._get_validation_exclusions() | {"is_default"}  # type: ignore[misc,no-any-return]


class VersionInline(admin.TabularInline):
    model = TemplateVersion
    fields = ["number", "language", "voice", "created_at"]
    readonly_fields = ["number", "language", "voice", "created_at"]
    ordering = ["-number"]
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AISettingsTemplate)
class AISettingsTemplateAdmin(admin.ModelAdmin):
    form = TemplateForm
    list_display = ["name", "is_default", "newest", "changed_at", "created_at"]
    list_per_page = 50
    ordering = ["name"]
    search_fields = ["name", "=id"]
    readonly_fields = ["id", "version_in_use", "tags", "created_at"]
    inlines = [VersionInline]

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .annotate(newest=Max("versions__number"), changed_at=Max("versions__created_at"))
        )

    @admin.display(description=_("version"), ordering="newest")
    def newest(self, template: Any) -> int | None:
        number: int | None = template.newest
        return number

    @admin.display(description=_("changed at"), ordering="changed_at")
    def changed_at(self, template: Any) -> Any:
        return template.changed_at

    @admin.display(description=_("version in use"))
    def version_in_use(self, template: AISettingsTemplate) -> Any:
        return template.current.number

    @admin.display(description=_("tags used"))
    def tags(self, template: AISettingsTemplate) -> Any:
        version = template.current
        return ", ".join(
            _("%s (has a default)") % tag if tag in version.tag_defaults else tag
            for tag in version.tags
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        facts = ["id", "version_in_use", "tags", "created_at"]
        head = (None, {"fields": ["name", "is_default", "account", *(facts if obj else [])]})
        if obj and not self.has_change_permission(request, obj):
            return [head]
        return [
            head,
            (_("What is said"), {"fields": ["system_prompt", "first_message", "tag_defaults"]}),
            (_("How"), {"fields": ["language", "voice", "max_duration_seconds"]}),
            (_("What comes of it"), {"fields": ["outcomes"]}),
            (_("Calling again"), {"fields": ["retry_rule", "retry_budget"]}),
        ]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        # The fieldsets name fields of the version too, which the form adds by itself.
        return super().get_form(
            request, obj, change, **kwargs | {"fields": TemplateForm.Meta.fields}
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if obj.is_default:
            others = AISettingsTemplate.objects.exclude(pk=obj.pk).filter(is_default=True)
            others.update(is_default=False)
        super().save_model(request, obj, form, change)
        version = obj.revise(**form.content)
        if change and version != form.newest:
            text = _(
                "Version %d is in use from now on. Campaigns keep the version they began with."
            )
            self.message_user(request, text % version.number, messages.INFO)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TemplateVersion)
class TemplateVersionAdmin(admin.ModelAdmin):
    """Versions as campaigns were begun with them: shown, never changed."""

    list_display = ["template", "number", "language", "voice", "created_at"]
    list_display_links = ["template", "number"]
    list_filter = ["template"]
    list_select_related = ["template"]
    list_per_page = 50
    ordering = ["-created_at"]
    fields = ["template", "number", "created_at", *TemplateVersion.CONTENT]
    readonly_fields = ["created_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
