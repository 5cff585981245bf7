"""Idempotency keys and the lenient mode of the bulk endpoint."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from calls.idempotency import KEPT_FOR, prune_keys
from calls.models import CallLog, IdempotencyKey
from campaigns.models import Campaign
from collections_platform.api.tests.factories import Api, make_client
from contacts.models import Contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
BULK, CALL = "/ai/phone-calls/action/call-bulk", "/ai/phone-calls/action/call"
LENIENT = "handling=lenient"


def person(number: int, **fields: Any) -> dict[str, Any]:
    tags = {"promptTags": {"amount": "5 SAR"}}
    return {"numberToCall": f"+96650000{number:04d}"} | tags | fields


def post(api: Api, body: Any, path: str = BULK, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client().post(path, data, content_type="application/json", headers=api.headers | named)


@pytest.fixture
def api() -> Api:
    make_template(is_default=True)
    return Api()


def test_the_same_key_and_body_return_the_first_answer_and_call_nobody_again(api) -> None:
    body = {"contacts": [person(n) for n in range(25)], "batchSize": 10}
    first = post(api, body, Idempotency_Key="k-1")
    again = post(api, body, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert (Campaign.objects.count(), CallLog.objects.count()) == (1, 25)


def test_both_addresses_of_the_endpoint_know_the_same_keys(api) -> None:
    body = {"contacts": [person(1)]}
    first = post(api, body, Idempotency_Key="k")
    again = post(api, body, path=f"/api-service/v1{BULK}", Idempotency_Key="k")
    assert again.json() == first.json()


def test_without_a_key_every_request_is_a_new_campaign(api) -> None:
    for _ in range(2):
        post(api, {"contacts": [person(1)]})
    assert Campaign.objects.count() == 2


@pytest.mark.parametrize("change", ["body", "prefer"])
def test_the_same_key_for_another_request_is_422(api, change: str) -> None:
    body = {"contacts": [person(1)]}
    post(api, body, Idempotency_Key="k")
    other = (
        post(api, {"contacts": [person(2)]}, Idempotency_Key="k")
        if change == "body"
        else post(api, body, Idempotency_Key="k", Prefer=LENIENT)
    )
    assert other.status_code == 422
    assert other.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert Campaign.objects.count() == 1


def test_keys_belong_to_a_client_and_a_path(api) -> None:
    body = {"contacts": [person(1)]}
    post(api, body, Idempotency_Key="k")
    other = Api(make_client("other")[0])
    assert post(other, body, Idempotency_Key="k").status_code == 201
    assert post(api, person(1), path=CALL, Idempotency_Key="k").status_code == 201
    assert Campaign.objects.count() == 3


@pytest.mark.parametrize("key", ["", "a b", "k" * 256, "schlüssel"])
def test_a_malformed_key_is_422(api, key: str) -> None:
    answer = post(api, {"contacts": [person(1)]}, Idempotency_Key=key)
    assert answer.status_code == 422
    assert not Campaign.objects.exists()


def test_only_a_201_is_kept(api) -> None:
    assert post(api, {"contacts": [{}]}, Idempotency_Key="k").status_code == 422
    assert not IdempotencyKey.objects.exists()
    assert post(api, {"contacts": [person(1)]}, Idempotency_Key="k").status_code == 201


def test_a_repeat_is_answered_alike_after_calls_have_moved_on(api) -> None:
    body = {"contacts": [person(1), person(2)]}
    first = post(api, body, Idempotency_Key="k")
    CallLog.objects.update(status="failed", ended_at=timezone.now())
    assert post(api, body, Idempotency_Key="k").content == first.content


def test_keys_are_kept_for_a_day_at_least(api) -> None:
    assert timedelta(hours=24) <= KEPT_FOR
    post(api, {"contacts": [person(1)]}, Idempotency_Key="new")
    post(api, {"contacts": [person(1)]}, Idempotency_Key="old")
    old = IdempotencyKey.objects.filter(key="old")
    old.update(created_at=timezone.now() - KEPT_FOR - timedelta(minutes=1))
    prune_keys()
    assert IdempotencyKey.objects.get().key == "new"


def test_a_single_call_can_be_repeated_safely(api) -> None:
    first = post(api, person(1), path=CALL, Idempotency_Key="k")
    again = post(api, person(1), path=CALL, Idempotency_Key="k")
    assert again.json() == first.json()
    assert CallLog.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_twenty_requests_at_once_under_one_key_make_one_campaign() -> None:
    make_template(is_default=True)
    api = Api()
    same = {"contacts": [person(n) for n in range(30)], "updateExisting": True}

    def send(number: int) -> Any:
        try:
            if number % 2:
                return post(api, same, Idempotency_Key="k")
            people = [person(n, firstName=f"N{number}") for n in range(number, number + 30)]
            return post(api, {"contacts": people[:: 1 if number % 4 else -1]})
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(send, range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers[1::2]}) == 1
    assert Campaign.objects.count() == 11
    numbers = list(Contact.objects.values_list("phone_number", flat=True))
    assert len(numbers) == len(set(numbers)) == 48


def test_lenient_accepts_the_valid_ones_and_lists_the_others(api) -> None:
    contacts = [
        person(1),
        {"numberToCall": "12"},
        person(2),
        person(3, promptTags={}),
        person(4, email="x", firstName=5),
    ]
    answer = post(api, {"contacts": contacts}, Prefer=LENIENT)
    assert (answer.status_code, answer["Preference-Applied"]) == (201, LENIENT)
    body = answer.json()
    numbers = [call["numberToCall"] for call in body["calls"]]
    assert numbers == ["+966500000001", "+966500000002"]
    assert [entry["index"] for entry in body["rejected"]] == [1, 3, 4]
    locs = [error["loc"] for entry in body["rejected"] for error in entry["detail"]]
    assert locs == [
        ["body", "contacts", 1, "numberToCall"],
        ["body", "contacts", 3, "promptTags", "amount"],
        ["body", "contacts", 4, "firstName"],
        ["body", "contacts", 4, "email"],
    ]
    assert set(Contact.objects.values_list("phone_number", flat=True)) == set(numbers)
    assert list(CallLog.objects.order_by("position").values_list("position", flat=True)) == [0, 2]


def test_lenient_fills_batches_with_the_valid_ones(api) -> None:
    contacts = [person(n) if n % 2 else {} for n in range(40)]
    body = post(api, {"contacts": contacts, "batchSize": 10}, Prefer=LENIENT).json()
    assert (len(body["calls"]), body["batches"]) == (20, 2)


def test_lenient_changes_nothing_of_whom_it_rejects(api) -> None:
    Contact.objects.create(phone_number="+966500000001", first_name="Old")
    rejected = person(1, firstName="New", promptTags={})
    post(api, {"contacts": [rejected, person(2)], "updateExisting": True}, Prefer=LENIENT)
    assert Contact.objects.get(phone_number="+966500000001").first_name == "Old"


def test_a_lenient_answer_with_nobody_rejected_says_so(api) -> None:
    answer = post(api, {"contacts": [person(1)]}, Prefer=LENIENT)
    assert answer.json()["rejected"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"contacts": [{}, {"numberToCall": "1"}]},
        {"contacts": [person(1, promptTags={})]},
        {"contacts": [person(1)], "batchSize": 1},
        {"contacts": []},
        {"contacts": [person(1)], "aiSettingsTemplateId": "550e8400-e29b-41d4-a716-446655440000"},
    ],
)
def test_nobody_valid_or_a_fault_outside_the_contacts_is_422_as_before(api, body) -> None:
    strict, lenient = post(api, body), post(api, body, Prefer=LENIENT)
    assert (strict.status_code, lenient.status_code) == (422, 422)
    assert lenient.json() == strict.json()
    assert "Preference-Applied" not in lenient
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("prefer", "is_lenient"),
    [
        ("handling=lenient", True),
        ('respond-async, Handling="lenient"; x=1', True),
        ("handling=strict", False),
        ("xhandling=lenient", False),
        ("", False),
    ],
)
def test_the_preference_is_read_as_rfc_7240_writes_it(api, prefer, is_lenient) -> None:
    answer = post(api, {"contacts": [person(1), {}]}, Prefer=prefer)
    assert answer.status_code == (201 if is_lenient else 422)


def test_a_lenient_repeat_lists_the_rejected_again(api) -> None:
    body = {"contacts": [person(1), {}]}
    first = post(api, body, Prefer=LENIENT, Idempotency_Key="k")
    assert post(api, body, Prefer=LENIENT, Idempotency_Key="k").content == first.content


def test_calls_keep_the_order_of_the_request(api) -> None:
    people = [person(n) for n in (30, 7, 19, 2, 30, 25)]
    calls = post(api, {"contacts": people}).json()["calls"]
    numbers = [one["numberToCall"] for one in people]
    assert [call["numberToCall"] for call in calls] == numbers
    assert [CallLog.objects.get(pk=call["callId"]).phone_number for call in calls] == numbers


def test_a_request_that_died_leaves_nothing_in_the_way(api, monkeypatch) -> None:
    headers = api.headers | {"Idempotency-Key": "k" * 255}
    client, body = Client(raise_request_exception=False), json.dumps({"contacts": [person(1)]})
    kind = "application/json"
    with monkeypatch.context() as broken:
        broken.setattr("calls.services.dispatch_on_commit", lambda *_: 1 / 0)
        assert client.post(BULK, body, content_type=kind, headers=headers).status_code == 500
    assert not Contact.objects.exists()
    assert not Campaign.objects.exists()
    assert client.post(BULK, body, content_type=kind, headers=headers).status_code == 201
