"""The bulk endpoint over HTTP, from the token to the call that can be read back."""

from uuid import uuid4

import pytest

from calls import dialling, polling
from calls.models import CallLog
from calls.tests.factories import make_call
from campaigns.models import Batch, Campaign
from collections_platform.api.openapi.examples import BULK_REQUEST as EXAMPLE
from collections_platform.api.tests.factories import Api
from contacts.models import Contact
from templates.models import AISettingsTemplate
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
BULK = "/ai/phone-calls/action/call-bulk"
PROMPT = (
    "You are a collections agent. The customer owes {{amount}} due by {{due_date}}.\n"
    "Be professional and offer payment plan options if the customer cannot pay in full."
)


@pytest.fixture
def api() -> Api:
    template = AISettingsTemplate.objects.create(
        id=EXAMPLE["aiSettingsTemplateId"], name="Example", is_default=True
    )
    template.revise(system_prompt=PROMPT)
    return Api()


@pytest.mark.parametrize("prefix", ["", "/api-service/v1"])
def test_the_example_is_accepted(api: Api, prefix: str) -> None:
    answer = api.post(prefix + BULK, EXAMPLE)
    assert answer.status_code == 201
    body = answer.json()
    campaign = Campaign.objects.get()
    calls = CallLog.objects.order_by("position")
    assert body == {
        "campaignId": str(campaign.pk),
        "batchSize": 50,
        "batches": 1,
        "calls": [
            {
                "callId": str(call.call_id),
                "contactUuid": str(call.contact_id),
                "numberToCall": call.phone_number,
            }
            for call in calls
        ],
    }
    assert campaign.api_client == api.client
    assert Contact.objects.get(phone_number="+966500000001").full_name == "Ahmed Al-Rashid"


def test_a_call_can_be_read_before_and_after_it_was_made(api: Api) -> None:
    call_id = api.post(BULK, EXAMPLE).json()["calls"][0]["callId"]
    queued = api.get(f"/ai/phone-calls/{call_id}").json()
    assert (queued["status"], queued["systemPrompt"], queued["firstMessage"]) == (
        "queued",
        None,
        None,
    )
    assert (queued["startedAt"], queued["provider"], queued["numberFrom"]) == (None, None, "")
    dialling.place_batch(Batch.objects.get().pk)
    polling.poll_calls()
    ended = api.get(f"/ai/phone-calls/{call_id}").json()
    assert ended["systemPrompt"] == PROMPT.replace("{{amount}}", "5,000 SAR").replace(
        "{{due_date}}", "January 15, 2026"
    )
    assert ended["metadata"] == {"requestMetadata": EXAMPLE["contacts"][0]["metadata"]}
    assert (ended["provider"], ended["simulated"]) == ("simulated", True)
    assert ended["isLastAttempt"] is True
    assert ended["attempts"][0]["attemptId"] == call_id
    assert ended["endedAt"].endswith("Z")


def test_a_campaign_tells_its_status_and_counts(api: Api) -> None:
    campaign_id = api.post(BULK, EXAMPLE).json()["campaignId"]
    answer = api.get(f"/ai/campaigns/{campaign_id}")
    assert answer.json() == {
        "campaignId": campaign_id,
        "status": "running",
        "counts": {"status": {"queued": 2}, "outcome": {}},
    }


def test_bad_elements_are_422_in_the_promised_shape_and_nothing_is_stored(api: Api) -> None:
    body = EXAMPLE | {"contacts": [{"numberToCall": "12345"}, {}], "batchSize": 9}
    answer = api.post(BULK, body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert all(set(error) == {"loc", "msg", "type"} for error in detail)
    assert [error["loc"] for error in detail] == [
        ["body", "batchSize"],
        ["body", "contacts", 0, "numberToCall"],
        ["body", "contacts", 1, "numberToCall"],
    ]
    assert "12345" not in answer.content.decode()
    assert not Campaign.objects.exists()
    assert not Contact.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null"])
def test_a_body_that_is_no_request_is_422(api: Api, body: bytes) -> None:
    answer = api.post(BULK, body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"


def test_another_content_type_is_415_and_another_method_405(api: Api) -> None:
    assert api.post(BULK, b"a=b", "application/x-www-form-urlencoded").status_code == 415
    assert api.get(BULK).status_code == 405


def test_a_body_above_the_limit_is_413_and_one_above_djangos_is_not(api: Api, settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert api.post(BULK, EXAMPLE).status_code == 201
    settings.BULK_MAX_BODY_BYTES = 100
    answer = api.post(BULK, EXAMPLE)
    assert (answer.status_code, set(answer.json())) == (413, {"detail"})


@pytest.mark.parametrize("path", ["/ai/phone-calls/{}", "/ai/campaigns/{}"])
def test_an_unknown_id_is_404_and_a_malformed_one_422(api: Api, path: str) -> None:
    assert api.get(path.format(uuid4())).status_code == 404
    malformed = api.get(path.format("abc"))
    assert malformed.status_code == 422
    assert malformed.json()["detail"][0]["loc"][0] == "path"


def test_all_attempts_of_a_call_are_listed(api: Api) -> None:
    make_template()
    first = make_call(status="no_answer", is_last_attempt=False)
    make_call(
        batch=first.batch, contact=first.contact, id=uuid4(), call_id=first.call_id, attempt=2
    )
    answer = api.get(f"/ai/phone-calls/{first.call_id}").json()
    assert (answer["attempt"], answer["status"]) == (2, "queued")
    assert [attempt["attempt"] for attempt in answer["attempts"]] == [1, 2]
    assert [attempt["isLastAttempt"] for attempt in answer["attempts"]] == [False, False]


def test_reading_a_call_takes_few_queries(api: Api, django_assert_max_num_queries) -> None:
    call = make_call(status="completed")
    with django_assert_max_num_queries(2):  # the token, the attempts
        api.get(f"/ai/phone-calls/{call.call_id}")
