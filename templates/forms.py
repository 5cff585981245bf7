"""The rule table of a template as a form: a row per ending after which a person may be called."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django import forms
from django.forms.widgets import Script

from templates.retry_rules import (
    BOUNDS,
    NEVER_RETRIED_OUTCOMES,
    RETRYABLE,
    RetryWhen,
    recommended_rule,
    retryable_keys,
)

# The button that fills in the recommended table; nothing is saved by it.
RECOMMEND = "_recommended"
CELLS = ("after_minutes", "times", "when")


def wants_recommendation(data: Mapping[str, Any] | None) -> bool:
    return RECOMMEND in (data or {})


class RetryTable(forms.Widget):
    """A table of inputs `NAME-KEY-CELL`. Its value is a rule, with texts where they were typed."""

    template_name = "admin/templates/aisettingstemplate/retry_table.html"
    use_fieldset = True
    outcomes: Collection[str] = ()  # the words that the template lists

    class Media:
        css = {"all": ["templates/retry_table.css"]}
        js = [Script("templates/retry_table.js", defer=True)]

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> Any:
        if wants_recommendation(data):
            return recommended_rule(self.outcomes)
        table = {}
        for key in _keys(data, name):
            cells = {cell: data.get(f"{name}-{key}-{cell}", "").strip() for cell in CELLS}
            if cells["after_minutes"] or cells["times"]:
                table[key] = cells
        return table

    def id_for_label(self, id_: str) -> str:
        return ""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        value, recommended = value or {}, recommended_rule(self.outcomes)
        known = retryable_keys(self.outcomes)
        keys = [*known, *(key for key in value if key not in known)]
        context["widget"] |= {
            "rows": [_row(name, key, value.get(key), recommended.get(key)) for key in keys],
            "whens": RetryWhen.choices,
            "bounds": BOUNDS,
            "never": [word for word in self.outcomes if word in NEVER_RETRIED_OUTCOMES],
        }
        return context


def _keys(data: Mapping[str, Any], name: str) -> Iterator[str]:
    begin, end = f"{name}-", "-times"
    for field in data:
        if field.startswith(begin) and field.endswith(end):
            yield field[len(begin) : -len(end)]


def _row(name: str, key: str, rule: Any, recommended: Any) -> dict[str, Any]:
    return {
        "key": key,
        "name": f"{name}-{key}",
        "status": RETRYABLE.get(key, ""),
        "rule": {"when": RetryWhen.ANY.value} | (rule or {}),
        "recommended": {"when": RetryWhen.ANY.value} | (recommended or {}),
    }


class RetryRuleField(forms.JSONField):
    """A rule as the table gives it; a row without a number of times is none."""

    widget = RetryTable

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs | {"show_hidden_initial": False})

    def prepare_value(self, value: Any) -> Any:
        return value

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data

    def to_python(self, value: Any) -> Any:
        return {key: _read(cells) for key, cells in (value or {}).items() if cells["times"]}

    def has_changed(self, initial: Any, data: Any) -> bool:
        return _in_full(initial or {}) != _in_full(self.to_python(data))


def _read(cells: Mapping[str, Any]) -> dict[str, Any]:
    rule = {cell: _whole(cells[cell]) for cell in BOUNDS}
    when = cells.get("when") or RetryWhen.ANY
    return rule if when == RetryWhen.ANY else rule | {"when": when}


def _whole(text: Any) -> Any:
    """The number, or the text as it is if it is none: the rule's validator says what is wrong."""
    is_number = isinstance(text, str) and text.isdecimal() and len(text) < 10
    return int(text) if is_number else text


def _in_full(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {key: {"when": RetryWhen.ANY.value} | one for key, one in rule.items()}
