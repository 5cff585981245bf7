import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.models import CallLog, ProviderAccount
from calls.tests.factories import make_call
from calls.tests.test_campaign_admin import ADD, CAMPAIGNS, EXAMPLE, launch, page_of, staff_client
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db

BUTTONS = {
    "draft": ["start", "schedule", "cancel", "clone"],
    "scheduled": ["start", "schedule", "unschedule", "cancel", "clone"],
    "running": ["pause", "cancel", "clone"],
    "paused": ["resume", "cancel", "clone"],
    "cancelling": ["clone"],
    "completed": ["retry", "clone"],
    "cancelled": ["retry", "clone"],
}
LEADS_TO = {
    "start": "running",
    "schedule": "scheduled",
    "unschedule": "draft",
    "pause": "paused",
    "resume": "running",
    "cancel": "cancelling",
}
ALL_ACTIONS = [*LEADS_TO, "retry", "clone"]


def make(status: str = "running", *calls: str, **fields: Any) -> Campaign:
    """A campaign of this status with calls of these."""
    if status in ("completed", "cancelled"):
        fields["ended_at"] = timezone.now()
    if status == "scheduled":
        fields.setdefault("starts_at", timezone.now() + timedelta(days=1))
    campaign = make_campaign(status=status, **fields)
    batch = make_batch(campaign=campaign)
    for call in calls:
        make_call(batch=batch, status=call)
    return campaign


def address(action: str, campaign: Campaign) -> str:
    return reverse(f"admin:campaigns_campaign_{action}", args=[campaign.pk])


def local(**delta: int) -> str:
    """A time as a browser sends it."""
    at = timezone.localtime(timezone.now() + timedelta(**delta))
    return at.strftime("%Y-%m-%dT%H:%M")


def confirm(client: Client, action: str, campaign: Campaign, **data: str) -> Any:
    sent = {"token": str(uuid4()), "at": local(days=2)} | data
    return client.post(address(action, campaign), sent, follow=True)


def said(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def text_of(response: Any) -> str:
    """What a page says, without its markup."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


# --- What is offered ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", BUTTONS)
def test_a_campaign_offers_what_its_status_allows(admin_client: Client, status: str) -> None:
    campaign = make(status)
    page = admin_client.get(page_of(campaign)).content.decode()
    offered = [name for name in ALL_ACTIONS if f'href="{address(name, campaign)}"' in page]
    assert sorted(offered) == sorted(BUTTONS[status])


@pytest.mark.parametrize("status", BUTTONS)
def test_who_may_only_view_is_offered_nothing_and_can_do_nothing(status: str) -> None:
    client, campaign = staff_client("view_campaign", "add_campaign"), make(status, "busy")
    page = client.get(page_of(campaign))
    assert page.status_code == 200
    assert not any(address(name, campaign) in page.content.decode() for name in ALL_ACTIONS)
    for name in ALL_ACTIONS:
        assert client.get(address(name, campaign)).status_code == 403
        assert confirm(client, name, campaign).status_code == 403
    assert Campaign.objects.get().status == status


def test_who_may_change_acts_and_needs_the_permission_to_add_for_copies() -> None:
    client, campaign = staff_client("change_campaign"), make("running", "queued")
    assert "The campaign is paused." in said(confirm(client, "pause", campaign))
    assert confirm(client, "clone", campaign).status_code == 403
    assert address("clone", campaign) not in client.get(page_of(campaign)).content.decode()
    assert Campaign.objects.get().status == "paused"


def test_nobody_acts_without_logging_in_or_without_a_csrf_token(admin_user: User) -> None:
    campaign = make()
    assert Client().post(address("pause", campaign)).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(address("pause", campaign)).status_code == 403
    assert Campaign.objects.get().status == "running"


def test_what_there_is_not_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(address("pause", Campaign(pk=uuid4()))).status_code == 404


# --- Asking first -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "status"), [(name, status) for status, names in BUTTONS.items() for name in names]
)
def test_asking_changes_nothing(admin_client: Client, action: str, status: str) -> None:
    campaign = make(status, *([] if status == "draft" else ["busy"]), "queued")
    rows = list(Campaign.objects.values()), list(CallLog.objects.values())
    response = admin_client.get(address(action, campaign))
    assert response.status_code == 200
    assert 'method="post"' in response.content.decode()
    assert (list(Campaign.objects.values()), list(CallLog.objects.values())) == rows
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("action", "status", "sentences"),
    [
        ("start", "draft", ["From now on 2 calls are placed."]),
        ("schedule", "draft", ["From that time on 2 calls are placed."]),
        ("unschedule", "scheduled", ["becomes a draft"]),
        (
            "pause",
            "running",
            [
                "2 calls have not been placed yet, and are not until the campaign is resumed.",
                "3 calls are under way and go on to their end.",
            ],
        ),
        ("resume", "paused", ["From now on 2 calls are placed."]),
        (
            "cancel",
            "running",
            [
                "2 calls have not been placed yet and never will be.",
                "2 calls ring now, or are about to, and will be ended.",
                "1 conversation goes on to its end.",
                "This cannot be undone.",
            ],
        ),
        ("retry", "completed", ["A draft is made of 1 call that reached nobody or failed."]),
        ("clone", "completed", ["A draft is made of all 7 calls, with the template as it is now"]),
    ],
)
def test_it_is_said_with_numbers_what_will_happen(
    admin_client: Client, action: str, status: str, sentences: list[str]
) -> None:
    statuses = ["queued", "queued", "dialing", "ringing", "in_progress", "busy", "completed"]
    page = text_of(admin_client.get(address(action, make(status, *statuses))))
    for sentence in sentences:
        assert sentence in page


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (name, status)
        for status, names in BUTTONS.items()
        for name in ALL_ACTIONS
        if name not in names
    ],
)
def test_what_the_status_does_not_allow_is_said_and_nothing_is_changed(
    admin_client: Client, action: str, status: str
) -> None:
    campaign = make(status, "busy")
    for response in (
        admin_client.get(address(action, campaign), follow=True),
        confirm(admin_client, action, campaign),
    ):
        assert response.redirect_chain == [(page_of(campaign), 302)]
        assert f"Nothing was changed: the campaign is {status}" in said(response)
    assert Campaign.objects.get().status == status
    assert not LogEntry.objects.exists()


# --- Doing it -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "status"),
    [(n, status) for status, names in BUTTONS.items() for n in names if n in LEADS_TO],
)
def test_a_confirmed_action_is_done_once_and_logged_once(
    admin_client: Client, action: str, status: str
) -> None:
    campaign = make(status, "queued")
    response = confirm(admin_client, action, campaign)
    assert response.redirect_chain == [(page_of(campaign), 302)]
    assert Campaign.objects.get().status == LEADS_TO[action]
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.action_flag) == (str(campaign.pk), CHANGE)
    assert entry.change_message in said(response)

    again = confirm(admin_client, action, campaign)
    assert again.status_code == 200
    if action != "schedule":  # which sets the time anew
        assert "Nothing was changed: the campaign is" in said(again)
    assert Campaign.objects.get().status == LEADS_TO[action]
    assert LogEntry.objects.count() == 1


def test_a_campaign_is_scheduled_for_the_time_that_is_given(admin_client: Client) -> None:
    campaign = make("draft", "queued")
    response = confirm(admin_client, "schedule", campaign, at=(at := local(days=3)))
    campaign.refresh_from_db()
    assert campaign.starts_at is not None
    assert timezone.localtime(campaign.starts_at).strftime("%Y-%m-%dT%H:%M") == at
    assert "scheduled for" in text_of(response)
    assert f'value="{at}"' in admin_client.get(address("schedule", campaign)).content.decode()
    assert "scheduled for" in text_of(admin_client.get(CAMPAIGNS))


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (lambda: local(hours=-1), "has passed"),
        (lambda: local(days=400), "more than a year away"),
        (lambda: "", "required"),
        (lambda: "tomorrow", "valid date/time"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused_on_the_page(
    admin_client: Client, at: Any, message: str
) -> None:
    campaign = make("draft")
    response = confirm(admin_client, "schedule", campaign, at=at())
    assert message in text_of(response)
    assert Campaign.objects.get().status == "draft"


@pytest.mark.parametrize(("action", "calls"), [("retry", 1), ("clone", 2)])
def test_a_copy_is_made_once_however_often_its_form_is_sent(
    admin_client: Client, admin_user: User, action: str, calls: int
) -> None:
    campaign, token = make("completed", "busy", "completed"), str(uuid4())
    for _ in range(2):
        response = confirm(admin_client, action, campaign, token=token)
        copy = Campaign.objects.get(copied_from=campaign)
        assert response.redirect_chain == [(page_of(copy), 302)]
    assert "This form was sent before" in said(response)
    assert (str(copy.pk), copy.created_by, copy.source) == (token, admin_user, "admin")
    assert (copy.status, copy.calls.count()) == ("draft", calls)
    logged = {(entry.object_id, entry.action_flag) for entry in LogEntry.objects.all()}
    assert logged == {(str(campaign.pk), CHANGE), (token, ADDITION)}
    assert page_of(campaign) in admin_client.get(page_of(copy)).content.decode()


@pytest.mark.parametrize("token", ["", "x"])
def test_a_copy_without_a_token_is_refused(admin_client: Client, token: str) -> None:
    response = confirm(admin_client, "clone", make("completed", "busy"), token=token)
    assert "This form is not whole: open it anew." in text_of(response)
    assert Campaign.objects.count() == 1


def test_why_there_can_be_no_copy_is_said_instead_of_asking(admin_client: Client) -> None:
    campaign = make("completed", "completed")
    campaign.template_version.template.revise(system_prompt="{{amount}} {{due}}")
    for action, sentence in (("retry", "No call of this campaign"), ("clone", "due (1)")):
        for response in (
            admin_client.get(address(action, campaign), follow=True),
            confirm(admin_client, action, campaign),
        ):
            assert response.redirect_chain == [(page_of(campaign), 302)]
            assert sentence in said(response)
    assert Campaign.objects.count() == 1


# --- Adding -------------------------------------------------------------------------------------


def test_a_campaign_is_added_as_a_draft(admin_client: Client) -> None:
    response = launch(admin_client, EXAMPLE, start="draft", starts_at="2020-01-01T00:00")
    assert Campaign.objects.get().status == "draft"
    assert "The campaign was saved as a draft: 2 calls." in said(response)


def test_a_campaign_is_added_for_later(admin_client: Client) -> None:
    response = launch(admin_client, EXAMPLE, start="later", starts_at=local(days=1))
    campaign = Campaign.objects.get()
    assert campaign.status == "scheduled"
    assert campaign.starts_at is not None
    assert "The campaign was scheduled: 2 calls." in said(response)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": "later"}, "Say when it is to start."),
        ({"start": "later", "starts_at": "2020-01-01T00:00"}, "has passed"),
        ({"start": "later", "starts_at": "x"}, "valid date/time"),
        ({"start": "tomorrow"}, "valid choice"),
        ({"start": ""}, "required"),
        ({"token": ""}, "This form is not whole: open it anew."),
    ],
)
def test_a_start_that_cannot_be_meant_adds_nothing(
    admin_client: Client, given: dict[str, Any], message: str
) -> None:
    assert message in text_of(launch(admin_client, EXAMPLE, **given))
    assert not Campaign.objects.exists()


def test_a_form_that_is_sent_twice_launches_once(admin_client: Client) -> None:
    template, token = make_template(system_prompt="{{amount}}"), str(uuid4())
    first = launch(admin_client, EXAMPLE, template, token=token)
    second = launch(admin_client, EXAMPLE, template, token=token)
    campaign = Campaign.objects.get()
    assert str(campaign.pk) == token
    assert first.redirect_chain == second.redirect_chain == [(page_of(campaign), 302)]
    assert "This form was sent before" in said(second)
    assert (CallLog.objects.count(), LogEntry.objects.count()) == (2, 1)


def test_a_form_with_the_id_of_another_campaign_leaves_that_as_it_is(admin_client: Client) -> None:
    other = make("paused", "queued", name="Mine")
    launch(admin_client, EXAMPLE, token=str(other.pk))
    assert list(Campaign.objects.values_list("name", "status")) == [("Mine", "paused")]
    assert CallLog.objects.count() == 1


def test_each_form_has_a_token_of_its_own_and_keeps_it_when_it_is_refused(
    admin_client: Client,
) -> None:
    tokens = [admin_client.get(ADD).context["form"]["token"].value() for _ in range(2)]
    assert tokens[0] != tokens[1]
    refused = launch(admin_client, "numberToCall\n12\n", token=str(tokens[0]))
    assert refused.context["form"]["token"].value() == str(tokens[0])


# --- A held account -----------------------------------------------------------------------------


def hold(**fields: Any) -> ProviderAccount:
    account = ProviderAccount.objects.default()
    account.held_since = timezone.now()
    account.held_until = timezone.now() + timedelta(minutes=5)
    account.held_reason = "account: the key is wrong"
    for name, value in fields.items():
        setattr(account, name, value)
    account.save()
    return account


def test_pages_say_that_the_account_is_held_and_why(admin_client: Client) -> None:
    running, ended = make(), make("completed")
    assert "No call is placed" not in text_of(admin_client.get(CAMPAIGNS))
    hold()
    for page in (CAMPAIGNS, ADD, page_of(running)):
        assert "The provider refuses the account (the key is wrong)" in text_of(
            admin_client.get(page)
        )
    assert "No call is placed" not in text_of(admin_client.get(page_of(ended)))


def test_an_account_that_is_not_in_use_is_not_spoken_of(admin_client: Client) -> None:
    hold()
    ProviderAccount.objects.create(name="Other", provider="simulated", is_default=True)
    assert "No call is placed" not in text_of(admin_client.get(CAMPAIGNS))


def test_looking_makes_no_account(admin_client: Client) -> None:
    campaign = make("draft")
    for page in (CAMPAIGNS, ADD, page_of(campaign), address("start", campaign)):
        assert admin_client.get(page).status_code == 200
    assert not ProviderAccount.objects.exists()


def test_a_held_account_is_told_of_without_trusting_its_reason(admin_client: Client) -> None:
    hold(held_reason="provider: <script>1</script>", held_since=timezone.now() - timedelta(days=3))
    assert "<script>1" not in admin_client.get(CAMPAIGNS).content.decode()
