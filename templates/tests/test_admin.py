from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from templates.models import AISettingsTemplate
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db

TEMPLATES = reverse("admin:templates_aisettingstemplate_changelist")
ADD = reverse("admin:templates_aisettingstemplate_add")
VERSIONS = reverse("admin:templates_templateversion_changelist")


def page_of(template: AISettingsTemplate) -> str:
    return reverse("admin:templates_aisettingstemplate_change", args=[template.pk])


def as_a_browser_sends_it(client: Client, page: str) -> dict[str, Any]:
    """The fields of a page's form, unchanged, with the line ends of a browser."""
    context = client.get(page).context
    fields = list(context["adminform"].form)
    for inline in context["inline_admin_formsets"]:
        fields += list(inline.formset.management_form)
    values = {field.html_name: field.value() for field in fields}
    return {
        name: value.replace("\n", "\r\n") if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None and value is not False
    }


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
        ("retry_rule", '{"completed": {}}', "no retry after"),
        ("retry_rule", "{", "valid JSON"),
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
