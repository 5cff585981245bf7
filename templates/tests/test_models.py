import json
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from templates.models import DEFAULT_OUTCOMES, AISettingsTemplate, TemplateVersion
from templates.retry_rules import RECOMMENDED, RETRYABLE, recommended_rule
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
RULE = {"after_minutes": 5, "times": 1}


def test_an_edit_makes_a_new_version_and_the_old_one_stays() -> None:
    template = make_template(system_prompt="One {{a}}", voice="nova")
    first = template.current
    second = template.revise(system_prompt="Two {{b}}")
    assert (first.number, second.number, template.current) == (1, 2, second)
    assert second.voice == "nova"
    first.refresh_from_db()
    assert first.system_prompt == "One {{a}}"


def test_an_edit_that_changes_nothing_makes_no_version() -> None:
    template = make_template(system_prompt="One")
    assert template.revise(system_prompt="One").number == 1


def test_the_tags_of_both_texts_are_known() -> None:
    version = make_template(system_prompt="{{a}} {{b}}", first_message="{{b}} {{c}}").current
    assert version.tags == ("a", "b", "c")


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        ({"system_prompt": "Pay {{x"}, "system_prompt", "Line 1, column 5"),
        ({"first_message": "a\n{x}"}, "first_message", "Line 2, column 1"),
        ({"tag_defaults": {"a": 1}}, "tag_defaults", "texts"),
        ({"outcomes": []}, "outcomes", "cannot be blank"),
        ({"outcomes": [{"word": "paid", "description": "x"}]}, "outcomes", "upper case"),
        ({"outcomes": [{"word": "A", "description": "x"}] * 2}, "outcomes", "same word"),
        ({"outcomes": [{"word": "A"}]}, "outcomes", "Outcome 1"),
        ({"retry_rule": {"completed": {}}}, "retry_rule", "no retry after"),
        ({"retry_rule": {"busy": {"times": 1}}}, "retry_rule", "after_minutes and times"),
        (
            {"retry_rule": {"busy": {"times": 0, "after_minutes": 5}}},
            "retry_rule",
            "times must be a whole number from 1 to 20",
        ),
        ({"retry_rule": ["busy"]}, "retry_rule", "Give an object"),
        ({"retry_rule": {"busy": RULE | {"how": 1}}}, "retry_rule", "nothing else"),
        ({"retry_rule": {"busy": RULE | {"when": "later"}}}, "retry_rule", "one of any, other"),
        ({"retry_rule": {"busy": RULE | {"when": []}}}, "retry_rule", "one of any, other"),
        ({"retry_rule": {"busy": RULE | {"times": True}}}, "retry_rule", "whole number"),
        ({"retry_rule": {"invalid_number": RULE}}, "retry_rule", "no retry after"),
        ({"retry_rule": {"rejected": RULE}}, "retry_rule", "no retry after"),
        ({"retry_rule": {"ringing": RULE}}, "retry_rule", "choose from busy, no_answer"),
        ({"retry_rule": {"call_back": RULE}}, "retry_rule", "words of the template's outcomes"),
        ({"retry_rule": {"REFUSED": RULE}}, "retry_rule", "no retry after"),
        ({"retry_rule": {"WRONG_NUMBER": RULE}}, "retry_rule", "no retry after"),
        ({"retry_rule": {"DO_NOT_CALL": RULE}}, "retry_rule", "no retry after"),
        ({"retry_rule": {"LATER": RULE}}, "retry_rule", "not among the outcomes"),
        ({"outcomes": ["x"], "retry_rule": {"LATER": RULE}}, "outcomes", "Outcome 1"),
        ({"retry_budget": 0}, "retry_budget", "1"),
        ({"retry_budget": 21}, "retry_budget", "20"),
        ({"language": "Arabic"}, "language", "valid value"),
        ({"max_duration_seconds": 5}, "max_duration_seconds", "10"),
    ],
)
def test_content_that_cannot_work_is_refused(
    content: dict[str, Any], field: str, message: str
) -> None:
    template = make_template()
    with pytest.raises(ValidationError) as refusal:
        template.revise(**content)
    assert message in str(refusal.value.message_dict[field])
    assert TemplateVersion.objects.count() == 1


def test_a_rule_may_stand_for_a_status_or_an_outcome_and_need_not_say_when() -> None:
    outcomes = [{"word": "LATER", "description": "x"}]
    rule = {"busy": RULE, "no_answer": RULE | {"when": "next_day"}, "LATER": RULE}
    version = make_template(outcomes=outcomes, retry_rule=rule).current
    assert version.retry_rule == rule
    assert make_template().current.retry_rule == {}
    assert make_template(retry_rule=[]).current.retry_rule == {}


def test_an_outcome_with_a_rule_stays_on_the_list() -> None:
    template = make_template(retry_rule={"CALL_BACK": RULE})
    with pytest.raises(ValidationError, match="CALL_BACK"):
        template.revise(outcomes=[{"word": "PAID", "description": "x"}])


def test_the_recommended_rules_suit_every_template() -> None:
    words = [outcome["word"] for outcome in DEFAULT_OUTCOMES]
    rule = make_template(retry_rule=recommended_rule(words)).current.retry_rule
    assert set(rule) == {*RETRYABLE, "CALL_BACK"}
    outcomes = [{"word": "PAID", "description": "x"}]
    rule = make_template(
        outcomes=outcomes, retry_rule=recommended_rule(["PAID"])
    ).current.retry_rule
    assert set(rule) == set(RETRYABLE)


def test_the_documentation_shows_the_recommended_rules() -> None:
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    section = page.partition("## The rule table")[2]
    assert json.loads(section.split("```")[1].removeprefix("json")) == RECOMMENDED


def test_the_database_keeps_one_default() -> None:
    make_template(is_default=True)
    make_template()
    with pytest.raises(IntegrityError), transaction.atomic():
        AISettingsTemplate.objects.create(name="Another", is_default=True)
