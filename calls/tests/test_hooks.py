import gzip
import json
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from calls.dialling import place_batch
from calls.hooks import HookView
from calls.models import CallLog, ProviderAccount, ProviderEvent, WebhookDelivery
from calls.polling import poll_calls
from calls.statuses import CallStatus
from calls.tests.factories import make_call, make_endpoint
from calls.tests.far_side import SECRET, Asked, Drops, FarSide, Says
from calls.webhooks.signing import signed_headers
from contacts.times import iso

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def make_account(**what_matters: Any) -> ProviderAccount:
    fields: dict[str, Any] = {
        "name": "agent",
        "provider": "http",
        "is_default": True,
        "settings": {"url": "http://127.0.0.1:9"},
        "credentials": json.dumps({"secret": SECRET}),
    }
    return ProviderAccount.objects.create(**fields | what_matters)


@pytest.fixture
def account() -> ProviderAccount:
    return make_account()


@pytest.fixture
def call(account: ProviderAccount) -> CallLog:
    return make_call(status=CallStatus.DIALING, account=account)


def told(call_id: Any, kind: str, seconds: int, **what_matters: Any) -> dict[str, Any]:
    event: dict[str, Any] = {
        "id": f"evt_{call_id}_{kind}",
        "type": kind,
        "callId": str(call_id),
        "providerCallId": f"agent-{call_id}",
        "at": iso(NOW + timedelta(seconds=seconds)),
        "from": "+12025550100",
    }
    if kind == "ended":
        event["ending"] = {"status": "completed", "reason": "customer_ended_call"}
    return event | what_matters


def post(
    client: Client,
    account: ProviderAccount | int,
    event: Any,
    *,
    secret: str = SECRET,
    path: str = "/hooks/{}",
    content_type: str = "application/json",
    **headers: str,
) -> Any:
    pk = account.pk if isinstance(account, ProviderAccount) else account
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    signed = signed_headers([secret], "evt_1", int(time.time()), body)
    return client.post(
        path.format(pk), body, content_type=content_type, headers={**signed, **headers}
    )


def status_of(call: CallLog) -> str:
    call.refresh_from_db()
    return call.status


# --- Answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/hooks/{}", "/api-service/v1/hooks/{}"])
def test_a_signed_event_is_taken_without_a_token(client, account, call, path: str) -> None:
    answer = post(client, account, told(call.pk, "ringing", 1), path=path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer["X-Request-ID"]
    assert status_of(call) == "ringing"


@pytest.mark.parametrize("pk", ["999", "99999999999999999999999999", "x", "-1", "1/", ""])
def test_an_account_that_does_not_exist_is_404_in_json(client, pk: str) -> None:
    answer = client.post(f"/hooks/{pk}", b"{}", content_type="application/json")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_an_account_of_a_provider_that_is_gone_is_404(client) -> None:
    assert post(client, make_account(provider="gone"), b"{}").status_code == 404


def test_what_another_secret_signed_is_401_and_changes_nothing(client, account, call) -> None:
    event = told(call.pk, "ended", 60)
    answer = post(client, account, event, secret="whsec_" + "A" * 32)
    assert (answer.status_code, answer.json()) == (401, {"detail": "The signature is wrong."})
    assert answer["WWW-Authenticate"]
    assert status_of(call) == "dialing"
    assert not ProviderEvent.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_is_not_signed_is_401(client, account, body: bytes) -> None:
    answer = client.post(f"/hooks/{account.pk}", body, content_type="application/json")
    assert (answer.status_code, answer.json()) == (401, {"detail": "The signature is missing."})


def test_a_provider_that_sends_no_events_is_sent_none(client) -> None:
    account = make_account(name="simulated", provider="simulated")
    assert post(client, account, b"{}").status_code == 401


def test_an_account_without_a_secret_believes_nothing(client) -> None:
    assert post(client, make_account(credentials=""), b"{}").status_code == 401


def test_an_event_that_cannot_be_read_is_422_and_names_every_fault(client, account, call) -> None:
    event = told(call.pk, "ended", 60, at="soon", ending={"status": "asleep", "reason": "x"})
    answer = post(client, account, event)
    assert answer.status_code == 422
    faults = answer.json()["detail"]
    assert [fault["loc"] for fault in faults] == [["body", "at"], ["body", "ending", "status"]]
    assert all(set(fault) == {"loc", "msg", "type"} for fault in faults)
    assert status_of(call) == "dialing"


def test_broken_json_is_422_at_its_place(client, account) -> None:
    [fault] = post(client, account, b'{"id": ').json()["detail"]
    assert (fault["loc"], fault["type"]) == (["body", 7], "json_invalid")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_another_content_type_is_415(client, account, content_type: str) -> None:
    answer = post(client, account, b"{}", content_type=content_type)
    assert answer.status_code == 415
    assert set(answer.json()) == {"detail"}


def test_a_compressed_body_is_415(client, account) -> None:
    body = gzip.compress(b"{}")
    assert post(client, account, body, **{"Content-Encoding": "gzip"}).status_code == 415


def test_a_body_of_more_than_a_mebibyte_is_413(client, account, call) -> None:
    event = told(call.pk, "ended", 60)
    room = HookView.max_body_bytes - len(json.dumps(event | {"x": ""}))
    assert post(client, account, event | {"x": "x" * (room + 1)}).status_code == 413
    assert status_of(call) == "dialing"
    assert post(client, account, event | {"x": "x" * room}).status_code == 200
    assert status_of(call) == "completed"


@pytest.mark.parametrize("method", ["get", "put", "delete", "options"])
def test_another_method_is_405(client, account, method: str) -> None:
    assert getattr(client, method)(f"/hooks/{account.pk}").status_code == 405


def test_a_database_that_is_busy_is_503_with_retry_after(client, account, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("calls.hooks.record_events", fail)
    answer = post(client, account, told("550e8400-e29b-41d4-a716-446655440000", "ringing", 1))
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert set(answer.json()) == {"detail"}


# --- What becomes of events ---------------------------------------------------------------------


def test_events_move_a_call_to_its_end(client, account, call) -> None:
    assert post(client, account, told(call.pk, "ringing", 1)).status_code == 200
    assert post(client, account, told(call.pk, "answered", 5)).status_code == 200
    assert status_of(call) == "in_progress"
    ending = {
        "status": "completed",
        "reason": "customer_ended_call",
        "durationSeconds": 55,
        "outcome": "PROMISE_TO_PAY",
        "transcript": "Agent: مرحبا\0",
        "summary": "Pays.\0",
    }
    assert post(client, account, told(call.pk, "ended", 60, ending=ending)).status_code == 200
    assert (status_of(call), call.outcome, call.duration_seconds) == (
        "completed",
        "PROMISE_TO_PAY",
        55,
    )
    assert (call.transcript, call.summary) == ("Agent: مرحبا", "Pays.")
    assert call.answered_at == NOW.replace(microsecond=NOW.microsecond // 1000 * 1000) + timedelta(
        seconds=5
    )
    assert (call.provider_call_id, call.number_from) == (f"agent-{call.pk}", "+12025550100")


def test_an_event_told_twice_is_recorded_once(client, account, call) -> None:
    make_endpoint()
    for _ in range(2):
        assert post(client, account, told(call.pk, "ended", 60)).status_code == 200
    assert ProviderEvent.objects.count() == 1
    assert WebhookDelivery.objects.count() == 1


def test_events_in_the_wrong_order_change_nothing_that_is_further_on(client, account, call) -> None:
    for kind, seconds in (("answered", 5), ("ringing", 1)):
        assert post(client, account, told(call.pk, kind, seconds)).status_code == 200
        assert status_of(call) == "in_progress"
    for kind, seconds in (("ended", 60), ("answered", 5), ("ringing", 1)):
        event = told(call.pk, kind, seconds, id=f"late_{kind}")
        assert post(client, account, event).status_code == 200
        assert status_of(call) == "completed"
    assert ProviderEvent.objects.filter(call=call).count() == 5


def test_of_two_endings_the_first_is_the_ending(client, account, call) -> None:
    make_endpoint()
    busy = {"status": "busy", "reason": "busy"}
    no_answer = {"status": "no_answer", "reason": "no_answer"}
    assert post(client, account, told(call.pk, "ended", 60, ending=busy)).status_code == 200
    second = told(call.pk, "ended", 30, id="evt_other", ending=no_answer)
    assert post(client, account, second).status_code == 200
    assert (status_of(call), call.ended_reason) == ("busy", "busy")
    assert WebhookDelivery.objects.count() == 1


def test_an_event_of_a_call_that_nobody_knows_is_kept_and_breaks_nothing(client, account) -> None:
    stranger = "550e8400-e29b-41d4-a716-446655440000"
    for kind in ("ringing", "ended", "ended"):
        assert post(client, account, told(stranger, kind, 1)).status_code == 200
    events = ProviderEvent.objects.order_by("pk")
    assert [(event.kind, event.call) for event in events] == [("ringing", None), ("ended", None)]


def test_an_event_of_another_accounts_call_moves_nothing(client, account, call) -> None:
    other = make_account(name="other", is_default=False)
    assert post(client, other, told(call.pk, "ended", 60)).status_code == 200
    assert status_of(call) == "dialing"


def test_an_id_of_the_agents_that_belongs_to_another_call_is_422(client, account, call) -> None:
    make_call(status=CallStatus.RINGING, account=account, provider_call_id="agent-1")
    event = told(call.pk, "ringing", 1, providerCallId="agent-1")
    answer = post(client, account, event)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["type"] == "event_refused"
    assert status_of(call) == "dialing"
    assert not ProviderEvent.objects.exists()


# --- With an agent that calls back while it is asked --------------------------------------------


@pytest.fixture
def agent(settings: Any) -> Iterator[FarSide]:
    settings.PUBLIC_URL = "http://testserver"
    with FarSide() as agent:
        yield agent


def tell_first(agent: FarSide, account: ProviderAccount, kinds: Sequence[str], then: Any) -> None:
    """Have the agent send events of each call it is asked to place before it answers."""

    def answer(asked: Asked) -> Any:
        request = json.loads(asked.body)
        path = request["callbackUrl"].removeprefix("http://testserver")
        try:
            for seconds, kind in enumerate(kinds):
                event = told(request["callId"], kind, seconds, providerCallId="agent-1")
                assert post(Client(), account, event, path=path).status_code == 200
        finally:
            connection.close()
        return then

    agent.answer = answer


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "then", [Says(201, {"id": "agent-1", "from": "+12025550100"}), Says(500), Drops()], ids=str
)
@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (["ringing"], "ringing"),
        (["ringing", "answered"], "in_progress"),
        (["ringing", "answered", "ended"], "completed"),
        (["ended", "ringing"], "completed"),
    ],
)
def test_events_may_come_before_the_answer_to_the_placement(agent, then, kinds, status) -> None:
    account = make_account(settings={"url": agent.url})
    call = make_call()
    tell_first(agent, account, kinds, then)
    place_batch(call.batch_id)
    assert len(agent.asked) == 1
    assert status_of(call) == status
    assert (call.provider_call_id, call.number_from) == ("agent-1", "+12025550100")
    assert ProviderEvent.objects.filter(call=call).count() == len(kinds)


@pytest.mark.django_db(transaction=True)
def test_a_call_whose_answer_was_lost_is_asked_about_and_not_placed_again(agent) -> None:
    make_account(settings={"url": agent.url})
    call = make_call()
    agent.answer = lambda asked: Drops()
    place_batch(call.batch_id)
    assert status_of(call) == "dialing"
    CallLog.objects.update(poll_at=NOW)
    events = [told(call.pk, "ringing", 1), told(call.pk, "ended", 60)]
    agent.says(200, {"id": f"agent-{call.pk}", "from": "+12025550100", "events": events})
    poll_calls()
    assert (status_of(call), call.number_from) == ("completed", "+12025550100")
    assert [asked.method for asked in agent.asked] == ["POST", "GET"]
