"""One call, lists, cancelling calls and campaigns, templates."""

from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from calls import dialling
from calls.control import cancel_calls
from calls.models import CallLog, WebhookDelivery
from calls.statuses import CallStatus
from calls.sweeper import sweep
from calls.tests.factories import make_call, make_endpoint
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch, make_campaign
from collections_platform.api.tests.factories import Api
from contacts.models import Contact, Suppression
from contacts.tests.factories import make_contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
CALL = "/ai/phone-calls/action/call"
TAGS = {"promptTags": {"amount": "5 SAR"}}


@pytest.fixture
def api() -> Api:
    make_template(is_default=True)
    return Api()


def act(api: Api, call_or_campaign: Any, action: str) -> Any:
    kind = "campaigns" if isinstance(call_or_campaign, Campaign) else "phone-calls"
    return api.post(f"/ai/{kind}/{call_or_campaign.pk}/action/{action}", b"")


# One call


@pytest.mark.parametrize("prefix", ["", "/api-service/v1"])
def test_one_call_is_a_campaign_of_one(api, prefix: str) -> None:
    body = {"numberToCall": "0500000001", "countryCode": "SA", "firstName": "Sara"} | TAGS
    answer = api.post(prefix + CALL, body)
    call = CallLog.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "callId": str(call.call_id),
        "campaignId": str(call.campaign_id),
        "contactUuid": str(call.contact_id),
        "numberToCall": "+966500000001",
    }
    assert (call.contact.first_name, call.campaign.api_client) == ("Sara", api.client)


def test_a_known_contact_is_linked_while_the_number_given_is_dialled(api) -> None:
    contact = make_contact(phone_number="+966500000009", first_name="Known")
    body = {"numberToCall": "+966500000001", "contactUuid": str(contact.pk)} | TAGS
    assert api.post(CALL, body).json()["contactUuid"] == str(contact.pk)
    call = CallLog.objects.get()
    assert (call.contact, call.phone_number) == (contact, "+966500000001")
    assert Contact.objects.count() == 1


@pytest.mark.parametrize(("update", "name"), [(True, "New"), (False, "Known")])
def test_a_linked_contact_is_updated_only_when_asked(api, update: bool, name: str) -> None:
    contact = make_contact(first_name="Known")
    body = {"numberToCall": "+966500000001", "firstName": "New", "contactUuid": str(contact.pk)}
    api.post(CALL, body | TAGS | {"updateExisting": update})
    contact.refresh_from_db()
    assert contact.first_name == name
    assert contact.phone_number != "+966500000001"


def test_an_unknown_contact_falls_back_to_the_number(api) -> None:
    body = {"numberToCall": "+966500000001", "contactUuid": str(uuid4())} | TAGS
    answer = api.post(CALL, body)
    assert answer.status_code == 201
    assert Contact.objects.get().phone_number == "+966500000001"


def test_a_linked_call_does_not_ring_somebody_who_must_not_be_called(api) -> None:
    other = make_contact(phone_number="+966500000001")
    Suppression.objects.create(contact=other, reason="do_not_call")
    body = {"numberToCall": "+966500000001", "contactUuid": str(make_contact().pk)} | TAGS
    api.post(CALL, body)
    call = CallLog.objects.get()
    dialling.place_batch(call.batch_id)
    call.refresh_from_db()
    assert (call.status, call.ended_reason) == ("skipped", "suppressed")


@pytest.mark.parametrize(
    ("body", "locs"),
    [
        ({"numberToCall": "12"} | TAGS, [["body", "numberToCall"]]),
        ({}, [["body", "numberToCall"]]),
        ({"numberToCall": "+966500000001"}, [["body", "promptTags", "amount"]]),
        (
            {"numberToCall": "+966500000001", "contactUuid": "x", "email": "y"} | TAGS,
            [["body", "email"], ["body", "contactUuid"]],
        ),
        (
            {"numberToCall": "+966500000001", "aiSettingsTemplateId": str(uuid4())} | TAGS,
            [["body", "aiSettingsTemplateId"]],
        ),
    ],
)
def test_faults_of_one_call_are_told_in_its_own_places(api, body: Any, locs: Any) -> None:
    answer = api.post(CALL, body)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == locs
    assert not Contact.objects.exists()


# Lists


def test_calls_are_listed_in_pages_by_their_last_attempt(api) -> None:
    batch = make_batch()
    calls = [make_call(batch=batch, status=CallStatus.COMPLETED) for _ in range(3)]
    retried = make_call(batch=batch, status=CallStatus.NO_ANSWER, is_last_attempt=False)
    make_call(batch=batch, contact=retried.contact, id=uuid4(), call_id=retried.call_id, attempt=2)
    make_call()
    answer = api.get(f"/ai/phone-calls?campaignId={batch.campaign_id}&size=3&page=1").json()
    assert {key: answer[key] for key in ("total", "page", "size", "pages")} == {
        "total": 4,
        "page": 1,
        "size": 3,
        "pages": 2,
    }
    assert len(answer["items"]) == 3
    assert answer["items"][0]["attempt"] == 2
    completed = api.get(f"/ai/phone-calls?campaignId={batch.campaign_id}&status=completed").json()
    assert {item["callId"] for item in completed["items"]} == {str(c.call_id) for c in calls}
    assert api.get("/ai/phone-calls?page=99").json()["items"] == []


@pytest.mark.parametrize("path", ["/ai/phone-calls", "/contact", "/ai/settings-templates"])
@pytest.mark.parametrize("query", ["page=0", "size=101", "size=0", "page=x", "page=99999999999"])
def test_a_malformed_page_is_422(api, path: str, query: str) -> None:
    answer = api.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", query.split("=", maxsplit=1)[0]]


@pytest.mark.parametrize(("name", "value"), [("campaignId", "x"), ("status", "gone")])
def test_a_malformed_filter_is_422(api, name: str, value: str) -> None:
    answer = api.get(f"/ai/phone-calls?{name}={value}")
    assert [error["loc"] for error in answer.json()["detail"]] == [["query", name]]


@pytest.mark.parametrize("path", ["/ai/phone-calls", "/contact", "/ai/settings-templates"])
def test_a_list_takes_a_constant_number_of_queries(
    api, path: str, django_assert_max_num_queries
) -> None:
    for _ in range(20):
        make_call(batch=make_batch())
    with django_assert_max_num_queries(4):  # the token, the count, the page, what belongs to it
        assert len(api.get(path).json()["items"]) >= 20


def test_templates_are_listed_with_the_tags_they_need(api) -> None:
    make_template(system_prompt="{{a}} {{b}}", tag_defaults={"b": "x"}, language="ar")
    items = api.get("/ai/settings-templates").json()["items"]
    assert [item["isDefault"] for item in items] == [True, False]
    assert items[1]["promptTags"] == [
        {"name": "a", "required": True},
        {"name": "b", "required": False},
    ]
    assert (items[1]["language"], items[1]["version"]) == ("ar", 1)


# Cancelling a call


@pytest.mark.parametrize("status", ["queued", "dialing", "ringing"])
def test_a_call_that_nobody_has_answered_can_be_cancelled(api, status: str) -> None:
    make_endpoint()
    call = make_call(status=status)
    answer = act(api, call, "cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert (answer.json()["isLastAttempt"], answer.json()["callOutput"]) == (True, "CANCELLED")
    assert act(api, call, "cancel").status_code == 200
    assert WebhookDelivery.objects.count() == 1


def test_a_call_that_waits_to_be_retried_can_be_cancelled(api) -> None:
    first = make_call(status=CallStatus.NO_ANSWER, is_last_attempt=False)
    make_call(
        batch=first.batch, contact=first.contact, id=uuid4(), call_id=first.call_id, attempt=2
    )
    answer = act(api, first, "cancel").json()
    assert [attempt["status"] for attempt in answer["attempts"]] == ["no_answer", "cancelled"]


@pytest.mark.parametrize("status", ["in_progress", "completed", "failed"])
def test_a_call_that_was_answered_or_has_ended_cannot_be_cancelled(api, status: str) -> None:
    answer = act(api, make_call(status=status), "cancel")
    assert (answer.status_code, set(answer.json())) == (409, {"detail"})


def test_cancelling_an_unknown_call_is_404_and_a_malformed_id_422(api) -> None:
    assert api.post(f"/ai/phone-calls/{uuid4()}/action/cancel", b"").status_code == 404
    assert api.post("/ai/phone-calls/x/action/cancel", b"").status_code == 422


# Campaigns


def test_a_paused_campaign_is_not_dialled_until_it_is_resumed(api) -> None:
    call = make_call()
    campaign = call.campaign
    assert act(api, campaign, "pause").json()["status"] == "paused"
    assert act(api, campaign, "pause").status_code == 200
    dialling.place_batch(call.batch_id)
    call.refresh_from_db()
    assert call.status == CallStatus.QUEUED
    assert act(api, campaign, "resume").json()["status"] == "running"
    assert act(api, campaign, "resume").status_code == 200
    dialling.place_batch(call.batch_id)
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING


def test_resuming_wakes_the_batches(api, django_capture_on_commit_callbacks, monkeypatch) -> None:
    woken: list[tuple[object, ...]] = []
    monkeypatch.setattr("calls.queue.async_task", lambda *args, **_: woken.append(args))
    call = make_call()
    act(api, call.campaign, "pause")
    with django_capture_on_commit_callbacks(execute=True):
        act(api, call.campaign, "resume")
    assert woken == [("calls.tasks.place_batch", call.batch_id)]


def test_a_cancelled_campaign_ends_what_is_queued_and_rings_and_lets_people_finish(api) -> None:
    make_endpoint()
    batch = make_batch()
    queued = make_call(batch=batch)
    ringing = make_call(batch=batch, status=CallStatus.RINGING)
    talking = make_call(batch=batch, status=CallStatus.IN_PROGRESS)
    other = make_call()
    assert act(api, batch.campaign, "cancel").json()["status"] == "cancelling"
    assert act(api, batch.campaign, "cancel").status_code == 200
    cancel_calls()
    for call, status in ((queued, "cancelled"), (ringing, "cancelled"), (other, "queued")):
        call.refresh_from_db()
        assert call.status == status
    assert WebhookDelivery.objects.count() == 2
    sweep()
    batch.campaign.refresh_from_db()
    assert batch.campaign.status == "cancelling"
    CallLog.objects.filter(pk=talking.pk).update(status="completed", ended_at=timezone.now())
    sweep()
    batch.campaign.refresh_from_db()
    assert batch.campaign.status == "cancelled"
    assert act(api, batch.campaign, "cancel").status_code == 200


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("completed", "pause"),
        ("completed", "resume"),
        ("completed", "cancel"),
        ("cancelled", "resume"),
        ("cancelling", "pause"),
        ("cancelling", "resume"),
    ],
)
def test_what_the_status_does_not_allow_is_409(api, status: str, action: str) -> None:
    ended_at = timezone.now() if status in {"completed", "cancelled"} else None
    campaign = make_campaign(status=status, ended_at=ended_at)
    answer = act(api, campaign, action)
    assert (answer.status_code, set(answer.json())) == (409, {"detail"})


def test_an_unknown_action_or_campaign_is_404(api) -> None:
    assert act(api, make_campaign(), "explode").status_code == 404
    assert api.post(f"/ai/campaigns/{uuid4()}/action/pause", b"").status_code == 404
    assert api.post("/ai/campaigns/x/action/pause", b"").status_code == 422


@pytest.mark.parametrize("path", ["/ai/phone-calls", "/contact", "/ai/settings-templates"])
def test_a_list_has_50_to_a_page_unless_told_otherwise(path: str) -> None:
    api = Api()
    empty = {"items": [], "total": 0, "page": 1, "size": 50, "pages": 0}
    assert api.get(path).json() == empty
    assert api.get(f"{path}?size=100").json()["size"] == 100


def test_the_first_message_is_told_as_sent_and_no_metadata_is_an_empty_object(api) -> None:
    named = {"aiSettingsTemplateId": str(make_template(first_message="Hi {{firstName}}").pk)}
    body = {"numberToCall": "+966500000001", "firstName": "Sara"} | TAGS | named
    call_id = api.post(CALL, body).json()["callId"]
    dialling.place_batch(CallLog.objects.get().batch_id)
    call = api.get(f"/ai/phone-calls/{call_id}").json()
    assert (call["firstMessage"], call["metadata"]) == ("Hi Sara", {"requestMetadata": {}})
