import json
from typing import Any

import pytest

from calls.schemas import read_bulk_request
from contacts.validation import InvalidInput

NUMBER = {"numberToCall": "+966500000001"}


def read(*contacts: Any, **fields: Any) -> Any:
    return read_bulk_request(json.dumps({"contacts": contacts} | fields).encode())


def errors_of(body: bytes) -> dict[tuple[str | int, ...], str]:
    try:
        found = read_bulk_request(body).errors
    except InvalidInput as refusal:
        found = refusal.errors
    assert all(set(error) == {"loc", "msg", "type"} for error in found)
    return {tuple(error["loc"]): error["type"] for error in found}


def refused(*contacts: Any, **fields: Any) -> dict[tuple[str | int, ...], str]:
    return errors_of(json.dumps({"contacts": contacts} | fields).encode())


def test_a_whole_request_is_read() -> None:
    request = read(
        {
            "numberToCall": "0500000001",
            "firstName": "أحمد",
            "lastName": " Al-Rashid ",
            "email": "a@example.com",
            "metadata": {"invoiceNumber": "INV-001", "n": {"deep": [1, 2.5, None, True]}},
            "promptTags": {"amount": "5,000 SAR"},
            "timeZone": "Asia/Riyadh",
            "region": "SA-01",
            "debtReference": "D-1",
            "consent": {"kind": "ai_voice", "givenAt": "2026-01-01T10:00:00Z", "evidence": "form"},
            "unknown": "ignored",
        },
        countryCode="SA",
        batchSize=50,
        updateExisting=True,
        aiSettingsTemplateId="550e8400-e29b-41d4-a716-446655440000",
        unknown=1,
    )
    person = request.people[0]
    assert request.errors == []
    assert (request.country_code, request.batch_size, request.update_existing) == ("SA", 50, True)
    assert str(request.template_id) == "550e8400-e29b-41d4-a716-446655440000"
    assert person.row.phone_number == "+966500000001"
    assert (person.row.first_name, person.row.last_name) == ("أحمد", "Al-Rashid")
    assert person.metadata["n"] == {"deep": [1, 2.5, None, True]}
    assert person.consent == {
        "kind": "ai_voice",
        "givenAt": "2026-01-01T10:00:00Z",
        "evidence": "form",
    }


def test_null_equals_absent_in_every_optional_field(settings: Any) -> None:
    settings.CALL_BATCH_SIZE = 77
    optional = [
        "firstName",
        "lastName",
        "email",
        "metadata",
        "promptTags",
        "timeZone",
        "region",
        "debtReference",
        "consent",
    ]
    outside = ["aiSettingsTemplateId", "updateExisting", "countryCode", "batchSize"]
    with_nulls = read(NUMBER | dict.fromkeys(optional), **dict.fromkeys(outside))
    assert with_nulls == read(NUMBER)
    assert (with_nulls.batch_size, with_nulls.country_code, with_nulls.template_id) == (
        77,
        "",
        None,
    )


@pytest.mark.parametrize("size", [10, 1000, "50", 50.0])
def test_batch_sizes_that_are_taken(size: Any) -> None:
    assert read(NUMBER, batchSize=size).batch_size == int(size)


@pytest.mark.parametrize("size", [9, 1001, 50.5, True, "many", [50]])
def test_batch_sizes_that_are_refused(size: Any) -> None:
    assert list(refused(NUMBER, batchSize=size)) == [("body", "batchSize")]


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), (1, True)])
def test_booleans_are_read_laxly(text: Any, value: bool) -> None:
    assert read(NUMBER, updateExisting=text).update_existing is value


@pytest.mark.parametrize("code", ["sa", "SAU", "ZZ", "", "S", 5])
def test_country_codes_that_are_refused(code: Any) -> None:
    assert list(refused(NUMBER, countryCode=code)) == [("body", "countryCode")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("numberToCall", None),
        ("numberToCall", 966500000001),
        ("numberToCall", ""),
        ("numberToCall", "0500000001"),
        ("firstName", "x" * 256),
        ("lastName", 5),
        ("email", "nobody"),
        ("timeZone", "Mars/Olympus"),
        ("region", "Riyadh"),
        ("metadata", [1]),
        ("metadata", {"a": "\0"}),
        ("metadata", {"a": [float("nan")]}),
        ("metadata", {"a": float("inf")}),
        ("promptTags", "amount"),
        ("firstName", "A\0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_never_echoed(field: str, value: Any) -> None:
    body = json.dumps({"contacts": [NUMBER, NUMBER | {field: value}]}).encode()
    assert list(errors_of(body)) == [("body", "contacts", 1, field)]


@pytest.mark.parametrize("value", [5, True, None, {"a": "b"}])
def test_a_tag_that_is_no_string_is_named(value: Any) -> None:
    found = refused(NUMBER | {"promptTags": {"amount": value}})
    assert list(found) == [("body", "contacts", 0, "promptTags", "amount")]


def test_every_bad_element_is_named_whatever_is_wrong_with_it() -> None:
    contacts: list[dict[str, Any]] = [NUMBER] * 100
    for row in (0, 7, 99):
        contacts[row] = {"firstName": "Sara"}
    contacts[3] = {"numberToCall": "12345"}
    contacts[50] = NUMBER | {"promptTags": {"a": 1}, "email": "x"}
    found = refused(*contacts, batchSize=1)
    assert set(found) == {
        ("body", "batchSize"),
        *(("body", "contacts", row, "numberToCall") for row in (0, 3, 7, 99)),
        ("body", "contacts", 50, "promptTags", "a"),
        ("body", "contacts", 50, "email"),
    }


def test_contacts_of_a_faulty_request_are_kept_with_their_index_and_without_the_faults() -> None:
    tags = {"a": 1, "b": "2"}
    request = read(NUMBER, {"numberToCall": "x"}, NUMBER | {"email": "x", "promptTags": tags})
    assert [person.index for person in request.people] == [0, 2]
    assert request.people[1].prompt_tags == {"b": "2"}
    assert request.people[1].faulty == {"email", "a"}


def test_several_faults_of_one_contact_are_all_named() -> None:
    found = refused({"numberToCall": "123", "email": "x", "metadata": 1, "consent": {"kind": ""}})
    assert {loc[3:] for loc in found} == {
        ("numberToCall",),
        ("email",),
        ("metadata",),
        ("consent", "kind"),
    }


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        (b"", ("body", 0), "json_invalid"),
        (b'{"contacts": [', ("body", 14), "json_invalid"),
        (b'{"a":\n  x}', ("body", 8), "json_invalid"),
        (b"[]", ("body",), "model_type"),
        (b"{}", ("body", "contacts"), "missing"),
        (b'{"contacts": []}', ("body", "contacts"), "too_short"),
        (b'{"contacts": {}}', ("body", "contacts"), "list_type"),
        (b'{"contacts": [1]}', ("body", "contacts", 0), "model_type"),
        (b'{"contacts": [{"numberToCall": "\\ud800"}]}', None, "json_invalid"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", None, "json_invalid"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    body: bytes, loc: tuple[str | int, ...] | None, kind: str
) -> None:
    found = errors_of(body)
    assert list(found.values()) == [kind]
    assert loc is None or list(found) == [loc]


def test_more_contacts_than_allowed_are_refused(settings: Any) -> None:
    settings.BULK_MAX_CONTACTS = 2
    assert refused(NUMBER, NUMBER) == {}
    assert refused(NUMBER, NUMBER, NUMBER) == {("body", "contacts"): "too_long"}


def test_messages_hold_no_part_of_the_value() -> None:
    body = json.dumps(
        {
            "aiSettingsTemplateId": "hamster",
            "contacts": [
                {"numberToCall": "+1999secret", "email": "secret@", "timeZone": "secret/zone"}
            ],
        }
    ).encode()
    with pytest.raises(InvalidInput) as refusal:
        read_bulk_request(body)
    messages = " ".join(error["msg"] for error in refusal.value.errors)
    assert len(refusal.value.errors) == 4
    assert "secret" not in messages
    assert "`h`" not in messages
