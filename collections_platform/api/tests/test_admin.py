import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from collections_platform.api.models import ApiClient
from collections_platform.api.tests.factories import Api

pytestmark = pytest.mark.django_db

TOKEN = "/auth/v1/api-key/auth"
ANY_CALL = "/ai/phone-calls/550e8400-e29b-41d4-a716-446655440000"
CLIENTS = reverse("admin:api_apiclient_changelist")
ADD = reverse("admin:api_apiclient_add")
NO_SECRETS_SENT = {"secrets-TOTAL_FORMS": 0, "secrets-INITIAL_FORMS": 0}


def page_of(client: ApiClient) -> str:
    return reverse("admin:api_apiclient_change", args=[client.pk])


def test_the_secret_is_shown_once_and_never_again(admin_client: Client) -> None:
    data = {"name": "ERP", "scopes": ["calls:write"]}
    shown = admin_client.post(ADD, data, follow=True).content.decode()
    client = ApiClient.objects.get()
    assert client.scopes == ["calls:write"]
    assert str(client.pk) in shown
    candidates = re.findall(r"<code[^>]*>([\w-]{43})</code>", shown)
    assert len(candidates) == 1
    assert client.secrets.get().matches(candidates[0])
    for page in (CLIENTS, page_of(client)):
        later = admin_client.get(page).content.decode()
        assert candidates[0] not in later
        assert client.secrets.get().digest not in later


def test_list_and_page_show_a_client(admin_client: Client) -> None:
    client = ApiClient.objects.create(name="نظام الفوترة")
    client.add_secret()
    for page in (CLIENTS, page_of(client)):
        response = admin_client.get(page)
        assert response.status_code == 200
        assert client.name in response.content.decode()


def test_the_list_needs_the_same_queries_for_3_rows_and_for_30(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        ApiClient.objects.create(name=f"Client {number}").add_secret()
    with django_assert_max_num_queries(6) as few:
        admin_client.get(CLIENTS)
    for number in range(3, 30):
        ApiClient.objects.create(name=f"Client {number}").add_secret()
    with django_assert_max_num_queries(len(few)):
        admin_client.get(CLIENTS)


def address(name: str, client: ApiClient, *more: Any) -> str:
    return reverse(f"admin:{name}", args=[client.pk, *more])


def log_of(client: ApiClient) -> list[str]:
    entries = LogEntry.objects.filter(object_id=str(client.pk)).order_by("pk")
    return [entry.get_change_message() for entry in entries]


def test_a_new_secret_is_shown_once_logged_and_works(admin_client: Client) -> None:
    client = ApiClient.objects.create(name="ERP")
    first = client.add_secret()
    page = address("api_clientsecret_new", client)
    assert page in admin_client.get(page_of(client)).content.decode()
    assert admin_client.get(page).status_code == 200
    assert client.secrets.count() == 1
    response = admin_client.post(page, {"confirmed": "yes", "expires_in_days": "30"})
    assert "no-store" in response["Cache-Control"]
    (shown,) = re.findall(r"<code[^>]*>([\w-]{43})</code>", response.content.decode())
    assert not response.cookies.get("messages")
    newest = client.secrets.latest("pk")
    assert newest.matches(shown)
    assert newest.expires_at
    assert timedelta(days=29) < newest.expires_at - timezone.now() <= timedelta(days=30)
    for secret in (first, shown):
        body = json.dumps({"clientId": str(client.pk), "clientSecret": secret})
        asked = Client().post(TOKEN, body, content_type="application/json")
        assert asked.status_code == 200
    later = admin_client.get(page_of(client)).content.decode()
    assert shown not in later
    assert newest.digest not in later
    assert log_of(client) == ["Added a secret."]


def test_a_third_secret_is_refused_and_a_wrong_number_of_days_too(admin_client: Client) -> None:
    client = ApiClient.objects.create(name="ERP")
    client.add_secret()
    page = address("api_clientsecret_new", client)
    assert admin_client.post(page, {"expires_in_days": "0"}).status_code == 200
    assert client.secrets.count() == 1
    client.add_secret()
    refused = admin_client.post(page, {"confirmed": "yes"}, follow=True)
    assert "two live secrets" in refused.content.decode()
    assert client.secrets.count() == 2
    assert log_of(client) == []


def test_revoking_a_secret_asks_first_and_ends_its_tokens_at_once(admin_client: Client) -> None:
    api = Api()
    secret = api.client.secrets.get()
    page = address("api_clientsecret_revoke", api.client, secret.pk)
    assert page in admin_client.get(page_of(api.client)).content.decode()
    assert admin_client.get(page).status_code == 200
    assert api.get(ANY_CALL).status_code == 404
    for _ in range(2):
        assert admin_client.post(page).status_code == 302
        assert api.get(ANY_CALL).status_code == 401
    assert log_of(api.client) == [f"Revoked the secret made at {secret} UTC."]
    assert page not in admin_client.get(page_of(api.client)).content.decode()
    other = ApiClient.objects.create(name="other")
    page = address("api_clientsecret_revoke", other, secret.pk)
    assert admin_client.post(page).status_code == 404


def test_revoking_a_client_asks_first_and_ends_its_tokens_at_once(admin_client: Client) -> None:
    api = Api()
    page = address("api_apiclient_revoke", api.client)
    assert admin_client.get(page).status_code == 200
    assert api.get(ANY_CALL).status_code == 404
    for _ in range(2):
        assert admin_client.post(page).status_code == 302
        assert api.get(ANY_CALL).status_code == 401
    assert log_of(api.client) == ["Revoked the client."]
    shown = admin_client.get(page_of(api.client)).content.decode()
    assert page not in shown
    assert address("api_clientsecret_new", api.client) not in shown


def test_scopes_are_taken_away_at_once(admin_client: Client) -> None:
    api = Api()
    assert api.get(ANY_CALL).status_code == 404
    data = {"name": api.client.name, "scopes": ["contacts:read"], **NO_SECRETS_SENT}
    assert admin_client.post(page_of(api.client), data).status_code == 302
    assert api.get(ANY_CALL).status_code == 403
    assert log_of(api.client) == ["Changed Scopes."]


@pytest.mark.parametrize("may", ["view_apiclient", None])
def test_staff_without_the_permission_change_nothing(may: str | None) -> None:
    api = Api()
    user = get_user_model().objects.create_user("reader", is_staff=True)
    if may:
        user.user_permissions.add(Permission.objects.get(codename=may))
    browser = Client()
    browser.force_login(user)
    secret = api.client.secrets.get()
    pages = [
        address("api_clientsecret_new", api.client),
        address("api_apiclient_revoke", api.client),
        address("api_clientsecret_revoke", api.client, secret.pk),
    ]
    for page in pages:
        assert browser.get(page).status_code == 403
        assert browser.post(page, {"confirmed": "yes"}).status_code == 403
    shown = browser.get(page_of(api.client))
    assert shown.status_code == (200 if may else 403)
    assert not any(page in shown.content.decode() for page in pages)
    assert api.get(ANY_CALL).status_code == 404
    assert api.client.secrets.count() == 1


def test_changing_needs_a_csrf_token_and_a_log_in(admin_user: Any) -> None:
    api = Api()
    page = address("api_apiclient_revoke", api.client)
    browser = Client(enforce_csrf_checks=True)
    assert browser.post(page).status_code in {302, 403}
    browser.force_login(admin_user)
    assert browser.post(page).status_code == 403
    assert api.get(ANY_CALL).status_code == 404


def test_a_client_cannot_be_deleted(admin_client: Client) -> None:
    client = ApiClient.objects.create(name="ERP")
    page = reverse("admin:api_apiclient_delete", args=[client.pk])
    assert admin_client.post(page, {"post": "yes"}).status_code == 403
