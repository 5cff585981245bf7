import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Permission
from django.core.exceptions import PermissionDenied
from django.core.validators import RegexValidator
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from django.views.debug import SafeExceptionReporterFilter

from calls.models import CallerNumber, ProviderAccount, ProviderEvent
from calls.providers import PROVIDERS, provider_of
from calls.providers.base import Access, AccountField, Capabilities
from calls.providers.simulated import SimulatedProvider
from calls.tests.factories import make_call
from calls.tests.far_side import SECRET, Drops, FarSide, Hangs, Says

pytestmark = pytest.mark.django_db

LIST = reverse("admin:calls_provideraccount_changelist")
ADD = reverse("admin:calls_provideraccount_add")
URL = "http://127.0.0.1:9000"
NO_NUMBERS = {"numbers-TOTAL_FORMS": 0, "numbers-INITIAL_FORMS": 0}
OTHER_SECRET = "whsec_" + "A" * 32


class AcmeProvider(SimulatedProvider):
    """A provider with a field of each sort, all of its own."""

    capabilities = Capabilities(placements_at_once=1)
    fields = (
        AccountField("assistant", "Assistant's id", check=RegexValidator("^asst_")),
        AccountField("region", "Region", is_required=False, choices=("eu", "us")),
        AccountField("key", "Private key", is_secret=True),
        AccountField("webhook_key", "Webhook key", is_secret=True, is_required=False),
    )


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What makes an account with it."""
    monkeypatch.setitem(PROVIDERS, "acme", AcmeProvider)
    return {
        "name": "agent",
        "provider": "acme",
        "acme_assistant": "asst_1",
        "acme_region": "eu",
        "acme_key": "k-1",
        "acme_webhook_key": "",
    } | NO_NUMBERS


def page_of(account: ProviderAccount, page: str = "change") -> str:
    return reverse(f"admin:calls_provideraccount_{page}", args=[account.pk])


def make_account(**what_matters: Any) -> ProviderAccount:
    fields: dict[str, Any] = {
        "name": "agent",
        "provider": "http",
        "settings": {"url": URL, "note": "kept"},
        "credentials": json.dumps({"secret": SECRET, "other": "kept"}),
    }
    return ProviderAccount.objects.create(**fields | what_matters)


def make_held(**what_matters: Any) -> ProviderAccount:
    now = timezone.now()
    held = {
        "held_since": now,
        "held_until": now + timedelta(hours=1),
        "held_reason": "account: The agent answered 402 (no_credit)",
    }
    return make_account(**held | what_matters)


def posted(**changes: Any) -> dict[str, Any]:
    data = {
        "name": "agent",
        "provider": "http",
        "max_live": 10,
        "calls_per_second": 1,
        "http_url": URL,
        "http_secret": "",
    }
    return NO_NUMBERS | data | changes


def errors(response: Any) -> dict[str, Any]:
    assert response.status_code == 200
    found: dict[str, Any] = response.context["adminform"].form.errors
    return found


def text_of(client: Client, page: str) -> str:
    return client.get(page).content.decode()


# --- What is asked and stored -------------------------------------------------------------------


def test_an_agents_account_is_made_with_its_address_secret_and_pace(admin_client: Client) -> None:
    data = posted(http_url=f" {URL} ", http_secret=SECRET)
    assert admin_client.post(ADD, data).status_code == 302
    account = ProviderAccount.objects.get()
    assert (account.provider, account.settings) == ("http", {"url": URL})
    assert json.loads(account.credentials) == {"secret": SECRET}
    assert (account.max_live, account.calls_per_second) == (10, 1)
    assert provider_of(account).access == Access({"url": URL}, {"secret": SECRET})


def test_a_new_account_starts_with_few_calls_and_slowly(admin_client: Client) -> None:
    form = admin_client.get(ADD).context["adminform"].form
    assert (form["max_live"].value(), form["calls_per_second"].value()) == (10, 1)


def test_the_limits_may_be_left_empty(admin_client: Client) -> None:
    data = posted(http_secret=SECRET, max_live="", calls_per_second="")
    assert admin_client.post(ADD, data).status_code == 302
    account = ProviderAccount.objects.get()
    assert (account.max_live, account.calls_per_second) == (None, None)


@pytest.mark.parametrize(("given", "stored"), [((10, 1), (None, None)), ((5, 1), (5, None))])
def test_what_reaches_nobody_has_only_the_limits_that_were_asked_for(
    admin_client: Client, given: tuple[int, int], stored: tuple[Any, Any]
) -> None:
    data = posted(provider="simulated", max_live=given[0], calls_per_second=given[1])
    assert admin_client.post(ADD, data).status_code == 302
    account = ProviderAccount.objects.get()
    assert (account.max_live, account.calls_per_second) == stored
    assert (account.settings, account.credentials) == ({}, "")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"http_url": ""}, "http_url"),
        ({"http_url": "agent.example"}, "http_url"),
        ({"http_url": "ftp://agent.example"}, "http_url"),
        ({"http_url": "http://user:pass@agent.example"}, "http_url"),
        ({"http_url": "http://agent.example/?a=1"}, "http_url"),
        ({"http_url": "http://agent.example/#a"}, "http_url"),
        ({"http_secret": ""}, "http_secret"),
        ({"http_secret": "hunter2"}, "http_secret"),
        ({"http_secret": "whsec_AAAA"}, "http_secret"),
        ({"http_secret": "whsec_" + "A" * 88}, "http_secret"),
        ({"http_secret": SECRET.removeprefix("whsec_")}, "http_secret"),
        ({"max_live": 0}, "max_live"),
        ({"calls_per_second": 0}, "calls_per_second"),
        ({"calls_per_second": "nan"}, "calls_per_second"),
        ({"calls_per_second": 1001}, "calls_per_second"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_at_its_field(
    admin_client: Client, change: dict[str, Any], field: str
) -> None:
    response = admin_client.post(ADD, posted(http_secret=SECRET) | change)
    assert set(errors(response)) == {field}
    assert not ProviderAccount.objects.exists()


def test_a_secret_is_never_shown_again_not_even_to_who_gave_a_wrong_address(
    admin_client: Client,
) -> None:
    account = make_account()
    pages = [text_of(admin_client, page) for page in (LIST, page_of(account), ADD)]
    refused = admin_client.post(page_of(account), posted(http_url="x", http_secret=OTHER_SECRET))
    for page in (*pages, refused.content.decode()):
        assert SECRET not in page
        assert OTHER_SECRET not in page


def test_a_secret_that_is_left_empty_stays(admin_client: Client) -> None:
    account = make_account()
    data = posted(name="renamed", http_url="https://agent.example")
    assert admin_client.post(page_of(account), data).status_code == 302
    account.refresh_from_db()
    assert (account.name, account.settings) == (
        "renamed",
        {"url": "https://agent.example", "note": "kept"},
    )
    assert json.loads(account.credentials) == {"secret": SECRET, "other": "kept"}


def test_a_new_secret_takes_the_place_of_the_old_one_and_is_logged_without_its_value(
    admin_client: Client,
) -> None:
    account = make_account()
    data = posted(http_secret=OTHER_SECRET)
    assert admin_client.post(page_of(account), data).status_code == 302
    account.refresh_from_db()
    assert json.loads(account.credentials) == {"secret": OTHER_SECRET, "other": "kept"}
    entry = LogEntry.objects.get()
    assert "Agent’s secret" in entry.get_change_message().replace("'", "’")
    assert OTHER_SECRET not in str(vars(entry))


def test_the_provider_of_an_account_stays(admin_client: Client) -> None:
    account = make_account()
    admin_client.post(page_of(account), posted(provider="simulated"))
    account.refresh_from_db()
    assert account.provider == "http"


def test_an_account_that_is_saved_leaves_alone_what_workers_write(admin_client: Client) -> None:
    account = make_held(tokens=0.25, failures=3)
    page = admin_client.get(page_of(account))
    ProviderAccount.objects.update(tokens=0.5, failures=4)
    assert page.status_code == 200
    assert admin_client.post(page_of(account), posted(max_live=7)).status_code == 302
    account.refresh_from_db()
    assert (account.max_live, account.tokens, account.failures) == (7, 0.5, 4)
    assert account.held_until


def test_the_address_for_events_is_shown(admin_client: Client, settings: Any) -> None:
    account = make_account()
    assert "PUBLIC_URL is not set" in text_of(admin_client, page_of(account))
    settings.PUBLIC_URL = "https://calls.example.com"
    shown = f"https://calls.example.com/hooks/{account.pk}"
    assert shown in text_of(admin_client, page_of(account))


# --- Fields that a provider names ---------------------------------------------------------------


def test_a_providers_fields_become_settings_and_secrets(
    admin_client: Client, acme: dict[str, Any]
) -> None:
    # What was typed for another provider, before this one was chosen, is nobody's.
    data = acme | {"http_url": "not looked at", "http_secret": "nor this"}
    assert admin_client.post(ADD, data).status_code == 302
    account = ProviderAccount.objects.get()
    assert account.settings == {"assistant": "asst_1", "region": "eu"}
    assert json.loads(account.credentials) == {"key": "k-1"}
    assert provider_of(account).access.credentials == {"key": "k-1"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"acme_assistant": ""}, "acme_assistant"),
        ({"acme_assistant": "other_1"}, "acme_assistant"),
        ({"acme_assistant": "asst_" + "1" * 2000}, "acme_assistant"),
        ({"acme_region": "mars"}, "acme_region"),
        ({"acme_key": ""}, "acme_key"),
    ],
    ids=str,
)
def test_a_providers_own_rules_are_told_at_its_field(
    admin_client: Client, acme: dict[str, Any], change: dict[str, str], field: str
) -> None:
    assert set(errors(admin_client.post(ADD, acme | change))) == {field}
    assert not ProviderAccount.objects.exists()


def test_the_page_of_an_account_has_its_own_providers_fields_only(
    admin_client: Client, acme: dict[str, Any]
) -> None:
    admin_client.post(ADD, acme)
    names = (
        admin_client.get(page_of(ProviderAccount.objects.get())).context["adminform"].form.fields
    )
    assert {name for name in names if name.startswith(("acme", "http"))} == {
        name for name in acme if name.startswith("acme")
    }
    every = admin_client.get(ADD).context["adminform"].form.fields
    assert {"http_url", "acme_key"} <= set(every)


def test_a_setting_is_shown_and_can_be_emptied_while_an_empty_secret_stays(
    admin_client: Client, acme: dict[str, Any]
) -> None:
    admin_client.post(ADD, acme | {"acme_webhook_key": "w-1"})
    account = ProviderAccount.objects.get()
    text = text_of(admin_client, page_of(account))
    assert 'value="asst_1"' in text
    assert "k-1" not in text
    data = acme | {"acme_key": "", "acme_region": "", "acme_webhook_key": "w-2"}
    assert admin_client.post(page_of(account), data).status_code == 302
    account.refresh_from_db()
    assert account.settings == {"assistant": "asst_1"}
    assert json.loads(account.credentials) == {"key": "k-1", "webhook_key": "w-2"}


def test_a_setting_that_stays_as_it_is_stored_is_not_checked_again(
    admin_client: Client, acme: dict[str, Any]
) -> None:
    admin_client.post(ADD, acme)
    account = ProviderAccount.objects.get()
    ProviderAccount.objects.update(settings={"assistant": "of old"})
    data = acme | {"name": "renamed", "acme_assistant": "of old", "acme_key": ""}
    assert admin_client.post(page_of(account), data).status_code == 302
    account.refresh_from_db()
    assert account.name == "renamed"


def test_an_account_whose_provider_is_gone_can_still_be_renamed(admin_client: Client) -> None:
    account = make_account(provider="gone")
    assert admin_client.post(page_of(account), NO_NUMBERS | {"name": "renamed"}).status_code == 302
    account.refresh_from_db()
    assert (account.name, account.settings["url"]) == ("renamed", URL)
    assert json.loads(account.credentials)["secret"] == SECRET


def test_no_report_of_an_error_holds_what_was_sent() -> None:
    request = RequestFactory().post(ADD, posted(http_secret=SECRET))
    request.user = AnonymousUser()
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    with pytest.raises(PermissionDenied):
        site.get_model_admin(ProviderAccount).add_view(request)
    shown = SafeExceptionReporterFilter().get_post_parameters(request)
    assert "http_secret" in shown
    assert SECRET not in str(shown)


# --- Caller numbers -----------------------------------------------------------------------------


def one_number(number: str, cap: Any = "", **changes: Any) -> dict[str, Any]:
    given = {"number": number, "daily_cap": cap, "is_active": "on"} | changes
    rows = {f"numbers-0-{name}": value for name, value in given.items()}
    return {"numbers-TOTAL_FORMS": 1, "numbers-INITIAL_FORMS": 0} | rows


def test_an_accounts_numbers_are_stored_as_e164(admin_client: Client) -> None:
    data = posted(http_secret=SECRET, **one_number("+1 (202) 555-0100", 50))
    assert admin_client.post(ADD, data).status_code == 302
    account = ProviderAccount.objects.get()
    [number] = CallerNumber.objects.filter(account=account)
    assert (number.number, number.daily_cap, number.is_active) == ("+12025550100", 50, True)
    assert "+12025550100" in text_of(admin_client, page_of(account))


@pytest.mark.parametrize(
    ("number", "cap"), [("0500000001", ""), ("+1202", ""), ("+12025550100", 0)]
)
def test_a_number_that_cannot_be_called_from_is_refused(
    admin_client: Client, number: str, cap: Any
) -> None:
    response = admin_client.post(ADD, posted(http_secret=SECRET, **one_number(number, cap)))
    assert response.status_code == 200
    assert not CallerNumber.objects.exists()
    assert SECRET not in response.content.decode()


def test_an_account_has_a_number_once(admin_client: Client) -> None:
    account = make_account()
    stored = CallerNumber.objects.create(account=account, number="+12025550100")
    again = one_number("+12025550100", id=stored.pk, account=account.pk)
    again |= {"numbers-TOTAL_FORMS": 2, "numbers-INITIAL_FORMS": 1}
    again |= {"numbers-1-number": "+1 202 555 0100", "numbers-1-account": account.pk}
    response = admin_client.post(page_of(account), posted(**again))
    assert response.status_code == 200
    assert "duplicate" in response.content.decode()
    assert CallerNumber.objects.filter(account=account).count() == 1


def test_who_may_only_look_at_accounts_changes_no_number(
    client: Client, django_user_model: Any
) -> None:
    account = make_account()
    CallerNumber.objects.create(account=account, number="+12025550100")
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_provideraccount"))
    client.force_login(viewer)
    text = text_of(client, page_of(account))
    assert "+12025550100" in text
    assert 'name="numbers-0-number"' not in text


# --- Holds --------------------------------------------------------------------------------------


def test_a_hold_is_told_in_a_sentence(admin_client: Client) -> None:
    account = make_held(held_reason="account: The agent answered 402 <b>")
    text = text_of(admin_client, page_of(account))
    assert "The provider refuses the account (The agent answered 402 &lt;b&gt;)" in text
    assert re.search(r"Held since .+; one call is tried at .+\.", text)
    assert "Try again now" in text
    free = text_of(admin_client, page_of(make_account(name="free")))
    assert "Takes calls." in free
    assert "Try again now" not in free


def test_a_held_account_is_tried_again_now(admin_client: Client) -> None:
    account = make_held()
    response = admin_client.post(page_of(account, "retry"), follow=True)
    assert "The next call that is due is tried." in response.content.decode()
    account.refresh_from_db()
    assert account.held_since
    assert account.held_until
    assert account.held_until <= timezone.now()
    assert LogEntry.objects.get().get_change_message() == "To be tried again now."


def test_an_account_that_is_not_held_is_not_tried_again(admin_client: Client) -> None:
    account = make_account()
    response = admin_client.post(page_of(account, "retry"), follow=True)
    assert "takes calls already" in response.content.decode()
    account.refresh_from_db()
    assert account.held_until is None
    assert not LogEntry.objects.exists()


def test_trying_again_is_a_post_with_its_token_by_who_may_change(
    admin_client: Client, client: Client, django_user_model: Any
) -> None:
    account = make_held()
    page = page_of(account, "retry")
    assert admin_client.get(page).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies
    assert strict.post(page).status_code == 403
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_provideraccount"))
    client.force_login(viewer)
    assert client.post(page).status_code == 403
    shown = text_of(client, page_of(account))
    assert "Try again now" not in shown
    assert URL in shown
    assert SECRET not in shown
    account.refresh_from_db()
    assert account.held_until
    assert account.held_until > timezone.now()
    assert (
        admin_client.post(reverse("admin:calls_provideraccount_retry", args=[999])).status_code
        == 404
    )


# --- Checking -----------------------------------------------------------------------------------


@pytest.fixture
def far_side() -> Iterator[FarSide]:
    with FarSide() as far_side:
        yield far_side


def check(client: Client, account: ProviderAccount) -> tuple[str, str]:
    """The level and the text of what staff are told."""
    response = client.post(page_of(account, "check"), follow=True)
    [message] = response.context["messages"]
    return message.level_tag, str(message)


def agent_at(far_side: FarSide) -> ProviderAccount:
    return make_account(settings={"url": far_side.url})


def test_an_agent_that_knows_the_secret_is_found_well(
    admin_client: Client, far_side: FarSide
) -> None:
    account = agent_at(far_side)
    assert check(admin_client, account) == ("success", "The agent answers, and takes the secret.")
    [asked] = far_side.asked
    assert asked.method == "GET"
    assert re.fullmatch(r"/calls/[0-9a-f-]{36}", asked.path)
    assert asked.headers["webhook-id"].startswith(f"look-up_{asked.path.removeprefix('/calls/')}")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Says(401), "refuses the secret"),
        (Says(404), "answered 404 to a look-up"),
        (Says(402, {"reason": "no_credit"}), "answered 402 no_credit to a look-up"),
        (Says(200, {"reason": "+966500000001"}), "answered 200 to a look-up"),
        (Drops(), "breaks the connection off"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_agent_is_told_in_words(
    admin_client: Client, far_side: FarSide, answer: Any, told: str
) -> None:
    far_side.answer = lambda asked: answer
    level, text = check(admin_client, agent_at(far_side))
    assert level == "error"
    assert told in text


def test_an_agent_that_nobody_finds_is_told_as_such(admin_client: Client) -> None:
    with FarSide() as gone:
        account = agent_at(gone)
    assert check(admin_client, account) == ("error", "The agent cannot be reached at its address.")


def test_an_account_without_a_secret_says_so(admin_client: Client, far_side: FarSide) -> None:
    account = make_account(settings={"url": far_side.url}, credentials="")
    assert check(admin_client, account) == ("error", "The account has no secret to sign with")
    assert far_side.asked == []


def test_nobody_waits_longer_for_a_check_than_its_time(
    admin_client: Client, far_side: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calls.account_check.CHECK_SECONDS", 0.2)
    far_side.answer = lambda asked: Hangs()
    level, text = check(admin_client, agent_at(far_side))
    assert (level, text) == ("error", "The provider did not answer within 0 seconds.")


def test_what_cannot_be_checked_says_so_and_nothing_of_the_secret(admin_client: Client) -> None:
    account = make_account(provider="gone")
    assert check(admin_client, account) == ("error", "The account cannot be checked: KeyError.")
    nothing = make_account(name="simulated", provider="simulated", settings={}, credentials="")
    assert check(admin_client, nothing)[0] == "success"


def test_a_check_is_a_post_with_its_token_by_who_may_change(
    admin_client: Client, client: Client, django_user_model: Any, far_side: FarSide
) -> None:
    account = agent_at(far_side)
    page = page_of(account, "check")
    assert admin_client.get(page).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = admin_client.cookies
    assert strict.post(page).status_code == 403
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_provideraccount"))
    client.force_login(viewer)
    assert client.post(page).status_code == 403
    assert 'value="Check"' not in text_of(client, page_of(account))
    assert 'value="Check"' in text_of(admin_client, page_of(account))
    assert far_side.asked == []


# --- Deleting -----------------------------------------------------------------------------------


def test_an_account_that_nothing_refers_to_is_deleted(admin_client: Client) -> None:
    account = make_account()
    CallerNumber.objects.create(account=account, number="+12025550100")
    assert "Are you sure" in text_of(admin_client, page_of(account, "delete"))
    assert admin_client.post(page_of(account, "delete"), {"post": "yes"}).status_code == 302
    assert not ProviderAccount.objects.exists()


@pytest.mark.parametrize("what", ["call", "event"])
def test_an_account_that_is_named_by_calls_or_events_is_kept_and_says_why(
    admin_client: Client, what: str
) -> None:
    account = make_account()
    if what == "call":
        make_call(status="completed", account=account)
    else:
        fields = {"event_id": "1", "kind": "ringing", "occurred_at": timezone.now()}
        ProviderEvent.objects.create(account=account, **fields)
    for send in (admin_client.get, admin_client.post):
        response = send(page_of(account, "delete"), {"post": "yes"}, follow=True)
        assert "calls or events of it are stored" in response.content.decode()
    assert ProviderAccount.objects.filter(pk=account.pk).exists()


def test_accounts_are_not_deleted_in_bulk(admin_client: Client) -> None:
    account = make_account()
    make_call(status="completed", account=account)
    data = {"action": "delete_selected", "_selected_action": account.pk, "post": "yes"}
    admin_client.post(LIST, data)
    assert ProviderAccount.objects.filter(pk=account.pk).exists()
