import json
from datetime import timedelta
from io import StringIO
from typing import Any

import jwt
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from collections_platform.api.models import ApiClient
from collections_platform.api.tests.factories import Api, make_client

pytestmark = pytest.mark.django_db
TOKEN = "/auth/v1/api-key/auth"
ANY_CALL = "/ai/phone-calls/550e8400-e29b-41d4-a716-446655440000"


def ask(**fields: Any) -> Any:
    return Client().post(TOKEN, json.dumps(fields), content_type="application/json")


def get_with(authorization: str | None) -> Any:
    headers = {"Authorization": authorization} if authorization is not None else {}
    return Client().get(ANY_CALL, headers=headers)


@pytest.mark.parametrize("prefix", ["", "/api-service/v1"])
def test_id_and_secret_buy_a_token_that_opens_the_api(prefix: str) -> None:
    client, secret = make_client()
    fields = {"clientId": str(client.pk), "clientSecret": secret}
    answer = Client().post(prefix + TOKEN, json.dumps(fields), content_type="application/json")
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert get_with(f"Bearer {token['access_token']}").status_code == 404


def test_a_wrong_id_and_a_wrong_secret_get_the_same_401() -> None:
    client, secret = make_client()
    answers = [
        ask(clientId=str(client.pk), clientSecret="wrong"),
        ask(clientId="550e8400-e29b-41d4-a716-446655440000", clientSecret=secret),
        ask(clientId="no uuid", clientSecret=secret),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0]["WWW-Authenticate"] == "Bearer"


def test_a_request_without_id_or_secret_is_422_naming_both() -> None:
    answer = ask(clientId=5)
    assert answer.status_code == 422
    locs = [error["loc"] for error in answer.json()["detail"]]
    assert locs == [["body", "clientId"], ["body", "clientSecret"]]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer a b", "Basic YTpi", "Bearer not.a.token", "Bearer \u00e9"],
)
def test_a_missing_or_malformed_token_is_401(authorization: str | None) -> None:
    answer = get_with(authorization)
    assert answer.status_code == 401
    assert set(answer.json()) == {"detail"}
    assert answer["WWW-Authenticate"] == "Bearer"


def claims(client: ApiClient, **changes: Any) -> dict[str, Any]:
    now = timezone.now()
    return {
        "aud": "collections-api",
        "sub": str(client.pk),
        "sid": client.secrets.get().pk,
        "exp": now + timedelta(hours=1),
    } | changes


def test_a_token_of_another_key_or_of_none_is_401(settings) -> None:
    client, _ = make_client()
    good = Api(client).headers["Authorization"].removeprefix("Bearer ")
    kid = jwt.get_unverified_header(good)["kid"]
    forged = jwt.encode(claims(client), "f" * 40, "HS256", headers={"kid": kid})
    unsigned = jwt.encode(claims(client), "", "none", headers={"kid": kid})
    head, payload, signature = good.split(".")
    tampered = f"{head}.{payload[:-2]}AA.{signature}"
    no_kid = jwt.encode(claims(client), settings.JWT_KEYS[0], "HS256")
    for token in (forged, unsigned, tampered, no_kid):
        assert get_with(f"Bearer {token}").status_code == 401
    assert get_with(f"Bearer {good}").status_code == 404


def test_a_token_ends_after_an_hour_with_its_secret_or_with_its_client() -> None:
    client, _ = make_client()
    headers = Api(client).headers["Authorization"]
    assert get_with(headers).status_code == 404
    with time_machine.travel(timezone.now() + timedelta(seconds=3601)):
        assert get_with(headers).status_code == 401
    client.secrets.update(expires_at=timezone.now())
    assert get_with(headers).status_code == 401
    client.secrets.update(expires_at=None, revoked_at=timezone.now())
    assert get_with(headers).status_code == 401
    client.secrets.update(revoked_at=None)
    assert get_with(headers).status_code == 404
    ApiClient.objects.update(revoked_at=timezone.now())
    assert get_with(headers).status_code == 401


def test_a_token_signed_with_an_older_key_of_the_ring_is_still_good(settings) -> None:
    headers = Api().headers["Authorization"]
    settings.JWT_KEYS = ["n" * 40, *settings.JWT_KEYS]
    assert get_with(headers).status_code == 404
    settings.JWT_KEYS = ["n" * 40]
    assert get_with(headers).status_code == 401


def test_a_client_without_the_scope_is_403() -> None:
    client, _ = make_client(scopes=["contacts:read"])
    answer = Api(client).get(ANY_CALL)
    assert answer.status_code == 403
    assert set(answer.json()) == {"detail"}


def test_a_session_of_the_admin_opens_nothing(admin_client) -> None:
    assert admin_client.get(ANY_CALL).status_code == 401


def test_the_command_prints_exactly_id_and_secret() -> None:
    out = StringIO()
    call_command("create_api_client", "billing", stdout=out)
    made = json.loads(out.getvalue())
    assert set(made) == {"clientId", "clientSecret"}
    assert ask(**made).status_code == 200
    with pytest.raises(CommandError, match="exists already"):
        call_command("create_api_client", "billing")


def test_secrets_are_stored_as_digests_only() -> None:
    client, secret = make_client()
    assert client.secrets.get().digest != secret
    assert len(client.secrets.get().digest) == 64
