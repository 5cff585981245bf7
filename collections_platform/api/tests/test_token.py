import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import jwt
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from rest_framework.views import APIView

from collections_platform.api.authentication import BearerAuthentication, HasScope
from collections_platform.api.models import ApiClient, Scope, SecretRefused
from collections_platform.api.tests.factories import Api, make_client

pytestmark = pytest.mark.django_db
TOKEN = "/auth/v1/api-key/auth"
ANY_CALL = "/ai/phone-calls/550e8400-e29b-41d4-a716-446655440000"


def ask(**fields: Any) -> Any:
    return Client().post(TOKEN, json.dumps(fields), content_type="application/json")


def get_with(authorization: str | None) -> Any:
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = Client().get(ANY_CALL, headers=headers)
    if answer.status_code == 401:
        assert list(answer.json()) == ["detail"]
        assert answer["WWW-Authenticate"] == "Bearer"
    return answer


@pytest.mark.parametrize("prefix", ["", "/api-service/v1"])
def test_id_and_secret_buy_a_token_that_opens_the_api(prefix: str) -> None:
    client, secret = make_client()
    fields = {"clientId": str(client.pk), "clientSecret": secret}
    answer = Client().post(prefix + TOKEN, json.dumps(fields), content_type="application/json")
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 3600)
    assert get_with(f"Bearer {token['access_token']}").status_code == 404


def test_a_wrong_id_and_a_wrong_or_ended_secret_get_the_same_401() -> None:
    client, secret = make_client()
    answers = [
        ask(clientId=str(client.pk), clientSecret="wrong"),
        ask(clientId="550e8400-e29b-41d4-a716-446655440000", clientSecret=secret),
        ask(clientId="no uuid", clientSecret=secret),
    ]
    for end in ({"expires_at": timezone.now()}, {"revoked_at": timezone.now()}):
        client.secrets.update(**end)
        answers.append(ask(clientId=str(client.pk), clientSecret=secret))
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


def test_a_scope_taken_away_is_missed_at_once_by_a_token_bought_before() -> None:
    client, _ = make_client()
    api = Api(client)
    assert api.get(ANY_CALL).status_code == 404
    ApiClient.objects.update(scopes=["contacts:read"])
    assert api.get(ANY_CALL).status_code == 403
    ApiClient.objects.update(scopes=["calls:read"])
    assert api.get(ANY_CALL).status_code == 404


def test_a_new_client_has_all_scopes() -> None:
    assert make_client()[0].scopes == [
        "calls:write",
        "calls:read",
        "contacts:read",
        "contacts:write",
        "campaigns:control",
    ]


def test_every_method_of_every_endpoint_names_a_scope() -> None:
    guarded = [view for view in views(get_resolver()) if HasScope in view.permission_classes]
    assert len(guarded) >= 3
    for view in guarded:
        assert view.authentication_classes == [BearerAuthentication]
        methods = {name.upper() for name in view.http_method_names if hasattr(view, name)}
        assert set(view.scopes) == methods - {"OPTIONS", "HEAD"}
        assert set(view.scopes.values()) <= set(Scope.values)


def views(resolver: URLResolver) -> Iterator[Any]:
    """The views of the API."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from views(pattern)
            continue
        view = getattr(pattern.callback, "view_class", object)
        if issubclass(view, APIView):
            yield view


@pytest.mark.parametrize("path", ["/healthz", "/readyz?checks=database", "/admin/login/"])
def test_what_is_open_needs_no_token(path: str) -> None:
    assert Client().get(path).status_code == 200


def test_options_is_a_method_like_any_other() -> None:
    anonymous = Client().options(ANY_CALL)
    assert (anonymous.status_code, anonymous["WWW-Authenticate"]) == (401, "Bearer")
    assert Api().request("OPTIONS", ANY_CALL).status_code == 405
    assert Client().options(TOKEN).status_code == 405


def test_a_request_reads_token_secret_client_and_scopes_in_one_query(
    django_assert_num_queries,
) -> None:
    api = Api()
    with django_assert_num_queries(2):  # and the call that is not there
        api.get(ANY_CALL)


def test_two_secrets_may_be_live_and_a_third_is_refused() -> None:
    client, first = make_client()
    second = client.add_secret()
    for secret in (first, second):
        assert ask(clientId=str(client.pk), clientSecret=secret).status_code == 200
    with pytest.raises(SecretRefused, match="two live secrets"):
        client.add_secret()
    oldest = client.secrets.earliest("pk")
    assert oldest.revoke()
    assert not oldest.revoke()
    third = client.add_secret(expires_at=timezone.now() + timedelta(days=1))
    assert ask(clientId=str(client.pk), clientSecret=first).status_code == 401
    assert ask(clientId=str(client.pk), clientSecret=third).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        assert ask(clientId=str(client.pk), clientSecret=third).status_code == 401
        client.add_secret()


def test_a_secret_that_ends_takes_only_its_own_tokens_with_it() -> None:
    client, first = make_client()
    second = client.add_secret()
    tokens = [
        ask(clientId=str(client.pk), clientSecret=secret).json()["access_token"]
        for secret in (first, second)
    ]
    client.secrets.earliest("pk").revoke()
    assert [get_with(f"Bearer {token}").status_code for token in tokens] == [401, 404]
    assert client.revoke()
    assert not client.revoke()
    assert [get_with(f"Bearer {token}").status_code for token in tokens] == [401, 401]
    with pytest.raises(SecretRefused, match="revoked"):
        client.add_secret()


def test_the_use_of_a_secret_is_noted_once_a_minute() -> None:
    client, secret = make_client()
    fields = {"clientId": str(client.pk), "clientSecret": secret}
    ask(**fields)
    used = client.secrets.get().last_used_at
    assert used
    assert timezone.now() - used < timedelta(seconds=10)
    ask(**fields)
    assert client.secrets.get().last_used_at == used
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        ask(**fields)
    later = client.secrets.get().last_used_at
    assert later
    assert later > used


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


def test_the_command_sets_scopes_and_the_end_of_the_secret() -> None:
    options = ["--scope", "calls:read", "--scope=contacts:read", "--expires-in-days", "30"]
    call_command("create_api_client", "reports", *options, stdout=StringIO())
    client = ApiClient.objects.get()
    assert client.scopes == ["calls:read", "contacts:read"]
    expires_at = client.secrets.get().expires_at
    assert expires_at
    assert timedelta(days=29) < expires_at - timezone.now() <= timedelta(days=30)


@pytest.mark.parametrize(
    "arguments",
    [
        ["x", "--scope", "everything"],
        ["x", "--expires-in-days", "0"],
        ["x", "--expires-in-days", "soon"],
        [""],
        ["x" * 121],
    ],
)
def test_the_command_refuses_what_makes_no_client(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("create_api_client", *arguments)
    assert not ApiClient.objects.exists()


def test_secrets_are_stored_as_digests_only() -> None:
    client, secret = make_client()
    assert client.secrets.get().digest != secret
    assert len(client.secrets.get().digest) == 64


@pytest.mark.parametrize("prefix", ["", "/api-service/v1"])
@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/ai/phone-calls/action/call-bulk", "calls:write"),
        ("POST", "/ai/phone-calls/action/call", "calls:write"),
        ("POST", "/ai/phone-calls/{}/action/cancel", "calls:write"),
        ("GET", "/ai/phone-calls", "calls:read"),
        ("GET", "/ai/phone-calls/{}", "calls:read"),
        ("GET", "/ai/campaigns/{}", "calls:read"),
        ("GET", "/ai/settings-templates", "calls:read"),
        ("POST", "/ai/campaigns/{}/action/pause", "campaigns:control"),
        ("GET", "/contact", "contacts:read"),
        ("GET", "/contact/{}", "contacts:read"),
        ("POST", "/contact/{}/suppression", "contacts:write"),
        ("DELETE", "/contact/{}/suppression", "contacts:write"),
    ],
)
def test_each_endpoint_asks_for_its_own_scope(
    prefix: str, method: str, path: str, scope: str
) -> None:
    path = prefix + path.format("550e8400-e29b-41d4-a716-446655440000")
    others = [other for other in Scope.values if other != scope]
    without = Api(make_client("without", scopes=others)[0])
    only = Api(make_client("only", scopes=[scope])[0])
    assert without.request(method, path).status_code == 403
    assert only.request(method, path).status_code in {200, 404, 422}
