"""The account of a deployment that nobody clicks together."""

import json
from typing import Any

import pytest

from calls.checks import check_call_provider
from calls.models import ProviderAccount
from calls.providers import provider_of
from calls.tests.far_side import SECRET

URL = "https://agent.example.com"
OTHER = "whsec_" + "A" * 32


@pytest.fixture
def deployed(settings: Any) -> Any:
    settings.CALL_PROVIDER = "http"
    settings.CALL_PROVIDER_SETTINGS = {"url": URL}
    settings.CALL_PROVIDER_CREDENTIALS = {"secret": SECRET}
    return settings


def stored() -> ProviderAccount:
    return ProviderAccount.objects.get(name="http")


def secrets_of(account: ProviderAccount) -> Any:
    return json.loads(account.credentials or "{}")


@pytest.mark.django_db
def test_the_account_is_made_of_what_the_environment_says(deployed) -> None:
    account = ProviderAccount.objects.default()
    assert account == stored()
    for known in (account, stored()):
        assert (known.provider, known.settings) == ("http", {"url": URL})
        assert secrets_of(known) == {"secret": SECRET}
    assert provider_of(account).access.credentials == {"secret": SECRET}


@pytest.mark.django_db
def test_what_is_changed_in_the_environment_is_changed_in_the_account(deployed) -> None:
    ProviderAccount.objects.default()
    deployed.CALL_PROVIDER_CREDENTIALS = {"secret": OTHER}
    assert secrets_of(ProviderAccount.objects.default()) == {"secret": OTHER}
    assert (secrets_of(stored()), stored().settings) == ({"secret": OTHER}, {"url": URL})


@pytest.mark.django_db
def test_what_the_environment_leaves_out_stays_as_staff_have_it(deployed) -> None:
    pk = ProviderAccount.objects.default().pk
    deployed.CALL_PROVIDER_CREDENTIALS = {}
    changed = {"credentials": json.dumps({"secret": OTHER}), "max_live": 3}
    ProviderAccount.objects.filter(pk=pk).update(**changed)
    ProviderAccount.objects.default()
    assert (secrets_of(stored()), stored().max_live) == ({"secret": OTHER}, 3)


@pytest.mark.django_db
def test_an_account_that_is_as_the_environment_says_is_not_written(
    deployed, django_assert_num_queries
) -> None:
    ProviderAccount.objects.default()
    with django_assert_num_queries(3):
        ProviderAccount.objects.default()


@pytest.mark.django_db
def test_an_account_that_staff_made_the_default_is_left_alone(deployed) -> None:
    other = ProviderAccount.objects.create(name="other", provider="http", is_default=True)
    assert ProviderAccount.objects.default() == other
    other.refresh_from_db()
    assert (other.settings, other.credentials) == ({}, "")


@pytest.mark.django_db
def test_an_account_of_another_provider_is_told_no_secrets(deployed) -> None:
    ProviderAccount.objects.create(name="http", provider="simulated")
    assert ProviderAccount.objects.default().credentials == ""


def test_an_account_that_is_whole_is_not_complained_about(deployed) -> None:
    assert check_call_provider() == []
    deployed.CALL_PROVIDER_SETTINGS, deployed.CALL_PROVIDER_CREDENTIALS = {}, {}
    assert check_call_provider() == []


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("SETTINGS", {"url": ""}, "CALL_PROVIDER_SETTINGS lacks “url”."),
        ("SETTINGS", {"url": "agent"}, "CALL_PROVIDER_SETTINGS has no “url” that can be used."),
        ("SETTINGS", {"url": [URL]}, "CALL_PROVIDER_SETTINGS has no “url” that can be used."),
        (
            "SETTINGS",
            {"url": URL, "uri": URL},
            "CALL_PROVIDER_SETTINGS may hold “url” and nothing else.",
        ),
        (
            "CREDENTIALS",
            {"secret": "x"},
            "CALL_PROVIDER_CREDENTIALS has no “secret” that can be used.",
        ),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence_that_does_not_tell_it(
    deployed, variable: str, value: dict[str, Any], fault: str
) -> None:
    setattr(deployed, f"CALL_PROVIDER_{variable}", value)
    assert [(error.msg, error.id) for error in check_call_provider()] == [(fault, "calls.E003")]


def test_a_provider_that_needs_nothing_is_given_nothing(deployed) -> None:
    deployed.CALL_PROVIDER = "simulated"
    assert [error.msg for error in check_call_provider()] == [
        "CALL_PROVIDER_SETTINGS must be left empty.",
        "CALL_PROVIDER_CREDENTIALS must be left empty.",
    ]
