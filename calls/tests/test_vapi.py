import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from jsonschema import Draft4Validator

from calls.events import record_events
from calls.models import ProviderAccount
from calls.providers import provider_of
from calls.providers.base import (
    Access,
    AccountError,
    CallRequest,
    EventKind,
    EventRefused,
    PermanentError,
    ProviderError,
    TemporaryError,
)
from calls.providers.vapi import TOO_MANY_FAILURES, NotClosed, VapiProvider
from calls.providers.vapi.account import FIELDS, Account
from calls.providers.vapi.api import PAGE, Api, UnexpectedAnswer
from calls.providers.vapi.reasons import MAX_REASON, TABLE, meaning_of
from calls.providers.vapi.signatures import find_fault
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from calls.tests.fake_vapi import (
    CREDENTIAL_ID,
    KEY,
    NUMBER,
    NUMBER_ID,
    TOKEN,
    FakeVapi,
    Message,
)
from calls.tests.far_side import Drops, FarSide, Hangs, Says

CALLBACK = "https://calls.example.com/hooks/3"
OUTCOMES = (
    ("PROMISE_TO_PAY", "The person promises to pay."),
    ("WRONG_NUMBER", "It is somebody else's number."),
)


@pytest.fixture
def vapi() -> Iterator[FakeVapi]:
    with FakeVapi() as vapi:
        yield vapi


@pytest.fixture(autouse=True)
def _clock_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, so that a provider needs no database."""
    monkeypatch.setattr("campaigns.clock._anchor", (time.monotonic(), timezone.now()))


def provider_at(vapi: FakeVapi, callback_url: str = CALLBACK, **settings: str) -> VapiProvider:
    known, credentials = vapi.account_fields()
    return VapiProvider(Access(known | settings, credentials, callback_url))


@pytest.fixture
def provider(vapi: FakeVapi) -> VapiProvider:
    return provider_at(vapi)


@pytest.fixture
def silence_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls.providers.vapi.api.REQUEST_SECONDS", 0.4)


def make_request(**what_matters: Any) -> CallRequest:
    fields: dict[str, Any] = {
        "attempt_id": uuid4(),
        "attempt": 1,
        "number_to": "+966500000001",
        "system_prompt": "You speak for “Acme”.",
        "first_message": "مرحبا",
        "voice": "",
        "language": "ar",
        "max_duration_seconds": 300,
        "outcomes": OUTCOMES,
        "started_at": datetime.now(UTC),
    }
    return CallRequest(**fields | what_matters)


def now() -> datetime:
    return datetime.now(UTC)


def body_of(vapi: FakeVapi) -> dict[str, Any]:
    """What was sent last to place a call."""
    bodies = [asked.body for asked in vapi.asked if asked.method == "POST"]
    told: dict[str, Any] = json.loads(bodies[-1])
    return told


def placed(vapi: FakeVapi, provider: VapiProvider, **what_matters: Any) -> CallRequest:
    request = make_request(**what_matters)
    provider.place(request)
    return request


def read(provider: VapiProvider, message: Message) -> Any:
    [event] = provider.read_events(*message)
    return event


def brief(value: Any) -> str:
    return str(value)[:60]


# --- What Vapi's own description says -----------------------------------------------------------


def vendor_schemas() -> dict[str, Any]:
    folder = os.environ.get("PROVIDER_SPECS_DIR")
    if not folder:
        pytest.skip("PROVIDER_SPECS_DIR names no folder with the vendors' descriptions")
    told = json.loads((Path(folder) / "vapi-openapi.json").read_text())
    schemas: dict[str, Any] = told["components"]["schemas"]
    return schemas


def strict(schema: Any) -> Any:
    """The schema, which then allows no name it does not know. Where it calls words objects, it
    means texts; where it lists the words of a list, it means those of its items; and where it
    gives a choice, what is one of its known words is a text as well.
    """
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: strict(part) for name, part in schema.items()}
    words = known.get("enum")
    if isinstance(words, list) and known.get("type") == "object":
        known["type"] = "string"
    if known.get("type") == "array":
        known.pop("enum", None)
    if "oneOf" in known:
        known["anyOf"] = known.pop("oneOf")
    if isinstance(known.get("properties"), dict) and known.get("type") == "object":
        known.setdefault("additionalProperties", False)
    return known


@pytest.fixture(scope="module")
def faults() -> Any:
    schemas = strict(vendor_schemas())

    def find(name: str, told: Any) -> list[str]:
        whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        return [
            f"{list(error.absolute_path)}: {error.message[:200]}"
            for error in Draft4Validator(whole).iter_errors(told)
        ]

    return find


@pytest.mark.parametrize(
    ("request_fields", "settings"),
    [
        ({}, {}),
        ({"first_message": "", "outcomes": ()}, {"webhookScheme": "bearer", "credentialId": ""}),
        ({"voice": "ar-SA-HamedNeural", "language": "ar-EG"}, {"transcriber": "azure"}),
        ({"voice": "11labs:burt", "language": "en-US"}, {"modelProvider": "google"}),
        ({"language": "fr"}, {"voice": "vapi:Elliot", "transcriber": "azure"}),
        ({"language": "de-DE", "max_duration_seconds": 3600}, {"voice": "x", "model": "gpt-5"}),
        ({"max_duration_seconds": 10}, {"voice": "abc", "voiceProvider": "cartesia"}),
    ],
    ids=str,
)
def test_a_placement_is_as_the_vendor_describes_it(faults, vapi, request_fields, settings) -> None:
    if settings.get("modelProvider") == "google":
        settings = settings | {"model": "gemini-2.5-flash"}
    provider_at(vapi, **settings).place(make_request(**request_fields))
    assert faults("CreateCallDTO", body_of(vapi)) == []


def test_a_placement_with_a_wrong_field_is_seen_to_be_wrong(faults, vapi, provider) -> None:
    placed(vapi, provider)
    body = body_of(vapi)
    assert faults("CreateCallDTO", body | {"phoneNumberID": "x"})
    assert faults("CreateCallDTO", body | {"name": "x" * 41})
    assert faults("CreateCallDTO", body | {"assistant": {"voice": {"provider": "azure"}}})


VOICE_PROVIDERS = next(f.choices for f in FIELDS if f.name == "voiceProvider")


@pytest.mark.parametrize("name", VOICE_PROVIDERS)
def test_every_voice_provider_on_offer_is_one_of_the_vendors(faults, vapi, name) -> None:
    [voices] = [
        schema["properties"]["voiceId"]
        for key, schema in vendor_schemas().items()
        if key.endswith("Voice")
        and not key.startswith("Fallback")
        and schema.get("properties", {}).get("provider", {}).get("enum") == [name]
    ]
    voice = voices.get("enum", ["some-voice"])[0]
    provider_at(vapi, voice=voice, voiceProvider=name).place(make_request())
    assert body_of(vapi)["assistant"]["voice"] == {"provider": name, "voiceId": voice}
    assert faults("CreateCallDTO", body_of(vapi)) == []


def test_every_reason_of_the_vendor_has_a_meaning() -> None:
    reasons = vendor_schemas()["Call"]["properties"]["endedReason"]["enum"]
    assert len(reasons) > 600
    assert [reason for reason in reasons if not meaning_of(reason).is_known] == []
    assert {meaning_of(reason).status for reason in reasons} == {
        CallStatus.COMPLETED,
        CallStatus.NO_ANSWER,
        CallStatus.BUSY,
        CallStatus.VOICEMAIL,
        CallStatus.INVALID_NUMBER,
        CallStatus.CANCELLED,
        CallStatus.FAILED,
    }


def test_no_fault_of_the_vendor_is_taken_for_a_conversation() -> None:
    reasons = vendor_schemas()["Call"]["properties"]["endedReason"]["enum"]
    for reason in reasons:
        meaning = meaning_of(reason)
        if "vapifault" in reason or reason.startswith(("pipeline-error", "call.start")):
            assert (meaning.status, meaning.blames) == (CallStatus.FAILED, True), reason


def test_the_fake_tells_calls_as_the_vendor_describes_them(faults, vapi, provider) -> None:
    request = placed(vapi, provider)
    for message in (vapi.ring(request.attempt_id), vapi.answer(request.attempt_id)):
        told = json.loads(message[1])["message"]
        assert faults("ServerMessageStatusUpdate", _without_fault(told)) == []
    told = json.loads(vapi.end(request.attempt_id, said={"outcome": "X"})[1])["message"]
    assert faults("ServerMessageEndOfCallReport", _without_fault(told)) == []
    assert faults("Call", vapi.calls[request.attempt_id]) == []


def _without_fault(message: dict[str, Any]) -> dict[str, Any]:
    """A phone number that stands in messages is more than what creates one."""
    return {name: value for name, value in message.items() if name != "phoneNumber"}


# --- Placing ------------------------------------------------------------------------------------


def test_a_call_is_placed_with_an_assistant_made_from_the_template(vapi, provider) -> None:
    request = make_request()
    placement = provider.place(request)
    assert placement.provider_call_id == vapi.calls[request.attempt_id]["id"]
    assert placement.poll_at == request.started_at + timedelta(seconds=30)
    [asked] = vapi.asked
    assert (asked.method, asked.path) == ("POST", "/call")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(asked.body)
    assistant = body["assistant"]
    assert body["customer"]["number"] == "+966500000001"
    assert body["phoneNumberId"] == NUMBER_ID
    assert assistant["model"]["messages"] == [
        {"role": "system", "content": "You speak for “Acme”."}
    ]
    assert assistant["firstMessage"] == "مرحبا"
    assert assistant["maxDurationSeconds"] == 300
    assert assistant["transcriber"] == {"provider": "azure", "language": "ar-SA"}
    assert assistant["voicemailDetection"]["provider"] == "vapi"
    assert "voicemailMessage" not in assistant
    assert "voice" not in assistant


def test_our_id_stands_where_vapi_echoes_it(vapi, provider) -> None:
    request = placed(vapi, provider)
    body, ours = body_of(vapi), str(request.attempt_id)
    assert body["name"] == body["customer"]["externalId"] == ours
    assert body["assistant"]["metadata"] == {"attemptId": ours}


def test_without_a_first_message_the_person_speaks_first(vapi, provider) -> None:
    placed(vapi, provider, first_message="")
    assistant = body_of(vapi)["assistant"]
    assert assistant["firstMessageMode"] == "assistant-waits-for-user"
    assert "firstMessage" not in assistant


@pytest.mark.parametrize(
    ("template", "settings", "voice"),
    [
        ("burt", {}, {"provider": "azure", "voiceId": "burt"}),
        ("burt", {"voiceProvider": "11labs"}, {"provider": "11labs", "voiceId": "burt"}),
        ("11labs:burt", {"voice": "x"}, {"provider": "11labs", "voiceId": "burt"}),
        ("", {"voice": "vapi:Elliot"}, {"provider": "vapi", "voiceId": "Elliot"}),
        ("", {"voice": "a:b"}, {"provider": "azure", "voiceId": "a:b"}),
    ],
)
def test_the_voice_is_the_templates_or_else_the_accounts(vapi, template, settings, voice) -> None:
    provider_at(vapi, **settings).place(make_request(voice=template))
    assert body_of(vapi)["assistant"]["voice"] == voice


@pytest.mark.parametrize(
    ("language", "transcriber", "expected"),
    [
        ("en", "", {"provider": "deepgram", "model": "nova-3", "language": "en"}),
        ("en-GB", "", {"provider": "deepgram", "model": "nova-3", "language": "en"}),
        ("ar-EG", "", {"provider": "azure", "language": "ar-EG"}),
        ("ar", "deepgram", {"provider": "deepgram", "model": "nova-3", "language": "ar"}),
        ("fr", "azure", {"provider": "azure", "language": "fr-FR"}),
    ],
)
def test_the_language_is_told_to_the_transcriber(vapi, language, transcriber, expected) -> None:
    provider_at(vapi, transcriber=transcriber).place(make_request(language=language))
    assert body_of(vapi)["assistant"]["transcriber"] == expected


def test_the_analysis_asks_for_the_words_of_the_template(vapi, provider) -> None:
    request = placed(vapi, provider)
    plan = body_of(vapi)["assistant"]["analysisPlan"]
    schema = plan["structuredDataPlan"]["schema"]
    assert plan["summaryPlan"]["enabled"]
    assert schema["properties"]["outcome"]["enum"] == ["PROMISE_TO_PAY", "WRONG_NUMBER"]
    assert "WRONG_NUMBER: It is somebody else's" in schema["properties"]["outcome"]["description"]
    assert schema["properties"]["sentiment"]["enum"] == ["POSITIVE", "NEUTRAL", "NEGATIVE"]
    assert "callBackAt" in schema["properties"]
    assert "callBackAt" not in schema["required"]
    began = request.started_at.isoformat(timespec="seconds").removesuffix("+00:00")
    assert began in schema["properties"]["callBackAt"]["description"]


def test_nothing_in_a_prompt_is_a_template_of_vapis(vapi, provider) -> None:
    placed(vapi, provider, system_prompt="{{{x}}} {% if y %} {z}", first_message="{{now}}")
    assistant = body_of(vapi)["assistant"]
    said = assistant["model"]["messages"][0]["content"] + assistant["firstMessage"]
    assert "{{" not in said
    assert "{%" not in said
    assert "{z}" in said


def test_events_are_asked_for_at_our_address(vapi, provider) -> None:
    placed(vapi, provider)
    assistant = body_of(vapi)["assistant"]
    assert assistant["server"]["url"] == CALLBACK
    assert assistant["server"]["credentialId"] == CREDENTIAL_ID
    assert "headers" not in assistant["server"]
    assert assistant["serverMessages"] == ["status-update", "end-of-call-report"]


def test_without_a_credential_the_token_is_given_with_the_call() -> None:
    with FakeVapi("bearer") as vapi:
        provider_at(vapi).place(make_request())
        assert body_of(vapi)["assistant"]["server"]["headers"] == {"X-Vapi-Secret": TOKEN}


def test_without_an_address_or_a_secret_no_events_are_asked_for(vapi) -> None:
    provider_at(vapi, callback_url="").place(make_request())
    assert "server" not in body_of(vapi)["assistant"]
    settings, credentials = vapi.account_fields()
    access = Access(settings, {"apiKey": credentials["apiKey"]}, CALLBACK)
    VapiProvider(access).place(make_request())
    assert "server" not in body_of(vapi)["assistant"]


def test_a_call_from_another_number_is_placed_by_that_numbers_id(vapi, provider) -> None:
    other = str(uuid4())
    vapi.numbers[other] = {"id": other, "provider": "twilio", "number": "+12025550199"}
    for _ in range(2):
        assert provider.place(make_request(number_from="+12025550199")).number_from
        assert body_of(vapi)["phoneNumberId"] == other
    assert [asked.path for asked in vapi.asked].count("/phone-number?limit=1000") == 1
    with pytest.raises(AccountError, match=r"\+12025550111"):
        provider.place(make_request(number_from="+12025550111"))


@pytest.mark.parametrize("fault", ["server_error", "closed", "garbage"])
def test_what_fails_before_a_placement_places_nothing(vapi, provider, fault) -> None:
    vapi.answer_next(fault)
    with pytest.raises(TemporaryError):
        provider.place(make_request(number_from=NUMBER))
    assert vapi.calls == {}


@pytest.mark.parametrize("fault", ["unauthorized", "no_credit", "forbidden", "not_found"])
def test_an_account_that_is_at_fault_is_told_in_words(vapi, provider, fault) -> None:
    vapi.answer_next(fault)
    with pytest.raises(AccountError, match=r"\(40\d\)") as refused:
        provider.place(make_request())
    assert len(refused.value.reason) < 190


@pytest.mark.parametrize("fault", ["throttled", "throttled_for_a_while"])
def test_busy_vapi_has_not_taken_the_call(vapi, provider, fault) -> None:
    vapi.answer_next(fault)
    with pytest.raises(TemporaryError) as refused:
        provider.place(make_request())
    assert not isinstance(refused.value, AccountError)


@pytest.mark.parametrize(
    "message",
    [
        ["customer.number must be a valid phone number in the E.164 format. Hot tip, …"],
        "customer.number must be longer than or equal to 3 characters",
        "Couldn't Start Call. Twilio Error: The number +966500000001 is not a valid phone number",
        "Twilio said: Invalid 'To' Phone Number: +9665",
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_number_that_vapi_refuses_is_invalid(vapi, provider, status, message) -> None:
    vapi.answer_next(Says(status, {"message": message, "statusCode": status}))
    with pytest.raises(PermanentError) as refused:
        provider.place(make_request())
    assert refused.value.status is CallStatus.INVALID_NUMBER
    assert refused.value.reason == "invalid_number"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (["assistant.voice.voiceId must be one of the following"], "assistant.voice.voiceId"),
        ("assistant.property Ahmed.Ali should not exist", "sets"),
        (["phoneNumberId must be a UUID"], "phoneNumberId"),
        ("Phone Number Not Found.", "sets"),
        ("Wallet Balance is -0.41. Purchase more credits or upgrade your plan.", "wallet"),
        ("Numbers Bought On Vapi Have A Daily Outbound Call Limit.", "daily limit"),
        ("Free Vapi numbers do not support international calls.", "abroad"),
        (None, "400"),
        (b"<html>", "400"),
        (b'["list"]', "400"),
    ],
    ids=brief,
)
def test_whatever_else_vapi_refuses_is_the_accounts_fault(vapi, provider, message, told) -> None:
    body = message if isinstance(message, bytes) else {"message": message, "statusCode": 400}
    vapi.answer_next(Says(400, body))
    with pytest.raises(AccountError, match=told) as refused:
        provider.place(make_request(voice="burt"))
    assert "Ahmed" not in refused.value.reason


def test_too_many_calls_at_once_pass_by_themselves(vapi, provider) -> None:
    vapi.answer_next(Says(400, {"message": "Over Concurrency Limit. Upgrade your plan."}))
    with pytest.raises(TemporaryError) as refused:
        provider.place(make_request())
    assert not isinstance(refused.value, AccountError)


def test_a_body_that_no_rule_explains_ends_the_one_call(vapi, provider) -> None:
    vapi.answer_next(Says(413))
    with pytest.raises(PermanentError, match="vapi_answered_413"):
        provider.place(make_request())


def test_where_nobody_listens_nothing_was_taken() -> None:
    with FakeVapi() as gone:
        pass
    with pytest.raises(TemporaryError, match="vapi_unreachable"):
        provider_at(gone).place(make_request())


@pytest.mark.parametrize(
    "answer",
    [
        Says(500),
        Says(502),
        Says(503),
        Says(504),
        Says(408),
        Says(301),
        Says(200, b""),
        Says(200, b"<html>"),
        Says(200, b'{"id": "x"'),
        Says(200, b'{"id": NaN}'),
        Says(200, b"[" * 100_000),
        Says(201, []),
        Says(201, {}),
        Says(201, {"id": 7}),
        Says(201, {"id": "../call"}),
        Says(201, {"id": "x" * 101}),
        Says(201, {"results": [], "errors": []}),
        Drops(),
    ],
    ids=brief,
)
def test_whatever_else_comes_leaves_it_open_whether_the_call_was_taken(
    vapi, provider, answer
) -> None:
    vapi.answer_next(answer)
    with pytest.raises(Exception) as left_open:  # noqa: PT011
        provider.place(make_request())
    assert isinstance(left_open.value, UnexpectedAnswer | httpx2.TransportError)
    assert not isinstance(left_open.value, ProviderError)
    assert len(vapi.asked) == 1


@pytest.mark.usefixtures("silence_is_short")
def test_an_answer_is_not_waited_for_for_ever(vapi, provider) -> None:
    vapi.answer_next(Hangs())
    began = time.monotonic()
    with pytest.raises(httpx2.ReadTimeout):
        provider.place(make_request())
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("settings", "credentials", "told"),
    [
        ({"phoneNumberId": NUMBER_ID}, {}, "no private key"),
        ({"phoneNumberId": NUMBER_ID}, {"apiKey": "clé"}, "no private key"),
        ({}, {"apiKey": KEY}, "no phone number"),
        ({"phoneNumberId": 7}, {"apiKey": KEY}, "no phone number"),
        ({"phoneNumberId": "x", "baseUrl": "ftp://vapi"}, {"apiKey": KEY}, "address"),
        (
            {"phoneNumberId": "x", "webhookScheme": "hmac"},
            {"apiKey": KEY, "webhookSecret": "s"},
            "custom credential",
        ),
    ],
)
def test_an_account_that_lacks_something_says_so(settings, credentials, told) -> None:
    provider = VapiProvider(Access(settings, credentials))
    with pytest.raises(AccountError, match=told):
        provider.place(make_request())
    with pytest.raises(AccountError, match=told):
        provider.check()


def test_an_account_is_with_vapi_itself_unless_it_says_otherwise() -> None:
    assert Account.of(Access()).base_url == "https://api.vapi.ai"


# --- Asking -------------------------------------------------------------------------------------


def polled(provider: VapiProvider, request: CallRequest) -> Any:
    [poll] = provider.poll([request], now())
    return poll


def with_id(vapi: FakeVapi, request: CallRequest) -> CallRequest:
    fields = {name: getattr(request, name) for name in CallRequest.__slots__}
    return CallRequest(**fields | {"provider_call_id": vapi.calls[request.attempt_id]["id"]})


@pytest.mark.parametrize("knows_id", [True, False])
def test_a_call_is_followed_from_its_ringing_to_its_end(vapi, provider, knows_id) -> None:
    request = placed(vapi, provider)
    asked = with_id(vapi, request) if knows_id else request
    assert polled(provider, asked).events == ()
    kinds = []
    for step in (vapi.ring, vapi.answer, vapi.end):
        told = (
            step(request.attempt_id, said={"outcome": "PROMISE_TO_PAY"})
            if step == vapi.end
            else step(request.attempt_id)
        )
        poll = polled(provider, asked)
        [event] = poll.events
        kinds.append(event.kind)
        assert event.attempt_id == request.attempt_id
        assert read(provider, told).event_id == event.event_id
        assert (poll.poll_at is None) == (event.kind is EventKind.ENDED)
    assert kinds == [EventKind.RINGING, EventKind.ANSWERED, EventKind.ENDED]


def test_a_poll_and_a_report_tell_the_same_end(vapi, provider) -> None:
    request = placed(vapi, provider)
    told = vapi.end(request.attempt_id, said={"outcome": "PROMISE_TO_PAY"})
    [event] = polled(provider, with_id(vapi, request)).events
    reported = read(provider, told)
    assert reported.ending == event.ending
    assert reported.occurred_at == event.occurred_at


def test_a_call_whose_answer_was_lost_is_found_by_our_id(vapi, provider) -> None:
    request = make_request()
    vapi.answer_next("closed", takes_call=True)
    with pytest.raises(httpx2.TransportError):
        provider.place(request)
    vapi.ring(request.attempt_id)
    [event] = polled(provider, request).events
    assert event.provider_call_id == vapi.calls[request.attempt_id]["id"]


def test_a_call_that_vapi_never_saw_is_unknown(vapi, provider) -> None:
    placed(vapi, provider)
    poll = polled(provider, make_request())
    assert poll.is_unknown
    assert poll.events == ()


@pytest.mark.parametrize("seconds", [-290, -20, 100, 590])
def test_clocks_that_differ_hide_no_call(vapi, provider, seconds: int) -> None:
    vapi.now = lambda: now() + timedelta(seconds=seconds)
    request = placed(vapi, provider)
    assert not polled(provider, request).is_unknown


@pytest.mark.parametrize("oldest_first", [True, False])
def test_a_call_is_found_among_more_than_a_page_holds(
    vapi, provider, oldest_first, monkeypatch
) -> None:
    monkeypatch.setattr("calls.providers.vapi.api.PAGE", 4)
    began = now()
    requests = []
    for number in range(20):
        vapi.now = lambda number=number: began + timedelta(seconds=number)
        requests.append(placed(vapi, provider, started_at=began))
    if oldest_first:
        sort = sorted
        monkeypatch.setattr(
            "calls.tests.fake_vapi.sorted",
            lambda calls, key, reverse: sort(calls, key=key),
            raising=False,
        )
    polls = provider.poll(requests, now())
    assert [poll.is_unknown for poll in polls] == [False] * 20


def test_more_calls_at_once_than_can_be_listed_leave_it_open(vapi, provider, monkeypatch) -> None:
    monkeypatch.setattr("calls.providers.vapi.api.PAGE", 2)
    began = now()
    vapi.now = lambda: began
    for _ in range(3):
        placed(vapi, provider)
    assert provider.poll([make_request(started_at=began)], now()) == []


@pytest.mark.parametrize(
    "fault",
    [
        "unauthorized",
        "throttled",
        "server_error",
        "garbage",
        "closed",
        Says(200, {}),
        Says(200, [{}]),
    ],
    ids=brief,
)
def test_a_call_that_cannot_be_asked_about_has_no_answer(vapi, provider, fault, caplog) -> None:
    request = placed(vapi, provider)
    vapi.answer_next(fault)
    assert provider.poll([request], now()) == []
    assert "cannot be asked about" in caplog.text


def test_one_calls_failure_leaves_the_others_theirs(vapi, provider) -> None:
    requests = [placed(vapi, provider) for _ in range(6)]
    vapi.answer_next("server_error")
    assert len(provider.poll(requests, now())) == 5


def test_where_nobody_listens_it_is_asked_only_a_few_times() -> None:
    with FakeVapi() as gone:
        pass
    assert provider_at(gone).poll([make_request() for _ in range(50)], now()) == []


def test_after_a_few_failures_the_rest_of_the_group_waits(vapi, provider) -> None:
    for _ in range(40):
        vapi.answer_next("server_error")
    requests = [make_request(provider_call_id=f"call-{number}") for number in range(40)]
    assert provider.poll(requests, now()) == []
    assert len(vapi.asked) <= TOO_MANY_FAILURES + 8


def test_what_was_said_is_waited_for_but_not_long(vapi, provider) -> None:
    request = placed(vapi, provider)
    vapi.end(request.attempt_id, analysis={})
    asked = with_id(vapi, request)
    poll = polled(provider, asked)
    assert poll.events == ()
    assert poll.poll_at is not None
    [late] = provider.poll([asked], now() + timedelta(seconds=61))
    [event] = late.events
    assert event.ending is not None
    assert event.ending.outcome == ""


def test_a_call_that_nobody_answered_ends_at_once(vapi, provider) -> None:
    request = placed(vapi, provider)
    vapi.end(request.attempt_id, CallStatus.NO_ANSWER)
    [event] = polled(provider, request).events
    assert event.ending is not None
    assert event.ending.status is CallStatus.NO_ANSWER


# --- Cancelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("knows_id", [True, False])
@pytest.mark.parametrize("step", ["queued", "ringing", "in-progress"])
def test_a_line_is_closed_by_ending_the_call(vapi, provider, step, knows_id) -> None:
    request = placed(vapi, provider)
    vapi.calls[request.attempt_id]["status"] = step
    provider.cancel(with_id(vapi, request) if knows_id else request)
    assert vapi.calls[request.attempt_id]["status"] == "ended"


def test_a_call_that_rings_is_never_deleted(vapi, provider) -> None:
    request = placed(vapi, provider)
    vapi.calls[request.attempt_id] |= {"status": "ringing", "monitor": {}}
    with pytest.raises(NotClosed):
        provider.cancel(request)
    assert all(asked.method != "DELETE" for asked in vapi.asked)


def test_a_call_that_waits_and_cannot_be_told_to_end_is_deleted(vapi, provider) -> None:
    request = placed(vapi, provider)
    vapi.calls[request.attempt_id] |= {"status": "queued", "monitor": {}}
    provider.cancel(request)
    assert vapi.calls == {}


def test_a_line_that_stays_open_is_to_be_closed_again(vapi, provider) -> None:
    request = placed(vapi, provider)
    vapi.ring(request.attempt_id)
    vapi.ends_when_told = False
    with pytest.raises(NotClosed):
        provider.cancel(request)


def test_a_line_that_is_closed_or_was_never_opened_is_left_alone(vapi, provider) -> None:
    request = placed(vapi, provider)
    vapi.end(request.attempt_id, CallStatus.NO_ANSWER)
    vapi.asked.clear()
    provider.cancel(request)
    provider.cancel(make_request())
    provider.cancel(make_request(provider_call_id=str(uuid4())))
    assert {asked.method for asked in vapi.asked} == {"GET"}


@pytest.mark.parametrize(
    "fault", ["unauthorized", "throttled", "server_error", "garbage", "closed"]
)
def test_a_line_that_cannot_be_asked_about_is_not_closed(vapi, provider, fault) -> None:
    request = placed(vapi, provider)
    vapi.ring(request.attempt_id)
    vapi.answer_next(fault)
    with pytest.raises((UnexpectedAnswer, httpx2.TransportError)):
        provider.cancel(request)


@pytest.mark.parametrize(
    "url", ["http://vapi.example/control", "file:///etc/passwd", "https://", "http://[::"]
)
def test_the_end_of_a_call_is_told_to_a_safe_address_only(url: str) -> None:
    account = Account.of(Access({"baseUrl": "https://api.vapi.ai"}, {"apiKey": KEY}))
    with pytest.raises(UnexpectedAnswer):
        Api(account).end_call(url)


def test_the_key_is_not_told_to_the_address_of_a_call(vapi, provider) -> None:
    request = placed(vapi, provider)
    provider.cancel(request)
    [control] = [asked for asked in vapi.asked if asked.path.startswith("/control/")]
    assert "authorization" not in control.headers


# --- Events -------------------------------------------------------------------------------------


def test_a_report_brings_all_that_was_said(vapi, provider) -> None:
    request = placed(vapi, provider)
    said = {
        "outcome": "PROMISE_TO_PAY",
        "outcomeReasoning": "They promise.",
        "sentiment": "POSITIVE",
        "sentimentReasoning": "They laugh.",
        "callBackAt": "2026-01-18T10:00:00+03:00",
    }
    event = read(provider, vapi.end(request.attempt_id, seconds=42, said=said))
    ending = event.ending
    call = vapi.calls[request.attempt_id]
    assert (event.kind, event.attempt_id) == (EventKind.ENDED, request.attempt_id)
    assert (event.provider_call_id, event.number_from) == (call["id"], NUMBER)
    assert event.event_id == f"{call['id']}:ended"
    assert (ending.status, ending.reason) == (CallStatus.COMPLETED, "customer_ended_call")
    assert (ending.outcome, ending.outcome_reasoning) == ("PROMISE_TO_PAY", "They promise.")
    assert (ending.sentiment, ending.sentiment_reasoning) == ("POSITIVE", "They laugh.")
    assert ending.call_back_at == datetime(2026, 1, 18, 7, tzinfo=UTC)
    assert ending.summary == "They pay."
    assert ending.transcript == "Agent: Hello.\nCustomer: Hello, I pay on Sunday."
    assert ending.recording_url == "https://storage.vapi.ai/recording.wav"
    assert (ending.cost, ending.cost_currency) == (Decimal("0.0213"), "USD")
    assert ending.duration_seconds == 42
    assert ending.answered_at.isoformat(timespec="milliseconds")[:23] == call["startedAt"][:23]
    assert ending.counts_as_attempt
    assert not ending.blames_provider


@pytest.mark.parametrize(
    ("status", "reason", "counts", "blames", "is_final"),
    [
        (CallStatus.NO_ANSWER, "no_answer", True, False, False),
        (CallStatus.BUSY, "busy", True, False, False),
        (CallStatus.VOICEMAIL, "voicemail", True, False, False),
        (CallStatus.REJECTED, "rejected", True, False, False),
        (CallStatus.INVALID_NUMBER, "invalid_number", False, False, True),
        (CallStatus.CANCELLED, "cancelled", False, False, True),
        (CallStatus.FAILED, "provider_error", False, True, False),
    ],
)
def test_every_other_end_is_told_in_our_words(
    vapi, provider, status, reason, counts, blames, is_final
) -> None:
    request = placed(vapi, provider)
    ending = read(provider, vapi.end(request.attempt_id, status)).ending
    assert (ending.status, ending.reason, ending.is_final) == (status, reason, is_final)
    assert (ending.counts_as_attempt, ending.blames_provider) == (counts, blames)
    assert bool(ending.answered_at) == (status is CallStatus.VOICEMAIL)
    assert bool(ending.duration_seconds) == (status is CallStatus.VOICEMAIL)


@pytest.mark.parametrize(
    ("vendors", "reason", "counts"),
    [
        ("call.start.error-subscription-concurrency-limit-reached", "capacity", False),
        ("call.start.error-subscription-insufficient-credits", "account_error", False),
        ("assistant-not-found", "account_error", False),
        ("pipeline-error-openai-401-incorrect-api-key", "account_error", True),
        ("twilio-failed-to-connect-call", "carrier_failed", False),
        (
            "call.in-progress.error-providerfault-outbound-sip-503-service-unavailable",
            "carrier_failed",
            False,
        ),
        ("call.in-progress.error-vapifault-openai-llm-failed", "provider_error", True),
        ("call.in-progress.error-vapifault-new-voice-failed", "provider_error", True),
    ],
)
def test_a_failure_is_laid_at_the_right_door(vendors, reason, counts) -> None:
    meaning = meaning_of(vendors)
    assert (meaning.status, meaning.reason) == (CallStatus.FAILED, reason)
    assert (meaning.counts, meaning.blames) == (counts, True)


@pytest.mark.parametrize(
    ("vendors", "reason"),
    [
        ("assistant-ended-call-with-hangup-task", "agent_ended_call"),
        ("assistant-forwarded-call", "transferred"),
        ("silence-timed-out", "silence"),
        ("exceeded-max-duration", "max_duration"),
        ("vonage-completed", "call_completed"),
        ("call.forwarding.operator-busy", "transfer_failed"),
    ],
)
def test_a_conversation_is_one_however_it_ends(vendors, reason) -> None:
    meaning = meaning_of(vendors)
    assert (meaning.status, meaning.reason) == (CallStatus.COMPLETED, reason)


def test_an_unknown_reason_is_a_failure_kept_as_it_came_and_logged_once(caplog) -> None:
    vendors = f"moon-in-the-way-{uuid4()}" + "x" * 200
    with caplog.at_level(logging.WARNING):
        meanings = [meaning_of(vendors) for _ in range(3)]
    assert {m.status for m in meanings} == {CallStatus.FAILED}
    assert {m.reason for m in meanings} == {vendors[:MAX_REASON]}
    assert not any(m.is_known or m.blames for m in meanings)
    assert len(caplog.records) == 1


def test_no_rule_stands_behind_one_that_takes_all_of_its_words() -> None:
    patterns = [pattern for pattern, _ in TABLE]
    assert len(patterns) == len(set(patterns))
    assert [p for p in patterns if "*" not in p and _first_rule(p) != p] == []


def _first_rule(word: str) -> str:
    meaning = meaning_of(word)
    return next((pattern for pattern, other in TABLE if other is meaning and pattern == word), "")


@pytest.mark.parametrize(
    "kind",
    ["transcript", "hang", "conversation-update", "tool-calls", "speech-update", "new", None],
)
def test_other_messages_tell_nothing(vapi, provider, kind) -> None:
    request = placed(vapi, provider)
    call = vapi.calls[request.attempt_id]
    assert provider.read_events(*vapi.tell(call, kind)) == []


@pytest.mark.parametrize("status", ["scheduled", "queued", "ended", "not-found", "new", ""])
def test_a_status_alone_ends_no_call(vapi, provider, status) -> None:
    request = placed(vapi, provider)
    call = vapi.calls[request.attempt_id]
    assert provider.read_events(*vapi.tell(call, "status-update", status=status)) == []


def test_our_id_is_found_wherever_vapi_echoes_it(vapi, provider) -> None:
    request = placed(vapi, provider)
    call = vapi.calls[request.attempt_id]
    ours = str(request.attempt_id)
    bare = {name: value for name, value in call.items() if name not in {"name", "customer"}}
    nothing: dict[str, Any] = {"assistant": {}, "customer": {}}
    for echo in (
        {"assistant": {"metadata": {"attemptId": ours}}},
        {"assistantOverrides": {"metadata": {"attemptId": ours}}},
        {"customer": {"externalId": ours}},
        {"name": ours},
    ):
        message = vapi.tell(bare | nothing | echo, "status-update", status="ringing")
        assert read(provider, message).attempt_id == request.attempt_id
    message = vapi.tell(bare | nothing, "status-update", status="ringing")
    event = read(provider, message)
    assert (event.attempt_id, event.provider_call_id) == (None, call["id"])


def test_a_word_that_is_on_no_list_is_passed_on(vapi, provider) -> None:
    request = placed(vapi, provider)
    message = vapi.end(request.attempt_id, said={"outcome": "MOON", "sentiment": "negative"})
    ending = read(provider, message).ending
    assert (ending.outcome, ending.sentiment) == ("MOON", "NEGATIVE")


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({"outcome": 7, "sentiment": "HAPPY", "callBackAt": "soon"}, {}),
        ({"outcome": None, "sentiment": None, "callBackAt": None}, {}),
        ({"callBackAt": "2026-01-18T10:00:00"}, {}),
        ({"callBackAt": "9999-12-31T23:59:59-14:00"}, {}),
        ({}, {"cost": "free", "artifact": [], "startedAt": 7, "endedAt": "x" * 4 + "-"}),
        ({}, {"cost": -1, "artifact": {"recordingUrl": "javascript:alert(1)"}}),
        ({}, {"cost": 10**400, "artifact": {"recordingUrl": "https://x.example/" + "x" * 2000}}),
        ({}, {"analysis": None, "artifact": None, "cost": None}),
        ({}, {"analysis": {"summary": 7, "structuredData": "none"}}),
    ],
    ids=brief,
)
def test_what_cannot_be_read_of_a_report_costs_nothing_else(vapi, provider, said, fields) -> None:
    request = placed(vapi, provider)
    ending = read(provider, vapi.end(request.attempt_id, said=said, **fields)).ending
    assert ending.status is CallStatus.COMPLETED
    assert (ending.outcome, ending.sentiment, ending.call_back_at) == ("", "", None)
    assert not ending.recording_url.startswith("javascript")


def test_a_transcript_is_made_of_the_messages_if_there_is_none(vapi, provider) -> None:
    request = placed(vapi, provider)
    messages = [
        {"role": "system", "message": "You speak for Acme."},
        {"role": "bot", "message": "Hello."},
        {"role": "user", "message": " Hello? "},
        {"role": "tool_calls", "message": ""},
        "noise",
    ]
    message = vapi.end(request.attempt_id, artifact={"messages": messages})
    assert read(provider, message).ending.transcript == "Agent: Hello.\nCustomer: Hello?"


def test_a_recording_is_found_in_the_newer_place_too(vapi, provider) -> None:
    request = placed(vapi, provider)
    artifact = {"recording": {"mono": {"combinedUrl": "https://storage.vapi.ai/mono.wav"}}}
    ending = read(provider, vapi.end(request.attempt_id, artifact=artifact)).ending
    assert ending.recording_url == "https://storage.vapi.ai/mono.wav"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"message": 7}',
        b'{"message": {"type": "end-of-call-report"}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": 7}}}',
        b'{"message": {"type": "end-of-call-report", "call": {"id": "nul\\u0000"}}}',
        b'{"message": {"type": "status-update", "status": "ringing", "call": []}}',
    ],
)
def test_what_is_no_event_at_all_is_refused(vapi, provider, body: bytes) -> None:
    with pytest.raises(EventRefused) as refused:
        provider.read_events(vapi.prove(body), body)
    assert not refused.value.is_forged


# --- Proofs -------------------------------------------------------------------------------------

# Made by: printf '1768469400.%s' "$BODY" | openssl dgst -sha256 -hmac a-token-of-events
BODY = b'{"message":{"type":"hang"}}'
AT = 1768469400
SHA256 = "d9f382044d19067d662f8987c2e3b0292f20b239f7d8cb874935a96421809e45"
SHA512 = (
    "9cb8fc4e4b2acb705dbc877e8dd3951b16aac8972b84e03cdb4e6b0d705556b3"
    "9b93b760911427a4e37053dfce5c0de2f2ffbf02b2b928c6720a85927076c9c7"
)
SHA1 = "5daf9327fdda3fa98c2f1c7e8011822976f10a75"
IN_MILLISECONDS = "5787c45f629d8a057e2dffa0c65c5a5410be44a1b8772ff4c0ab7fa38119273c"
BODY_ALONE = "8d4205c655973b1f85dc383c2bcecd1f65e8fdb4e52053b50bc7caaf3402abda"
IN_BASE64 = "2fOCBE0ZBn1mL4mHwuOwKS8gsjn32MuHSTWpZCGAnkU="


def fault_of(
    headers: dict[str, str], body: bytes = BODY, secret: str = TOKEN, **settings: str
) -> str:
    account = Account.of(Access({"webhookScheme": "hmac"} | settings, {"webhookSecret": secret}))
    return find_fault(account, headers, body, AT + 10)


def signed(signature: str, timestamp: str = str(AT)) -> dict[str, str]:
    return {"X-Signature": signature, "X-Timestamp": timestamp}


@pytest.mark.parametrize(
    ("headers", "settings"),
    [
        (signed(SHA256), {}),
        (signed(SHA256.upper()), {}),
        (signed(SHA512), {"hmacAlgorithm": "sha512"}),
        (signed(SHA1), {"hmacAlgorithm": "sha1"}),
        (signed(IN_MILLISECONDS, f"{AT}000"), {}),
        (signed(IN_BASE64), {"hmacEncoding": "base64"}),
        (signed(f"sha256={SHA256}"), {"signaturePrefix": "sha256="}),
        ({"x-signature": BODY_ALONE}, {"hmacPayload": "{body}"}),
        (
            {"X-Hub": SHA256, "x-sent-at": str(AT)},
            {"signatureHeader": "x-hub", "timestampHeader": "X-Sent-At"},
        ),
        (signed(SHA256), {"hmacSecretForm": "base64", "secret": "YS10b2tlbi1vZi1ldmVudHM="}),
    ],
    ids=brief,
)
def test_a_signature_that_was_made_elsewhere_is_believed(headers, settings) -> None:
    assert fault_of(headers, **settings) == ""


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        (signed(SHA256), {"body": BODY + b" "}),
        (signed(SHA256), {"secret": "another"}),
        (signed(SHA256), {"hmacAlgorithm": "sha512"}),
        (signed(SHA256), {"hmacAlgorithm": "md5"}),
        (signed(SHA256), {"hmacEncoding": "base64"}),
        (signed(SHA256), {"signaturePrefix": "sha256="}),
        (signed(SHA256), {"hmacSecretForm": "base64"}),
        (signed(SHA256), {"hmacPayload": "{body}"}),
        (signed(SHA256, str(AT + 1)), {}),
        (signed(SHA256, f"{AT}000"), {}),
        (signed(SHA256, ""), {}),
        (signed(SHA256, "soon"), {}),
        (signed(SHA256, "٣"), {}),
        (signed(SHA256, "9" * 17), {}),
        (signed(""), {}),
        (signed("é"), {}),
        (signed(SHA256[:-1]), {}),
        ({}, {}),
        (signed(SHA256), {"secret": ""}),
        (signed(SHA256), {"webhookScheme": "none"}),
        ({"authorization": f"Bearer {TOKEN}"}, {}),
    ],
    ids=brief,
)
def test_any_other_signature_is_not(headers, changes) -> None:
    assert fault_of(headers, **changes)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_clocks_may_differ_a_little(seconds: int) -> None:
    account = Account.of(Access({"webhookScheme": "hmac"}, {"webhookSecret": TOKEN}))
    assert find_fault(account, signed(SHA256), BODY, AT + seconds) == ""
    off = seconds + (1 if seconds > 0 else -1)
    assert "300 seconds" in find_fault(account, signed(SHA256), BODY, AT + off)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}"},
        {"authorization": f"bearer {TOKEN}"},
        {"X-Vapi-Secret": TOKEN},
        {"authorization": "Bearer another", "x-vapi-secret": TOKEN},
    ],
)
def test_a_token_is_believed_in_either_header(headers) -> None:
    assert fault_of(headers, webhookScheme="bearer") == ""


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"x-vapi-secret": TOKEN + "x"},
        {"x-vapi-secret": "é"},
        {"x-vapi-secret": ""},
    ],
)
def test_any_other_token_is_not(headers) -> None:
    assert fault_of(headers, webhookScheme="bearer")
    assert fault_of(headers, webhookScheme="bearer", secret="")


@pytest.mark.parametrize("scheme", ["bearer", "hmac"])
def test_what_somebody_else_sends_is_forged(scheme: str) -> None:
    with FakeVapi(scheme) as vapi:
        provider = provider_at(vapi)
        request = placed(vapi, provider)
        message = vapi.ring(request.attempt_id)
        assert provider.read_events(*message)
        with pytest.raises(EventRefused) as refused:
            provider.read_events(*vapi.forge(message))
        assert refused.value.is_forged


# --- The account --------------------------------------------------------------------------------


def test_a_check_says_which_number_calls_are_placed_from(vapi, provider) -> None:
    assert NUMBER in provider.check()
    [asked] = vapi.asked
    assert (asked.method, asked.path) == ("GET", f"/phone-number/{NUMBER_ID}")


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        ("unauthorized", AccountError, "private key"),
        ("no_credit", AccountError, "wallet"),
        ("not_found", AccountError, "no phone number"),
        (Says(200, {"status": "blocked"}), AccountError, "blocked"),
        ("throttled", TemporaryError, "429"),
        ("server_error", TemporaryError, "500"),
        ("garbage", TemporaryError, "200"),
        ("closed", TemporaryError, "reached"),
    ],
    ids=brief,
)
def test_a_check_says_what_is_wrong(vapi, provider, fault, error, told) -> None:
    vapi.answer_next(fault)
    with pytest.raises(error, match=told) as refused:
        provider.check()
    assert isinstance(refused.value, AccountError) == (error is AccountError)


def test_the_form_of_an_account_asks_for_all_that_is_read() -> None:
    fields = {field.name: field for field in VapiProvider.fields}
    assert {name for name, field in fields.items() if field.is_secret} == {
        "apiKey",
        "webhookSecret",
    }
    assert {name for name, field in fields.items() if field.is_required} == {
        "apiKey",
        "phoneNumberId",
    }
    assert all(field.label and field.help_text for field in fields.values())


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("phoneNumberId", NUMBER_ID, "+12025550100"),
        ("credentialId", CREDENTIAL_ID, "my credential"),
        ("signatureHeader", "x-signature", "x signature:"),
        ("timestampHeader", "x-timestamp", ""),
        ("baseUrl", "https://api.eu.vapi.ai", "https://api.vapi.ai/?x=1"),
        ("baseUrl", "http://127.0.0.1:8000", "ftp://api.vapi.ai"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_field(name, right, wrong) -> None:
    [check] = [field.check for field in VapiProvider.fields if field.name == name]
    assert check is not None
    check(right)
    with pytest.raises(ValidationError):
        check(wrong)


# --- With the engine ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_call_goes_from_its_placement_to_its_outcome(vapi) -> None:
    settings, credentials = vapi.account_fields()
    account = ProviderAccount.objects.create(
        name="Vapi", provider="vapi", settings=settings, credentials=json.dumps(credentials)
    )
    call = make_call(status=CallStatus.DIALING, account=account)
    provider = provider_of(account)
    provider.place(make_request(attempt_id=call.pk))
    told = [vapi.ring(call.pk), vapi.answer(call.pk)]
    said = {"outcome": "PROMISE_TO_PAY", "sentiment": "POSITIVE"}
    told += [vapi.end(call.pk, said=said)] * 2
    for message in told:
        record_events(account, provider.read_events(*message))
    call.refresh_from_db()
    assert (call.status, call.outcome) == (CallStatus.COMPLETED, "PROMISE_TO_PAY")
    assert call.provider_call_id == vapi.calls[call.pk]["id"]
    assert account.events.count() == 3


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["bearer", "hmac"])
def test_events_come_in_at_the_address_that_vapi_is_told(scheme: str, client) -> None:
    with FakeVapi(scheme) as vapi:
        settings, credentials = vapi.account_fields()
        account = ProviderAccount.objects.create(
            name="Vapi", provider="vapi", settings=settings, credentials=json.dumps(credentials)
        )
        call = make_call(status=CallStatus.DIALING, account=account)
        provider_of(account).place(make_request(attempt_id=call.pk))
        message = vapi.end(call.pk, CallStatus.BUSY)
        for (headers, body), status in ((vapi.forge(message), 401), (message, 200)):
            told = {n: v for n, v in headers.items() if n != "content-type"}
            answer = client.post(
                f"/hooks/{account.pk}", body, content_type="application/json", headers=told
            )
            assert answer.status_code == status
        call.refresh_from_db()
        assert (call.status, call.ended_reason) == (CallStatus.BUSY, "busy")


def test_the_fake_posts_its_events_where_it_was_told_to() -> None:
    with FarSide() as ours, FakeVapi(posts_events=True) as vapi:
        ours.says(200, {})
        provider = provider_at(vapi, callback_url=f"{ours.url}/hooks/3")
        request = placed(vapi, provider)
        headers, body = vapi.ring(request.attempt_id)
        [asked] = ours.asked
        assert (asked.path, asked.body) == ("/hooks/3", body)
        assert asked.headers["x-signature"] == headers["x-signature"]
        assert provider.read_events(asked.headers, asked.body)


def test_a_page_is_as_long_as_vapi_allows() -> None:
    assert PAGE <= 1000


def test_the_documentation_names_every_field_of_an_account() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
    section = page.read_text().partition("## Vapi\n")[2].partition("\n## ")[0]
    assert [field.name for field in FIELDS if f"`{field.name}`" not in section] == []
    reasons = {meaning.reason for _, meaning in TABLE}
    assert [reason for reason in reasons if f"`{reason}`" not in section] == []
