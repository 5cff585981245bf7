import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.models import (
    CallLog,
    ProviderAccount,
    ProviderEvent,
    WebhookDelivery,
    WebhookEndpoint,
)
from calls.statuses import CallStatus
from calls.tests.factories import make_call, make_endpoint
from contacts.tests.factories import make_contact

pytestmark = pytest.mark.django_db

CALLS = reverse("admin:calls_calllog_changelist")
EVENTS = reverse("admin:calls_providerevent_changelist")
DELIVERIES = reverse("admin:calls_webhookdelivery_changelist")
ACCOUNTS = reverse("admin:calls_provideraccount_changelist")
ENDPOINTS = reverse("admin:calls_webhookendpoint_changelist")
ADD_ENDPOINT = reverse("admin:calls_webhookendpoint_add")
ADD_ACCOUNT = reverse("admin:calls_provideraccount_add")
NO_NUMBERS = {"numbers-TOTAL_FORMS": 0, "numbers-INITIAL_FORMS": 0}
NO_SECRETS_SENT = {"secrets-TOTAL_FORMS": 0, "secrets-INITIAL_FORMS": 0}


def make_ended_call(**what_matters: Any) -> CallLog:
    contact = make_contact(first_name="أحمد", last_name="الراشد")
    call = make_call(
        **{
            "contact": contact,
            "status": CallStatus.COMPLETED,
            "outcome": "PROMISE_TO_PAY",
            "answered_at": timezone.now(),
            "duration_seconds": 65,
            "transcript": "Agent: مرحبا\nCustomer: نعم",
        }
        | what_matters
    )
    WebhookDelivery.objects.create(
        endpoint=make_endpoint(), call=call, event_type="phone_call.ended"
    )
    ProviderEvent.objects.create(
        account=ProviderAccount.objects.default(),
        event_id=str(uuid4()),
        call=call,
        kind="ended",
        occurred_at=timezone.now(),
    )
    return call


def page_of(record: Any) -> str:
    return reverse(f"admin:calls_{record._meta.model_name}_change", args=[record.pk])


def found(client: Client, **query: Any) -> set[CallLog]:
    return set(client.get(CALLS, query).context["cl"].queryset)


def test_every_list_and_page_answers(admin_client: Client) -> None:
    call = make_ended_call()
    records = (
        call,
        call.events.get(),
        call.deliveries.get(),
        call.account,
        WebhookEndpoint.objects.get(),
    )
    for record in records:
        assert admin_client.get(page_of(record)).status_code == 200
    for page in (CALLS, EVENTS, DELIVERIES, ACCOUNTS, ENDPOINTS, ADD_ENDPOINT, ADD_ACCOUNT):
        assert admin_client.get(page).status_code == 200
    assert "أحمد الراشد" in admin_client.get(CALLS).content.decode()


@pytest.mark.parametrize("page", [CALLS, EVENTS, DELIVERIES])
def test_a_list_needs_the_same_queries_for_3_rows_and_for_30(
    page: str, admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        make_ended_call()
    with django_assert_max_num_queries(10) as few:
        admin_client.get(page)
    for _ in range(27):
        make_ended_call()
    with django_assert_max_num_queries(len(few)):
        admin_client.get(page)


def test_a_call_is_found_by_call_id_attempt_id_and_number(admin_client: Client) -> None:
    call = make_call(contact=make_contact(phone_number="+966555123456"), is_last_attempt=False)
    retry = make_call(
        id=uuid4(), call_id=call.call_id, attempt=2, batch=call.batch, contact=call.contact
    )
    make_call()
    assert found(admin_client, q=str(call.call_id)) == {call, retry}
    assert found(admin_client, q=str(retry.pk)) == {retry}
    for number in ("+966 555 123 456", "0555123456", "123456"):
        assert found(admin_client, q=number) == {call, retry}
    assert found(admin_client, q="nobody") == set()


def test_calls_are_filtered_by_campaign_status_and_outcome(admin_client: Client) -> None:
    call, other = make_ended_call(), make_call()
    assert found(admin_client, campaign=call.campaign_id) == {call}
    assert found(admin_client, status__exact="queued") == {other}
    assert found(admin_client, outcome="PROMISE_TO_PAY") == {call}
    assert admin_client.get(CALLS, {"campaign": "x"}).status_code == 302


def test_a_calls_page_tells_the_whole_call(admin_client: Client) -> None:
    call = make_ended_call(system_prompt="First\nSecond <b>", is_last_attempt=False)
    retry = make_call(
        id=uuid4(), call_id=call.call_id, attempt=2, batch=call.batch, contact=call.contact
    )
    text = admin_client.get(page_of(call)).content.decode()
    assert "Simulated: nobody was really called." in text
    assert "First<br>Second &lt;b&gt;" in text
    assert "Agent: مرحبا<br>Customer: نعم" in text
    assert "1:05" in text
    assert page_of(retry) in text
    assert call.events.get().event_id in text
    assert "http://127.0.0.1:9/hooks" in text
    assert "Simulated" not in admin_client.get(page_of(retry)).content.decode()


def test_records_are_neither_added_nor_changed_nor_deleted(admin_client: Client) -> None:
    call = make_ended_call()
    for record in (call, call.events.get(), call.deliveries.get()):
        name = record._meta.model_name
        pages = [
            reverse(f"admin:calls_{name}_add"),
            page_of(record),
            reverse(f"admin:calls_{name}_delete", args=[record.pk]),
        ]
        for page in pages:
            assert admin_client.post(page, {"post": "yes"}).status_code == 403
    page = reverse("admin:calls_webhookendpoint_delete", args=[WebhookEndpoint.objects.get().pk])
    assert admin_client.post(page, {"post": "yes"}).status_code == 403


def test_the_signing_secret_is_shown_once_and_never_again(admin_client: Client) -> None:
    data = {
        "url": "https://hooks.example/in",
        "form": "envelope",
        "events": ["phone_call.ended"],
        "is_enabled": "on",
    }
    shown = admin_client.post(ADD_ENDPOINT, data, follow=True).content.decode()
    endpoint = WebhookEndpoint.objects.get()
    secret = endpoint.secrets.get().value
    assert re.findall(r"<code>(.+?)</code>", shown) == [secret]
    assert endpoint.disabled_at is None
    for page in (ENDPOINTS, page_of(endpoint)):
        assert secret not in admin_client.get(page).content.decode()


def test_an_endpoint_is_disabled_and_enabled(admin_client: Client) -> None:
    endpoint = make_endpoint()
    data = {"url": endpoint.url, "form": "flat", "events": endpoint.events} | NO_SECRETS_SENT
    assert admin_client.post(page_of(endpoint), data).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.disabled_at
    assert endpoint.form == "flat"
    assert admin_client.post(page_of(endpoint), data | {"is_enabled": "on"}).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.disabled_at is None
    assert endpoint.secrets.count() == 1


def test_making_an_account_the_default_takes_it_from_the_other(admin_client: Client) -> None:
    old = ProviderAccount.objects.create(name="Old", provider="simulated", is_default=True)
    data = {"name": "New", "provider": "simulated", "is_default": "on"} | NO_NUMBERS
    assert admin_client.post(ADD_ACCOUNT, data).status_code == 302
    old.refresh_from_db()
    assert not old.is_default
    assert ProviderAccount.objects.default().name == "New"


def test_what_reaches_nobody_is_no_default_where_it_is_not_allowed(
    admin_client: Client, settings: Any
) -> None:
    settings.ALLOW_SIMULATED = False
    data = {"name": "New", "provider": "simulated", "is_default": "on"}
    response = admin_client.post(ADD_ACCOUNT, data)
    assert "reaches nobody" in str(response.context["adminform"].form.errors["is_default"])
    assert not ProviderAccount.objects.exists()
