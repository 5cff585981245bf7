import pytest
from hypothesis import given
from hypothesis import strategies as st

from templates.rendering import BraceError, MissingTag, parse


def test_tags_are_replaced_with_or_without_inner_spaces() -> None:
    prompt = parse("{{a}} owes {{ amount }} to {{b-c.d}} ({{a}})")
    assert prompt.tags == ("a", "amount", "b-c.d")
    values = {"a": "Sara", "amount": "5 SAR", "b-c.d": "us"}
    assert prompt.render(values) == "Sara owes 5 SAR to us (Sara)"


def test_a_value_is_inserted_literally_and_never_expanded_again() -> None:
    values = {"a": "{{b}} {% now %} \\1 {0}", "b": "x"}
    assert parse("{{a}}|{{b}}").render(values) == "{{b}} {% now %} \\1 {0}|x"


def test_a_missing_tag_is_named() -> None:
    with pytest.raises(MissingTag) as missing:
        parse("Pay {{amount}}").render({})
    assert missing.value.args == ("amount",)


def test_arabic_tags_and_texts_work() -> None:
    assert parse("المبلغ {{ المبلغ }}").render({"المبلغ": "٥٠٠"}) == "المبلغ ٥٠٠"


def test_other_braces_are_text() -> None:
    text = 'Answer in JSON: {"paid": true, "items": {} } and { } and }{'
    assert parse(text).render({}) == text


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("Pay {{amount}", 1, 5),
        ("Pay {{}} now", 1, 5),
        ("One\nPay {amount} now", 2, 5),
        ("Pay amount}}", 1, 11),
        ("{{a}}\n\n  {{{b}}}", 3, 3),
        ("{{due date}}", 1, 1),
        ("{% if x %}", 1, 1),
        ("{# note #}", 1, 1),
        ("{{a}} {{ b\n}}", 1, 7),
        ("{{a|upper}}", 1, 1),
    ],
)
def test_misused_braces_are_refused_with_their_place(text: str, line: int, column: int) -> None:
    with pytest.raises(BraceError, match=f"Line {line}, column {column}:") as refusal:
        parse(text)
    assert (refusal.value.line, refusal.value.column) == (line, column)


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="{}"))), st.text())
def test_rendering_joins_literals_and_values_whatever_they_hold(
    literals: list[str], value: str
) -> None:
    text = "{{tag}}".join(literals)
    assert parse(text).render({"tag": value}) == value.join(literals)
