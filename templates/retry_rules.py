"""The rule table of a template: after which endings a person is called again, and when."""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

# Statuses after which a template may ask for another attempt, as staff read them.
RETRYABLE = {
    "busy": _("The line is busy"),
    "no_answer": _("Nobody answers"),
    "voicemail": _("Voicemail answers"),
    "failed": _("The network fails"),
}
# After a conversation the outcome decides, not the status.
NEVER_RETRIED = ("completed", "invalid_number", "rejected", "cancelled", "skipped")
# Outcomes that end the calls to a person for good, or until somebody has looked into it.
NEVER_RETRIED_OUTCOMES = (
    "REFUSED",
    "REFUSED_TO_PAY",
    "WRONG_NUMBER",
    "DO_NOT_CALL",
    "STOP_CALLING",
    "CEASE",
    "DISPUTE",
    "COMPLAINT",
    "HARDSHIP",
    "ATTORNEY",
    "BANKRUPTCY",
    "DECEASED",
    "MINOR",
    "VULNERABLE",
)


class RetryWhen(models.TextChoices):
    ANY = "any", _("at any time of the day")
    OTHER_DAY_PART = "other_day_part", _("in another part of the day")
    NEXT_DAY = "next_day", _("on the next day")


BOUNDS = {"after_minutes": (1, 30 * 24 * 60), "times": (1, 20)}

RECOMMENDED: dict[str, dict[str, Any]] = {
    "busy": {"after_minutes": 30, "times": 2},
    "no_answer": {"after_minutes": 240, "times": 3, "when": RetryWhen.OTHER_DAY_PART.value},
    "voicemail": {"after_minutes": 1440, "times": 2, "when": RetryWhen.NEXT_DAY.value},
    "failed": {"after_minutes": 60, "times": 3},
    "CALL_BACK": {"after_minutes": 1440, "times": 1, "when": RetryWhen.NEXT_DAY.value},
}


def recommended_rule(outcomes: Collection[str]) -> dict[str, dict[str, Any]]:
    """The recommended table for a template that lists these outcome words."""
    return {
        key: dict(rule) for key, rule in RECOMMENDED.items() if key in RETRYABLE or key in outcomes
    }


def retryable_keys(outcomes: Collection[str]) -> list[str]:
    """What a rule can be given for: the statuses, and those of the outcome words."""
    words = (word for word in outcomes if word not in NEVER_RETRIED_OUTCOMES)
    return list(dict.fromkeys([*RETRYABLE, *words]))


def validate_retry_rule(value: Any) -> None:
    """`{"no_answer": {"after_minutes": 240, "times": 2, "when": "other_day_part"}}`, where `when`
    may be left out and means `any`; the keys are statuses and outcome words. `{}` never retries.
    """
    if not isinstance(value, dict):
        raise ValidationError(_("Give an object; {} never retries."))
    for key, rule in value.items():
        _validate_key(key)
        _validate_one(key, rule)


def _validate_key(key: str) -> None:
    if key in NEVER_RETRIED or key in NEVER_RETRIED_OUTCOMES:
        raise ValidationError(_("There is no retry after “%(key)s”."), params={"key": key})
    if key not in RETRYABLE and not key.isupper():  # outcomes: see validate_outcomes_listed
        raise ValidationError(
            _(
                "There is no retry after “%(key)s”; choose from %(known)s and the words of the"
                " template's outcomes."
            ),
            params={"key": key, "known": ", ".join(RETRYABLE)},
        )


def _validate_one(key: str, rule: Any) -> None:
    if not isinstance(rule, dict) or set(rule) | {"when"} != {*BOUNDS, "when"}:
        raise ValidationError(
            _("“%(key)s”: give after_minutes and times, perhaps when, and nothing else."),
            params={"key": key},
        )
    for name, (low, high) in BOUNDS.items():
        if type(rule[name]) is not int or not low <= rule[name] <= high:
            raise ValidationError(
                _("“%(key)s”: %(name)s must be a whole number from %(low)s to %(high)s."),
                params={"key": key, "name": name, "low": low, "high": high},
            )
    if rule.get("when", RetryWhen.ANY) not in RetryWhen.values:
        raise ValidationError(
            _("“%(key)s”: when must be one of %(known)s."),
            params={"key": key, "known": ", ".join(RetryWhen.values)},
        )


def validate_outcomes_listed(rule: dict[str, Any], outcomes: Collection[str]) -> None:
    """A rule for an outcome that no call can have would be a rule that nobody is served by."""
    for key in rule:
        if key not in RETRYABLE and key not in outcomes:
            raise ValidationError(
                _("“%(key)s” has a rule but is not among the outcomes."), params={"key": key}
            )
