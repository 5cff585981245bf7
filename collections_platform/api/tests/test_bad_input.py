"""Whatever is sent: never a 500, never half a campaign, never the value in the message."""

import json
from contextlib import suppress
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from calls import dialling
from calls.models import CallLog
from campaigns.models import Batch, Campaign
from collections_platform.api.tests.factories import Api
from contacts.models import Contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
BULK = "/ai/phone-calls/action/call-bulk"
NUMBER = {"numberToCall": "+966500000001", "promptTags": {"amount": "5 SAR"}}


@pytest.fixture
def api() -> Api:
    make_template(is_default=True)
    return Api()


def post(api: Api, *contacts: Any, **fields: Any) -> Any:
    return api.post(BULK, {"contacts": contacts} | fields)


def post_raw_metadata(api: Api, metadata: str) -> Any:
    body = '{"contacts": [{"numberToCall": "+966500000001", "promptTags": {"amount": "5"}, '
    return api.post(BULK, f'{body}"metadata": {metadata}}}]}}'.encode())


def stored_metadata(api: Api, answer: Any) -> Any:
    assert answer.status_code == 201, answer.content
    call_id = answer.json()["calls"][0]["callId"]
    return api.get(f"/ai/phone-calls/{call_id}").json()["metadata"]["requestMetadata"]


@pytest.mark.parametrize(
    "number",
    [
        "12345",
        "abc",
        "",
        None,
        966500000001,
        "9" * 200,
        "+966500000001 ext 5",
        "5000001",
        "0500000001",
        "٠٥٠٠٠٠٠٠٠١",
        "+966\0500000001",
        ["+966500000001"],
    ],
)
def test_a_number_that_cannot_be_dialled_is_422_and_never_echoed(api: Api, number: Any) -> None:
    answer = post(api, NUMBER, {"numberToCall": number})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "contacts", 1, "numberToCall"]
    assert not number or str(number) not in answer.content.decode()
    assert not Campaign.objects.exists()
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("0500000001", "SA"),
        ("٠٥٠٠٠٠٠٠٠١", "SA"),
        ("00966500000001", "SA"),
        ("00966500000001", "US"),
        ("00966500000001", None),
        ("+966 50 000 0001", None),
    ],
)
def test_spellings_of_a_number_are_understood(api: Api, number: str, country: str | None) -> None:
    answer = post(api, NUMBER | {"numberToCall": number}, countryCode=country)
    assert answer.json()["calls"][0]["numberToCall"] == "+966500000001"


def test_one_number_in_three_spellings_is_one_contact_and_three_calls(api: Api) -> None:
    spellings = ["+966500000001", "0500000001", "00966 50-000-0001"]
    answer = post(api, *(NUMBER | {"numberToCall": text} for text in spellings), countryCode="SA")
    calls = answer.json()["calls"]
    assert len({call["callId"] for call in calls}) == 3
    assert len({call["contactUuid"] for call in calls}) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        '{"a": 1, "b": [1.5, -0.1, 1e10, null, true], "نص": "قيمة"}',
        '{"big": 12345678901234567890, "text": "\\ud83d\\ude00 \\\\u0000"}',
        '{"": {"": []}, "a.b": {}, "$ref": "x", "__proto__": 1}',
        "{}",
    ],
)
def test_metadata_comes_back_equal(api: Api, metadata: str) -> None:
    assert stored_metadata(api, post_raw_metadata(api, metadata)) == json.loads(metadata)


def test_the_last_of_duplicate_keys_is_kept(api: Api) -> None:
    assert stored_metadata(api, post_raw_metadata(api, '{"a": 1, "a": 2}')) == {"a": 2}


def test_metadata_of_a_megabyte_is_kept(api: Api) -> None:
    big = {"text": "م" * 500_000}
    assert stored_metadata(api, post(api, NUMBER | {"metadata": big})) == big


@pytest.mark.parametrize("depth", [150, 200, 5000])
def test_metadata_nested_too_deep_is_422_and_what_is_taken_comes_back(api: Api, depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    answer = post_raw_metadata(api, nested)
    if depth < 200:
        assert stored_metadata(api, answer) == json.loads(nested)
    else:
        assert answer.status_code == 422
        assert not Campaign.objects.exists()


@pytest.mark.parametrize(
    "metadata",
    [
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 1e400}',
        '{"a": [[-1e999]]}',
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": "\\ud800"}',
        '{"a": 1' + "0" * 5000 + "}",
        "[1]",
        '"text"',
        "5",
    ],
)
def test_metadata_that_cannot_be_kept_is_422(api: Api, metadata: str) -> None:
    assert post_raw_metadata(api, metadata).status_code == 422
    assert not Campaign.objects.exists()


@pytest.mark.parametrize("value", [5, None, True, {"a": "b"}, ["x"], "a\0b"])
def test_a_tag_that_is_no_text_is_422(api: Api, value: Any) -> None:
    answer = post(api, NUMBER | {"promptTags": {"amount": value}})
    assert [error["loc"] for error in answer.json()["detail"]] == [
        ["body", "contacts", 0, "promptTags", "amount"]
    ]


def test_tags_are_inserted_literally_and_unknown_keys_ignored(api: Api) -> None:
    value = "{{amount}} {% now %} {{x}}"
    tags = {"amount": value, "a}}b{{": "x", "": "y"}
    assert post(api, NUMBER | {"promptTags": tags}).status_code == 201
    dialling.place_batch(Batch.objects.get().pk)
    assert CallLog.objects.get().system_prompt == f"The customer owes {value}."


@pytest.mark.parametrize("template", ["x", "550e8400-e29b-41d4-a716-446655440099", 5])
def test_a_template_that_is_not_there_is_422(api: Api, template: Any) -> None:
    answer = post(api, NUMBER, aiSettingsTemplateId=template)
    assert [error["loc"] for error in answer.json()["detail"]] == [["body", "aiSettingsTemplateId"]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b'"x"',
        b"\xff\xfe",
        b"\x00",
        b'{"contacts": null}',
        b'{"contacts": [null, 5, "x", [], {}]}',
        b'{"contacts": {"0": {}}}',
    ],
)
def test_a_body_that_is_no_request_is_422(api: Api, body: bytes) -> None:
    answer = api.post(BULK, body)
    assert answer.status_code == 422
    assert all(error["loc"][0] == "body" for error in answer.json()["detail"])


def test_missing_numbers_are_all_named(api: Api) -> None:
    contacts: list[Any] = [NUMBER] * 100
    for row in (0, 7, 99):
        contacts[row] = {"firstName": "Sara"}
    detail = post(api, *contacts).json()["detail"]
    assert [error["loc"][2] for error in detail] == [0, 7, 99]
    assert {error["type"] for error in detail} == {"missing"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    [
        *["numberToCall", "firstName", "lastName", "email", "metadata", "promptTags", "timeZone"],
        *["region", "debtReference", "consent", "contacts", "batchSize", "countryCode"],
        *["updateExisting", "aiSettingsTemplateId", "unknown"],
    ]
)


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(contacts=st.lists(st.dictionaries(FIELDS, JSON)), fields=st.dictionaries(FIELDS, JSON))
def test_no_json_makes_a_500(api: Api, contacts: list[Any], fields: dict[str, Any]) -> None:
    body = json.dumps(fields | {"contacts": contacts or [NUMBER]})
    answer = Client(raise_request_exception=False).post(
        BULK,
        body,
        content_type="application/json",
        headers=api.headers | {"Prefer": "handling=lenient"},
    )
    assert answer.status_code in {201, 422}
    if answer.status_code == 422:
        assert all(set(error) == {"loc", "msg", "type"} for error in answer.json()["detail"])


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.sampled_from(
            [
                NUMBER,
                NUMBER | {"firstName": "Sara"},
                NUMBER | {"numberToCall": "+966500000002", "lastName": "X"},
                NUMBER | {"promptTags": {}},
                {"numberToCall": "1"},
                {},
                NUMBER | {"email": "x"},
            ]
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_lenient_is_strict_on_the_valid_ones(
    api: Api, contacts: list[dict[str, Any]], update_existing: bool
) -> None:
    valid = [c for c in contacts if c.get("promptTags") and "email" not in c]
    outcomes = []
    for people, headers in ((contacts, {"Prefer": "handling=lenient"}), (valid, {})):
        with suppress(_Undo), transaction.atomic():
            answer = Client().post(
                BULK,
                json.dumps({"contacts": people, "updateExisting": update_existing}),
                content_type="application/json",
                headers=api.headers | headers,
            )
            stored = Contact.objects.order_by("phone_number").values_list(
                "phone_number", "first_name", "last_name"
            )
            calls = [call["numberToCall"] for call in answer.json().get("calls", [])]
            outcomes.append((answer.status_code, calls, list(stored)))
            raise _Undo
    assert outcomes[0] == outcomes[1]


class _Undo(Exception):
    """Takes back what one of the two requests has stored."""


def test_the_facts_of_a_call_are_stored(api: Api) -> None:
    consent = {"kind": "ai_voice", "givenAt": "2026-01-01T10:00:00Z", "evidence": "form"}
    facts = {"timeZone": "Asia/Riyadh", "region": "SA-01", "debtReference": "D-1"}
    assert post(api, NUMBER | facts | {"consent": consent}).status_code == 201
    call = CallLog.objects.get()
    assert (call.debt_reference, call.consent) == ("D-1", consent)
    assert (call.contact.time_zone, call.contact.region) == ("Asia/Riyadh", "SA-01")


def test_update_existing_changes_what_is_given_and_only_when_asked(api: Api) -> None:
    old = {"first_name": "A", "last_name": "B", "email": "a@x.example"}
    Contact.objects.create(phone_number="+966500000001", **old)
    sent = NUMBER | {"firstName": "C", "lastName": None, "email": "c@x.example"}
    post(api, sent)
    assert Contact.objects.values(*old).get() == old
    post(api, sent, updateExisting=True)
    new = {"first_name": "C", "email": "c@x.example"}
    assert Contact.objects.values(*old).get() == old | new


def test_a_boolean_that_is_none_is_422(api: Api) -> None:
    detail = post(api, NUMBER, updateExisting="maybe").json()["detail"]
    assert [error["loc"] for error in detail] == [["body", "updateExisting"]]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_name_its_charset(api: Api, kind: str) -> None:
    assert api.post(BULK, {"contacts": [NUMBER]}, kind).status_code == 201


def test_another_method_is_405_in_json(api: Api) -> None:
    answer = api.get(BULK)
    assert (answer.status_code, set(answer.json())) == (405, {"detail"})


UUIDS = ["{550e8400-e29b-41d4-a716-446655440000}", "550e8400e29b41d4a716446655440000"]


@pytest.mark.parametrize("text", ["x", *UUIDS, f"urn:uuid:{UUIDS[0][1:-1]}"])
@pytest.mark.parametrize("path", ["/contact/{}", "/ai/phone-calls/{}", "/ai/campaigns/{}"])
def test_a_malformed_uuid_in_the_path_is_422(api: Api, path: str, text: str) -> None:
    answer = api.get(path.format(text))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "path"


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.integers(0, 9999), min_size=1, max_size=20),
    st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
)
def test_a_repeat_under_any_key_is_the_first_answer(api: Api, numbers: list[int], key: str) -> None:
    body = json.dumps(
        {"contacts": [NUMBER | {"numberToCall": f"+96650000{n:04d}"} for n in numbers]}
    )
    with suppress(_Undo), transaction.atomic():
        before = CallLog.objects.count()
        answers = [
            Client().post(
                BULK,
                body,
                content_type="application/json",
                headers=api.headers | {"Idempotency-Key": key},
            )
            for _ in range(3)
        ]
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 1
        assert CallLog.objects.count() == before + len(numbers)
        raise _Undo
