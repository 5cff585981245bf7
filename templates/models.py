"""AI settings templates: what the agent is told, and what it reports back."""

import re
import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from templates.rendering import BraceError, parse
from templates.retry_rules import validate_outcomes_listed, validate_retry_rule

OUTCOME_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

DEFAULT_OUTCOMES = [
    {"word": "PROMISE_TO_PAY", "description": "The person promises to pay by a date they name."},
    {"word": "ALREADY_PAID", "description": "The person says the invoice has been paid."},
    {"word": "DISPUTE", "description": "The person disputes the debt or its amount."},
    {"word": "REFUSED", "description": "The person refuses to pay."},
    {"word": "CALL_BACK", "description": "The person asks to be called at another time."},
    {"word": "WRONG_NUMBER", "description": "The number belongs to someone else."},
    {"word": "DO_NOT_CALL", "description": "The person asks not to be called again."},
    {"word": "NO_COMMITMENT", "description": "The person listens but commits to nothing."},
]


def default_outcomes() -> list[dict[str, str]]:
    return [dict(outcome) for outcome in DEFAULT_OUTCOMES]


def validate_braces(text: str) -> None:
    try:
        parse(text)
    except BraceError as error:
        raise ValidationError(str(error), code="braces") from error


def validate_tag_defaults(value: Any) -> None:
    """`{"tag": "text"}`."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValidationError(_('Give an object of texts, such as {"due_date": "soon"}.'))


def validate_outcomes(value: Any) -> None:
    """`[{"word": "PROMISE_TO_PAY", "description": "…"}, …]`, words unique and upper snake case."""
    if not isinstance(value, list):
        raise ValidationError(_("Give a list of outcomes."))
    for position, outcome in enumerate(value, start=1):
        if not isinstance(outcome, dict) or set(outcome) != {"word", "description"}:
            raise ValidationError(
                _("Outcome %(position)s: give a word and a description, and nothing else."),
                params={"position": position},
            )
        word, description = outcome["word"], outcome["description"]
        if not isinstance(word, str) or not OUTCOME_WORD.fullmatch(word):
            raise ValidationError(
                _("Outcome %(position)s: write the word in upper case, such as PROMISE_TO_PAY."),
                params={"position": position},
            )
        if not isinstance(description, str) or not description.strip():
            raise ValidationError(
                _("Outcome %(position)s: describe when the agent reports it."),
                params={"position": position},
            )
    if len({outcome["word"] for outcome in value}) < len(value):
        raise ValidationError(_("Two outcomes have the same word."))


class AISettingsTemplateQuerySet(models.QuerySet["AISettingsTemplate"]):
    def default(self) -> "AISettingsTemplate | None":
        return self.filter(is_default=True).first()


class AISettingsTemplate(models.Model):
    """A named template; what it says stands in its versions, of which the newest is in use."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120, unique=True)
    is_default = models.BooleanField(
        _("default"),
        default=False,
        help_text=_("Used by requests that name no template. There is at most one default."),
    )
    account = models.ForeignKey(
        "calls.ProviderAccount",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="templates",
        verbose_name=_("provider account"),
        help_text=_("What places the calls of campaigns that name no account. Empty: the default."),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects = AISettingsTemplateQuerySet.as_manager()

    class Meta:
        verbose_name = _("AI settings template")
        verbose_name_plural = _("AI settings templates")
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="template_one_default"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def current(self) -> "TemplateVersion":
        """The newest version. Raises `TemplateVersion.DoesNotExist` before the first."""
        return self.versions.latest("number")

    @transaction.atomic
    def revise(self, **content: Any) -> "TemplateVersion":
        """Make a new version with this content, or return the newest if it says the same.

        `content` holds every field of `TemplateVersion.CONTENT` that differs from the newest
        version (or, in the first one, from the field's default). Raises `ValidationError`.
        """
        AISettingsTemplate.objects.select_for_update().get(pk=self.pk)
        newest = self.versions.order_by("-number").first()
        known = {f: getattr(newest, f) for f in TemplateVersion.CONTENT} if newest else {}
        if newest and known | content == known:
            return newest
        number = newest.number + 1 if newest else 1
        version = TemplateVersion(template=self, number=number, **(known | content))
        version.full_clean(exclude=["template"])
        version.save()
        return version


class TemplateVersion(models.Model):
    """What a template said from one edit to the next; never changed, so campaigns can keep it."""

    CONTENT = (
        "system_prompt",
        "first_message",
        "voice",
        "language",
        "max_duration_seconds",
        "tag_defaults",
        "outcomes",
        "retry_rule",
        "retry_budget",
    )

    template = models.ForeignKey(AISettingsTemplate, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField(_("version"))
    system_prompt = models.TextField(
        _("system prompt"),
        validators=[validate_braces],
        help_text=_("What the agent is told. {{tag}} is replaced for each call."),
    )
    first_message = models.TextField(
        _("first message"),
        blank=True,
        validators=[validate_braces],
        help_text=_("What the agent says first. Empty: it lets the person speak first."),
    )
    voice = models.CharField(
        _("voice"), max_length=64, blank=True, help_text=_("Empty: the provider's own choice.")
    )
    language = models.CharField(
        _("language"),
        max_length=16,
        default="en",
        validators=[RegexValidator(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")],
        help_text=_("BCP 47, such as en or ar-SA."),
    )
    max_duration_seconds = models.PositiveIntegerField(
        _("maximum duration (seconds)"),
        default=300,
        validators=[MinValueValidator(10), MaxValueValidator(3600)],
    )
    tag_defaults = models.JSONField(
        _("tag defaults"),
        default=dict,
        blank=True,
        validators=[validate_tag_defaults],
        help_text=_('Values for tags that a contact lacks, such as {"due_date": "soon"}.'),
    )
    outcomes = models.JSONField(
        _("outcomes"),
        default=default_outcomes,
        validators=[validate_outcomes],
        help_text=_("The words the agent reports a conversation with, and when to use each."),
    )
    retry_rule = models.JSONField(
        _("retry rule"),
        default=dict,
        blank=True,
        validators=[validate_retry_rule],
        help_text=_(
            "Per status or outcome, when and how often to call again, such as"
            ' {"no_answer": {"after_minutes": 240, "times": 2, "when": "other_day_part"}}.'
            " {} never retries."
        ),
    )
    retry_budget = models.PositiveIntegerField(
        _("retry budget"),
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(20)],
        help_text=_(
            "At most so many further calls to one person in a campaign, whatever the rules grant."
        ),
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("template version")
        verbose_name_plural = _("template versions")
        constraints = [
            models.UniqueConstraint(
                fields=["template", "number"], name="template_version_number_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.template} v{self.number}"

    @property
    def outcome_words(self) -> list[str]:
        return [outcome["word"] for outcome in self.outcomes]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of prompt and first message, each once."""
        return tuple(dict.fromkeys(parse(self.system_prompt).tags + parse(self.first_message).tags))

    def clean(self) -> None:
        """Refuse a retry rule for an outcome that is not listed."""
        super().clean()
        self.retry_rule = self.retry_rule or {}  # validators are not asked about what is empty
        try:
            validate_outcomes(self.outcomes)
            validate_retry_rule(self.retry_rule)
        except ValidationError:
            return  # told at the field itself
        try:
            validate_outcomes_listed(self.retry_rule, self.outcome_words)
        except ValidationError as error:
            raise ValidationError({"retry_rule": error}) from error
