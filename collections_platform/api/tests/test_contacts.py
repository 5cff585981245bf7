"""Contacts and suppressions through the API."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from calls import dialling
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from collections_platform.api.tests.factories import Api, make_client
from contacts.models import Suppression
from contacts.tests.factories import make_contact

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_contact_is_told_with_its_suppressions(api) -> None:
    contact = make_contact(
        phone_number="+966500000001", first_name="أحمد", time_zone="Asia/Riyadh", region="SA-01"
    )
    contact.suppressions.create(reason="staff", lifted_at=timezone.now())
    contact.suppressions.create(reason="do_not_call")
    answer = api.get(f"/contact/{contact.pk}").json()
    times = {answer.pop("createdAt"), answer.pop("updatedAt")}
    assert all(time.endswith("Z") for time in times)
    (suppression,) = answer.pop("suppressions")
    assert (suppression["reason"], suppression["until"]) == ("do_not_call", None)
    assert answer == {
        "contactUuid": str(contact.pk),
        "phoneNumber": "+966500000001",
        "firstName": "أحمد",
        "lastName": "",
        "email": "",
        "timeZone": "Asia/Riyadh",
        "region": "SA-01",
    }


def test_contacts_are_listed_in_pages(api) -> None:
    contacts = [make_contact() for _ in range(5)]
    answer = api.get("/contact?size=2&page=3").json()
    assert (answer["total"], answer["pages"], len(answer["items"])) == (5, 3, 1)
    assert answer["items"][0]["contactUuid"] == str(contacts[0].pk)


def test_an_unknown_contact_is_404_and_a_malformed_id_422(api) -> None:
    assert api.get(f"/contact/{uuid4()}").status_code == 404
    assert api.get("/contact/x").json()["detail"][0]["loc"] == ["path", "contactUuid"]


def test_a_suppression_stops_calls_that_are_already_queued(api) -> None:
    call = make_call()
    until = (timezone.now() + timedelta(days=1)).isoformat()
    body = {"reason": "طلب عدم الاتصال", "until": until}
    answer = api.post(f"/contact/{call.contact_id}/suppression", body)
    assert answer.status_code == 200
    assert answer.json()["suppressions"][0]["reason"] == "طلب عدم الاتصال"
    dialling.place_batch(call.batch_id)
    call.refresh_from_db()
    assert (call.status, call.ended_reason) == (CallStatus.SKIPPED, "suppressed")


def test_the_same_suppression_again_changes_nothing(api) -> None:
    path = f"/contact/{make_contact().pk}/suppression"
    answers = [api.post(path, {"reason": "do_not_call", "until": None}) for _ in range(2)]
    assert {answer.status_code for answer in answers} == {200}
    assert answers[0].json() == answers[1].json()
    assert Suppression.objects.count() == 1


def test_lifting_lets_the_person_be_called_again_and_may_be_repeated(api) -> None:
    contact = make_contact()
    contact.suppressions.create(reason="do_not_call")
    for _ in range(2):
        answer = Client().delete(f"/contact/{contact.pk}/suppression", headers=api.headers)
        assert (answer.status_code, answer.json()["suppressions"]) == (200, [])
    assert Suppression.objects.get().lifted_at


def test_an_end_may_be_told_in_any_time_zone(api) -> None:
    body = {"reason": "x", "until": "3563-02-03T11:42:13.3+22:10"}  # PostgreSQL knows up to +15:59
    answer = api.post(f"/contact/{make_contact().pk}/suppression", body)
    assert answer.json()["suppressions"][0]["until"] == "3563-02-02T13:32:13.300Z"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 256}, "reason"),
        ({"reason": "a\0"}, "reason"),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"reason": "x", "until": "2099-01-01T00:00:00"}, "until"),
        ({"reason": "x", "until": "soon"}, "until"),
        ({"reason": "x", "until": "9999-12-31T23:59:59-01:00"}, "until"),
    ],
)
def test_a_suppression_that_cannot_be_is_422(api, body: Any, field: str) -> None:
    answer = api.post(f"/contact/{make_contact().pk}/suppression", body)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["body", field]]


def test_reading_and_changing_contacts_are_scopes_of_their_own() -> None:
    contact = make_contact()
    reader = Api(make_client(scopes=["contacts:read"])[0])
    assert reader.get(f"/contact/{contact.pk}").status_code == 200
    assert reader.post(f"/contact/{contact.pk}/suppression", {"reason": "x"}).status_code == 403
    assert reader.get("/ai/phone-calls").status_code == 403


def test_a_suppression_of_nobody_is_404_and_one_that_has_ended_is_not_told(api) -> None:
    assert api.post(f"/contact/{uuid4()}/suppression", {"reason": "x"}).status_code == 404
    assert api.request("DELETE", "/contact/x/suppression").status_code == 422
    contact, ended_at = make_contact(), timezone.now() - timedelta(days=1)
    contact.suppressions.create(reason="staff", ends_at=ended_at)
    assert api.get(f"/contact/{contact.pk}").json()["suppressions"] == []
