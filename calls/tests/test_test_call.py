from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from calls.dialling import place_batch
from calls.models import CallLog, ProviderAccount
from campaigns.models import Campaign
from contacts.models import Suppression
from contacts.tests.factories import make_contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
NUMBER = "+966500000001"


def make_account() -> ProviderAccount:
    return ProviderAccount.objects.create(name="other", provider="simulated")


def page_of(account: ProviderAccount) -> str:
    return reverse("admin:calls_provideraccount_test_call", args=[account.pk])


def send(client: Client, account: ProviderAccount, **changes: Any) -> Any:
    template = make_template(system_prompt="{{amount}} by {{due}}", tag_defaults={"due": "soon"})
    data = {
        "number": "+966 50 000 0001",
        "template": str(template.pk),
        "tags": "amount: 5,000 SAR: all of it\n\n",
        "token": str(uuid4()),
    }
    return client.post(page_of(account), data | changes, follow=True)


def test_one_call_is_placed_with_the_account(admin_client: Client, admin_user: Any) -> None:
    account = make_account()
    text = send(admin_client, account).content.decode()
    campaign = Campaign.objects.get()
    [call] = campaign.calls.all()
    assert (campaign.name, campaign.account, campaign.created_by) == (
        "Test call",
        account,
        admin_user,
    )
    assert (call.phone_number, call.prompt_tags) == (NUMBER, {"amount": "5,000 SAR: all of it"})
    assert reverse("admin:calls_calllog_change", args=[call.pk]) in text
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert call.account == account
    assert call.system_prompt == "5,000 SAR: all of it by soon"


def test_who_is_under_a_suppression_is_not_called(admin_client: Client) -> None:
    Suppression.objects.create(contact=make_contact(phone_number=NUMBER), reason="staff")
    send(admin_client, make_account())
    call = CallLog.objects.get()
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert call.status == "skipped"


def test_a_form_that_is_sent_twice_calls_once(admin_client: Client) -> None:
    account, token = make_account(), str(uuid4())
    template = make_template(system_prompt="Hello.")
    for _ in range(2):
        again = {"template": str(template.pk), "tags": "", "token": token}
        data = {"number": NUMBER} | again
        response = admin_client.post(page_of(account), data, follow=True)
    assert CallLog.objects.count() == 1
    assert "sent before" in response.content.decode()


@pytest.mark.parametrize(
    "change", [{"number": "0500000001"}, {"tags": ""}, {"tags": "amount"}, {"token": ""}], ids=str
)
def test_what_cannot_be_called_is_told_and_nothing_is_stored(
    admin_client: Client, change: dict[str, str]
) -> None:
    response = send(admin_client, make_account(), **change)
    assert response.context["form"].errors
    assert not Campaign.objects.exists()


def test_the_page_asks_first_and_is_for_those_who_may_launch(
    admin_client: Client, client: Client, django_user_model: Any
) -> None:
    account = make_account()
    assert "nobody will really be called" in admin_client.get(page_of(account)).content.decode()
    user = django_user_model.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_provideraccount"))
    client.force_login(user)
    assert client.get(page_of(account)).status_code == 403
    assert send(client, account).status_code == 403
    assert not Campaign.objects.exists()
