from io import StringIO

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import call_command
from django.db import connection

from collections_platform.ops.demo_data import TEMPLATE_ID
from templates.models import AISettingsTemplate

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO", "1")


def load() -> str:
    out = StringIO()
    call_command("load_demo_data", stdout=out)
    return out.getvalue()


def test_the_template_is_the_default_and_says_what_the_example_needs() -> None:
    load()

    template = AISettingsTemplate.objects.get(pk=TEMPLATE_ID)
    assert template.is_default
    assert template.current.system_prompt == (
        "You are a collections agent. The customer owes {{amount}} due by {{due_date}}.\n"
        "Be professional and offer payment plan options if the customer cannot pay in full."
    )
    assert set(template.current.tags) == {"amount", "due_date", "firstName"}
    assert template.current.language == "en"


def test_the_password_is_said_once_and_opens_the_admin() -> None:
    password = load().rstrip().rpartition(" ")[2]

    user = authenticate(username="admin", password=password)
    assert user is not None
    assert user.is_superuser
    assert load() == ""


def test_what_is_there_is_left_alone() -> None:
    load()
    AISettingsTemplate.objects.get(pk=TEMPLATE_ID).revise(system_prompt="Mine.")

    load()

    assert AISettingsTemplate.objects.get(pk=TEMPLATE_ID).current.system_prompt == "Mine."
    assert get_user_model().objects.count() == 1


def test_another_default_stays_the_default() -> None:
    mine = AISettingsTemplate.objects.create(name="Mine", is_default=True)

    load()

    assert AISettingsTemplate.objects.default() == mine
    assert not AISettingsTemplate.objects.get(pk=TEMPLATE_ID).is_default


def test_a_template_of_the_same_name_is_not_disturbed() -> None:
    AISettingsTemplate.objects.create(name="Invoice reminder")

    load()

    assert AISettingsTemplate.objects.count() == 1


def test_postgresql_is_left_empty_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEMO")
    monkeypatch.setattr(connection, "vendor", "postgresql")

    assert "No demo data" in load()
    assert not AISettingsTemplate.objects.exists()
    assert not get_user_model().objects.exists()
