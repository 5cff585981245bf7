import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from templates.models import DEFAULT_OUTCOMES, AISettingsTemplate
from templates.retry_rules import recommended_rule
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db

TEMPLATES = reverse("admin:templates_aisettingstemplate_changelist")
ADD = reverse("admin:templates_aisettingstemplate_add")
VERSIONS = reverse("admin:templates_templateversion_changelist")


def page_of(template: AISettingsTemplate) -> str:
    return reverse("admin:templates_aisettingstemplate_change", args=[template.pk])


class Fields(HTMLParser):
    """What a browser sends of a page's forms: inputs, selects and texts, but no buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self.select, self.textarea = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "input" and name:
            kind = given.get("type")
            if kind == "checkbox" and "checked" in given:
                self.values[name] = value or "on"
            elif kind not in {"submit", "button", "checkbox", "file"}:
                self.values[name] = value
        elif tag == "select":
            self.select = name
        elif tag == "option" and self.select and "selected" in given:
            self.values[self.select] = value
        elif tag == "textarea":
            self.textarea, self.values[name] = name, ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # The parser of HTML drops the first line end of a textarea, and browsers send CR LF.
            text = self.values[self.textarea].removeprefix("\r").removeprefix("\n")
            self.values[self.textarea] = text.replace("\r\n", "\n").replace("\n", "\r\n")
            self.textarea = ""

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.values[self.textarea] += data


def fields_of(page: str) -> dict[str, str]:
    parser = Fields()
    parser.feed(page)
    return parser.values


def as_a_browser_sends_it(client: Client, page: str) -> dict[str, Any]:
    """The fields of a page's form, unchanged, with the line ends of a browser."""
    values = fields_of(client.get(page).content.decode())
    return {name: value for name, value in values.items() if name != "csrfmiddlewaretoken"}


def edit(client: Client, template: AISettingsTemplate, **changes: Any) -> Any:
    page = page_of(template)
    return client.post(page, as_a_browser_sends_it(client, page) | changes)


def test_list_and_pages_answer(admin_client: Client) -> None:
    template = make_template(system_prompt="المبلغ المستحق {{amount}}", language="ar")
    version = reverse("admin:templates_templateversion_change", args=[template.current.pk])
    for page in (TEMPLATES, ADD, page_of(template), VERSIONS, version):
        assert admin_client.get(page).status_code == 200
    assert template.name in admin_client.get(TEMPLATES).content.decode()
    for page in (page_of(template), version):
        assert "المبلغ المستحق" in admin_client.get(page).content.decode()


@pytest.mark.parametrize("page", [TEMPLATES, VERSIONS])
def test_a_list_needs_the_same_queries_for_3_rows_and_for_30(
    page: str, admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        make_template()
    with django_assert_max_num_queries(7) as few:
        admin_client.get(page)
    for _ in range(27):
        make_template()
    with django_assert_max_num_queries(len(few)):
        admin_client.get(page)


def test_a_template_is_added_with_its_first_version(admin_client: Client) -> None:
    data = as_a_browser_sends_it(admin_client, ADD)
    data |= {"name": "New", "system_prompt": "You owe {{amount}}.\r\nPay."}
    assert admin_client.post(ADD, data).status_code == 302
    version = AISettingsTemplate.objects.get(name="New").current
    assert (version.number, version.system_prompt) == (1, "You owe {{amount}}.\nPay.")
    assert version.outcomes[0]["word"] == "PROMISE_TO_PAY"


def test_a_change_makes_a_version_and_saving_unchanged_makes_none(admin_client: Client) -> None:
    template = make_template(system_prompt="  First {{a}}\nSecond\n", tag_defaults={"a": "1"})
    assert edit(admin_client, template).status_code == 302
    assert template.current.number == 1
    response = edit(admin_client, template, voice="nova", outcomes="PAID: Has paid: in full.")
    assert response.status_code == 302
    version = template.current
    assert (version.number, version.voice) == (2, "nova")
    assert version.outcomes == [{"word": "PAID", "description": "Has paid: in full."}]
    assert version.system_prompt == "  First {{a}}\nSecond\n"


def test_the_page_tells_version_and_tags(admin_client: Client) -> None:
    template = make_template(system_prompt="{{amount}} {{due}}", tag_defaults={"due": "soon"})
    edit(admin_client, template, voice="nova")
    text = admin_client.get(page_of(template)).content.decode()
    assert "amount, due (has a default)" in text
    assert '<div class="readonly">2</div>' in text


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("system_prompt", "Pay\r\nby {{due", "Line 2, column 4"),
        ("first_message", "Hi {name}", "Line 1, column 4"),
        ("tag_defaults", '{"a": 1}', "texts"),
        ("outcomes", "paid: x", "Outcome 1: write the word in upper case"),
        ("outcomes", "PAID", "Outcome 1: describe"),
        ("retry_budget", "21", "less than or equal to 20"),
        ("language", "English", "valid value"),
        ("max_duration_seconds", "5", "greater than or equal to 10"),
    ],
)
def test_a_mistake_is_told_at_its_field_and_nothing_is_stored(
    field: str, value: str, message: str, admin_client: Client
) -> None:
    template = make_template()
    response = edit(admin_client, template, **{field: value})
    assert response.status_code == 200
    assert message in response.content.decode()
    assert list(response.context["adminform"].form.errors) == [field]
    assert template.versions.count() == 1


def retries(**cells: str) -> dict[str, str]:
    """Cells of the table: `busy_times="2"`; the others stay as they are."""
    named = {name.rpartition("_"): value for name, value in cells.items()}
    return {
        f"retry_rule-{key}-{'after_minutes' if cell == 'after' else cell}": value
        for (key, _, cell), value in named.items()
    }


def test_rules_are_typed_into_a_table_and_shown_in_it_again(admin_client: Client) -> None:
    template = make_template()
    table = retries(busy_after="30", busy_times="2", CALL_BACK_after="1440", CALL_BACK_times="1")
    table |= retries(no_answer_after="240", no_answer_times="3", no_answer_when="other_day_part")
    table |= {"retry_budget": "3"}
    assert edit(admin_client, template, **table).status_code == 302
    assert template.current.retry_budget == 3
    assert template.current.retry_rule == {
        "busy": {"after_minutes": 30, "times": 2},
        "CALL_BACK": {"after_minutes": 1440, "times": 1},
        "no_answer": {"after_minutes": 240, "times": 3, "when": "other_day_part"},
    }
    shown = as_a_browser_sends_it(admin_client, page_of(template))
    assert table.items() <= shown.items()
    assert shown["retry_rule-busy-when"] == "any"
    edit(admin_client, template, **retries(busy_times="", CALL_BACK_times="", no_answer_times=""))
    assert template.current.retry_rule == {}


def test_a_rule_that_says_any_is_not_a_change(admin_client: Client) -> None:
    rule = {"busy": {"after_minutes": 30, "times": 2, "when": "any"}}
    template = make_template(retry_rule=rule)
    edit(admin_client, template)
    assert template.versions.count() == 1
    edit(admin_client, template, voice="nova")
    assert template.current.retry_rule == rule


def test_there_is_a_row_for_each_ending_that_may_be_retried(admin_client: Client) -> None:
    outcomes = [{"word": word, "description": "x"} for word in ("REFUSED", "LATER", "CEASE")]
    template = make_template(outcomes=outcomes)
    page = admin_client.get(page_of(template)).content.decode()
    rows = [name.split("-")[1] for name in fields_of(page) if name.endswith("-times")]
    assert rows == ["busy", "no_answer", "voicemail", "failed", "LATER"]
    assert "<bdi>REFUSED, CEASE</bdi>" in page


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (retries(busy_times="2"), "“busy”: after_minutes must be a whole number from 1 to"),
        (retries(busy_after="30", busy_times="21"), "times must be a whole number from 1 to 20"),
        (retries(busy_after="0", busy_times="1"), "after_minutes must be a whole number from 1"),
        (retries(busy_after="1.5", busy_times="1"), "after_minutes must be a whole number"),
        (retries(busy_after="9" * 5000, busy_times="1"), "after_minutes must be a whole number"),
        (retries(busy_after="5", busy_times="1", busy_when="night"), "when must be one of any"),
        (retries(REFUSED_after="5", REFUSED_times="1"), "no retry after “REFUSED”"),
        (retries(rejected_after="5", rejected_times="1"), "no retry after “rejected”"),
        (retries(LATER_after="5", LATER_times="1"), "“LATER” has a rule but is not among"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_and_stays_on_the_page(
    table: dict[str, str], message: str, admin_client: Client
) -> None:
    template = make_template()
    response = edit(admin_client, template, **table)
    page = response.content.decode()
    assert list(response.context["adminform"].form.errors) == ["retry_rule"]
    assert message in page
    shown = fields_of(page)
    typed = {name: value for name, value in table.items() if not name.endswith("-when")}
    assert typed.items() <= shown.items()
    assert template.versions.count() == 1


def test_an_outcome_with_a_rule_cannot_be_taken_off_the_list(admin_client: Client) -> None:
    rule = {"CALL_BACK": {"after_minutes": 5, "times": 1}}
    template = make_template(retry_rule=rule)
    response = edit(admin_client, template, outcomes="PAID: Has paid.")
    assert "“CALL_BACK” has a rule" in response.content.decode()
    shown = fields_of(response.content.decode())
    assert shown["retry_rule-CALL_BACK-times"] == "1"
    cleared = retries(CALL_BACK_times="")
    edit(admin_client, template, outcomes="PAID: Has paid.", **cleared)
    assert template.current.retry_rule == {}


def test_a_mistake_in_the_outcomes_is_not_told_of_the_rules_too(admin_client: Client) -> None:
    template = make_template()
    table = retries(LATER_after="5", LATER_times="1")
    response = edit(admin_client, template, outcomes="LATER", **table)
    assert list(response.context["adminform"].form.errors) == ["outcomes"]


def test_one_button_fills_in_the_recommended_rules_and_saves_nothing(admin_client: Client) -> None:
    template = make_template(retry_rule={"CALL_BACK": {"after_minutes": 5, "times": 9}})
    changes = {"_recommended": "Fill in", "voice": "nova", "system_prompt": "Broken {{"}
    changes |= retries(NO_COMMITMENT_after="7", NO_COMMITMENT_times="7")
    response = edit(admin_client, template, **changes)
    page = response.content.decode()
    assert response.status_code == 200
    assert "errornote" not in page
    assert template.versions.count() == 1
    shown = fields_of(page)
    assert (shown["voice"], shown["system_prompt"]) == ("nova", "Broken {{")
    assert admin_client.post(page_of(template), shown | {"system_prompt": "x"}).status_code == 302
    words = [outcome["word"] for outcome in DEFAULT_OUTCOMES]
    assert template.current.retry_rule == recommended_rule(words)


def test_the_button_works_for_a_new_template_and_knows_its_outcomes(admin_client: Client) -> None:
    data = as_a_browser_sends_it(admin_client, ADD)
    data |= {"name": "", "outcomes": "PAID: Has paid.", "_recommended": "Fill in"}
    shown = fields_of(admin_client.post(ADD, data).content.decode())
    assert "retry_rule-CALL_BACK-times" not in shown
    shown |= {"name": "New", "system_prompt": "x"}
    assert admin_client.post(ADD, shown).status_code == 302
    rule = AISettingsTemplate.objects.get(name="New").current.retry_rule
    assert rule == recommended_rule(["PAID"])
    assert set(rule) == {"busy", "no_answer", "voicemail", "failed"}


def test_the_page_carries_what_the_script_fills_in_and_no_script_of_its_own(
    admin_client: Client,
) -> None:
    page = admin_client.get(page_of(make_template())).content.decode()
    assert 'data-recommended="other_day_part"' in page
    assert re.search(r'<script src="[^"]*templates/retry_table[^"]*\.js" defer', page)
    assert not re.search(r"<script(?![^>]*(src|application/json))|\son\w+=|style=", page)
    button, save = page.index('name="_recommended"'), page.index('name="_save"')
    assert save < button  # Enter in a field presses the first of them


def test_making_a_template_the_default_takes_it_from_the_other(admin_client: Client) -> None:
    old, new = make_template(is_default=True), make_template()
    assert edit(admin_client, new, is_default="on").status_code == 302
    assert AISettingsTemplate.objects.default() == new
    old.refresh_from_db()
    assert not old.is_default


def test_templates_and_versions_cannot_be_deleted(admin_client: Client) -> None:
    template = make_template()
    version = template.current
    for name, pk in (("aisettingstemplate", template.pk), ("templateversion", version.pk)):
        page = reverse(f"admin:templates_{name}_delete", args=[pk])
        assert admin_client.post(page, {"post": "yes"}).status_code == 403
    change = reverse("admin:templates_templateversion_change", args=[version.pk])
    assert admin_client.post(change, {"system_prompt": "x"}).status_code == 403


def test_who_may_only_look_sees_the_template_and_changes_nothing() -> None:
    template = make_template()
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    assert template.name in client.get(page_of(template)).content.decode()
    assert client.post(page_of(template), {"name": "x"}).status_code == 403


def test_the_account_of_a_template_is_chosen_on_its_page_and_makes_no_version(
    admin_client: Client,
) -> None:
    template = make_template()
    accounts = AISettingsTemplate._meta.get_field("account").related_model
    account = accounts._default_manager.create(name="Riyadh", provider="http")
    assert edit(admin_client, template, account=account.pk).status_code == 302
    template.refresh_from_db()
    assert (template.account, template.versions.count()) == (account, 1)
