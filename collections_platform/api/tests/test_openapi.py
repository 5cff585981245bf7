"""The API's description and the page that shows it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.contrib.staticfiles import finders
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from calls.models import CallLog
from calls.payloads import call_data
from calls.tests.factories import make_call
from collections_platform.api.models import Scope
from collections_platform.api.openapi import answers
from collections_platform.api.openapi.operations import OPERATIONS
from collections_platform.api.openapi.views import description
from collections_platform.api.tests.factories import Api
from contacts.tests.factories import make_contact
from templates.tests.factories import make_template

BULK = "/ai/phone-calls/action/call-bulk"


@pytest.fixture
def document() -> Any:
    generated = SchemaGenerator().get_schema(public=True)
    return json.loads(json.dumps(generated))


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every object inside `node`."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from walk(child)


def resolve(document: Any, reference: str) -> Any:
    for step in reference.removeprefix("#/").split("/"):
        document = document[step]
    return document


def check(document: Any, schema: dict[str, Any], value: Any) -> None:
    """Fail unless `value` is what `schema` says."""
    checker = Draft202012Validator.FORMAT_CHECKER
    whole = schema | {"components": document["components"]}
    Draft202012Validator(whole, format_checker=checker).validate(value)


# --- The document -------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/api-service/v1"])
def test_it_is_json_for_everybody(client: Client, prefix: str) -> None:
    answer = client.get(f"{prefix}/schema")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer.json()["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    "asked", [{"query_params": {"format": "yaml"}}, {"headers": {"Accept": "application/yaml"}}]
)
def test_it_is_yaml_for_whoever_asks(client: Client, asked: Any) -> None:
    answer = client.get("/schema", **asked)
    assert answer["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(answer.content) == client.get("/schema").json()


def test_it_is_made_once(client: Client) -> None:
    client.get("/schema")
    assert description() is description()


def test_it_is_valid_and_nothing_is_missing_in_it(document: Any) -> None:
    assert not GENERATOR_STATS
    validate_schema(document)
    told = {(method.upper(), path) for path, row in document["paths"].items() for method in row}
    assert told == set(OPERATIONS)
    assert not any(path.startswith("/api-service/") for path in document["paths"])


def test_every_reference_leads_somewhere_and_everything_is_referred_to(document: Any) -> None:
    references = {node["$ref"] for node in walk(document) if "$ref" in node}
    assert all(resolve(document, reference) for reference in references)
    parts = {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert parts <= references


def test_every_example_is_what_its_schema_says(document: Any) -> None:
    shown = [node for node in walk(document) if "example" in node and "schema" in node]
    assert len(shown) >= 4
    for media in shown:
        check(document, media["schema"], media["example"])


def test_every_operation_is_told_with_its_answers(document: Any) -> None:
    for row in document["paths"].values():
        for operation in row.values():
            statuses = set(operation["responses"])
            assert "503" in statuses
            assert ({"401", "403"} <= statuses) == bool(operation["security"])
            assert ({"413", "415", "422"} <= statuses) >= ("requestBody" in operation)
    for answer in document["components"]["responses"].values():
        assert "X-Request-ID" in answer["headers"]


def test_what_is_open_needs_no_token_and_the_rest_a_scope(document: Any) -> None:
    [scheme] = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert all(f"`{scope}`" in scheme["description"] for scope in Scope)
    for path, row in document["paths"].items():
        for operation in row.values():
            if path == "/auth/v1/api-key/auth":
                assert operation["security"] == []
            else:
                [[scope]] = [scopes for need in operation["security"] for scopes in need.values()]
                assert scope in Scope.values


def test_the_bulk_request_is_told_with_its_limits(settings: Any) -> None:
    settings.BULK_MAX_CONTACTS = 17
    schemas = SchemaGenerator().get_schema(public=True)["components"]["schemas"]
    body = schemas["BulkBody"]
    assert body["required"] == ["contacts"]
    contacts = body["properties"]["contacts"]
    assert (contacts["minItems"], contacts["maxItems"]) == (1, 17)
    size, null = body["properties"]["batchSize"]["anyOf"]
    assert (size["type"], size["minimum"], size["maximum"]) == ("integer", 10, 1000)
    assert null == {"type": "null"}
    code, null = body["properties"]["countryCode"]["anyOf"]
    assert (code["type"], code["pattern"]) == ("string", "^[A-Z]{2}$")
    assert null == {"type": "null"}
    contact = schemas["CallIn"]
    assert contact["required"] == ["numberToCall"]
    assert contact["properties"]["firstName"]["anyOf"][0]["maxLength"] == 255
    tags = contact["properties"]["promptTags"]["anyOf"][0]
    assert tags["additionalProperties"]["type"] == "string"


def test_headers_are_told(document: Any) -> None:
    operation = document["paths"][BULK]["post"]
    names = {resolve(document, given["$ref"])["name"] for given in operation["parameters"]}
    assert names == {"Idempotency-Key", "Prefer"}
    assert "Preference-Applied" in operation["responses"]["201"]["headers"]
    refusals = document["components"]["responses"]
    assert "WWW-Authenticate" in refusals["Unauthorized"]["headers"]
    assert "Retry-After" in refusals["TooManyRequests"]["headers"]
    assert "Retry-After" in refusals["ServiceUnavailable"]["headers"]


def test_a_422_is_told_exactly(document: Any) -> None:
    schemas = document["components"]["schemas"]
    detail = schemas["ErrorDetail"]
    assert detail["required"] == ["loc", "msg", "type"]
    assert detail["additionalProperties"] is False
    assert schemas["InvalidInput"]["additionalProperties"] is False


# --- It tells what the code answers -------------------------------------------------------------


def assert_told(document: Any, model: type[BaseModel], answer: Any) -> None:
    """The answer is what the model says, field for field."""
    check(document, {"$ref": f"#/components/schemas/{model.__name__}"}, answer)
    assert set(answer) == set(model.model_fields)


@pytest.mark.django_db
def test_calls_and_campaigns_are_answered_as_told(document: Any) -> None:
    api, call = Api(), make_call()
    answer = api.get(f"/ai/phone-calls/{call.call_id}").json()
    assert_told(document, answers.Call, answer)
    assert_told(document, answers.Attempt, answer["attempts"][0])
    page = api.get("/ai/phone-calls").json()
    assert_told(document, answers.CallPage, page)
    assert_told(document, answers.Attempt, page["items"][0])
    campaign = api.get(f"/ai/campaigns/{call.campaign_id}").json()
    assert_told(document, answers.Campaign, campaign)


@pytest.mark.django_db
def test_what_is_accepted_is_answered_as_told(document: Any) -> None:
    make_template(is_default=True)
    api, contact = Api(), {"numberToCall": "+966500000001", "promptTags": {"amount": "5"}}
    api.headers["Prefer"] = "handling=lenient"
    launched = api.post(BULK, {"contacts": [contact, {"numberToCall": "1"}]}).json()
    assert_told(document, answers.BulkAnswer, launched)
    assert_told(document, answers.RejectedContact, launched["rejected"][0])
    single = api.post("/ai/phone-calls/action/call", contact).json()
    assert_told(document, answers.AcceptedSingleCall, single)
    refused = api.post(BULK, {"contacts": []}).json()
    assert_told(document, answers.InvalidInput, refused)


@pytest.mark.django_db
def test_contacts_and_templates_are_answered_as_told(document: Any) -> None:
    make_template(is_default=True)
    api, contact = Api(), make_contact()
    address = f"/contact/{contact.pk}"
    suppressed = api.post(f"{address}/suppression", {"reason": "do_not_call"}).json()
    assert_told(document, answers.Contact, suppressed)
    assert_told(document, answers.Suppression, suppressed["suppressions"][0])
    assert_told(document, answers.Contact, api.get(address).json())
    assert_told(document, answers.ContactPage, api.get("/contact").json())
    page = api.get("/ai/settings-templates").json()
    assert_told(document, answers.SettingsTemplatePage, page)
    assert_told(document, answers.SettingsTemplate, page["items"][0])
    assert_told(document, answers.Tag, page["items"][0]["promptTags"][0])
    assert_told(document, answers.Outcome, page["items"][0]["outcomes"][0])


@pytest.mark.django_db
def test_webhooks_are_sent_as_told(document: Any) -> None:
    call = make_call(ended_at="2026-01-15T09:30:00.000Z", status="completed")
    call = CallLog.objects.get(pk=call.pk)
    assert_told(document, answers.EndedCallData, call_data(call))
    media = document["webhooks"]["phone_call.ended"]["post"]["requestBody"]["content"]
    told = {"type": "phone_call.ended", "timestamp": "2026-01-15T09:30:00.000Z"}
    schema = media["application/json"]["schema"]
    check(document, schema, told | {"data": json.loads(json.dumps(call_data(call)))})


# --- Swagger UI ---------------------------------------------------------------------------------


def test_the_page_asks_nobody_but_us(client: Client) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    page = answer.content.decode()
    assert "//" not in page.replace("<!DOCTYPE html>", "")
    assert not re.search(r"<script(?! src=)|<style|\son\w+=|javascript:", page)


def test_the_pages_files_are_there(client: Client) -> None:
    page = client.get("/docs").content.decode()
    files = re.findall(r'(?:href|src)="/static/([^"]+)"', page)
    assert len(files) == 4
    assert all(finders.find(file) for file in files)


def test_the_page_cannot_be_posted_to(client: Client) -> None:
    assert client.post("/docs").status_code == 405
