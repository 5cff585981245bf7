import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from collections_platform.api.models import ApiClient, ClientSecret

pytestmark = pytest.mark.django_db

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
    candidates = re.findall(r"<code>([\w-]{43})</code>", shown)
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


def test_a_client_is_revoked_with_all_its_secrets(admin_client: Client) -> None:
    client = ApiClient.objects.create(name="ERP")
    client.add_secret()
    now = timezone.now()
    data = {"name": "ERP", "scopes": client.scopes, **NO_SECRETS_SENT}
    data |= {"revoked_at_0": f"{now:%Y-%m-%d}", "revoked_at_1": f"{now:%H:%M:%S}"}
    assert admin_client.post(page_of(client), data).status_code == 302
    client.refresh_from_db()
    assert client.revoked_at
    assert not ClientSecret.objects.live().exists()


def test_a_client_cannot_be_deleted(admin_client: Client) -> None:
    client = ApiClient.objects.create(name="ERP")
    page = reverse("admin:api_apiclient_delete", args=[client.pk])
    assert admin_client.post(page, {"post": "yes"}).status_code == 403
