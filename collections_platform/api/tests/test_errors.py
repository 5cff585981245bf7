"""Errors are JSON on every path, and every answer carries an id."""

import logging
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from collections_platform.api.request_ids import RequestIdFilter, current
from collections_platform.api.tests.factories import Api

pytestmark = pytest.mark.django_db
BULK = "/ai/phone-calls/action/call-bulk"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("path", ["/nowhere", "/api-service/v1/nowhere", BULK + "/", "/contact/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_an_unknown_path_is_404_in_json_and_never_a_redirect(client, method, path) -> None:
    answer = getattr(client, method)(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_an_unknown_page_of_the_admin_is_a_page(admin_client) -> None:
    answer = admin_client.get("/admin/nowhere/")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_a_wrong_host_is_400_in_json(client) -> None:
    answer = client.get(BULK, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()) == (400, {"detail": "Bad request"})


def test_a_fault_of_ours_is_500_in_json_and_says_nothing(client, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("calls.views.read_bulk_request", fail)
    answer = client.post(BULK, b"{}", content_type="application/json", headers=Api().headers)
    assert (answer.status_code, answer.json()) == (500, {"detail": "Internal server error"})
    assert answer["X-Request-ID"]


@pytest.mark.parametrize("error", [OperationalError("disk is full"), InterfaceError("gone")])
def test_a_database_that_does_not_answer_is_503_with_retry_after(
    client, monkeypatch, error
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("calls.views.launch_campaign", fail)
    body = b'{"contacts": [{"numberToCall": "+966500000001"}]}'
    answer = client.post(BULK, body, content_type="application/json", headers=Api().headers)
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert set(answer.json()) == {"detail"}


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*"])
def test_answers_are_json_whatever_is_accepted(accept: str) -> None:
    answer = Client().get("/contact", headers=Api().headers | {"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_a_compressed_body_is_415(encoding: str) -> None:
    headers = Api().headers | {"Content-Encoding": encoding}
    answer = Client().post(BULK, b"x", content_type="application/json", headers=headers)
    assert (answer.status_code, set(answer.json())) == (415, {"detail"})


@pytest.mark.parametrize("path", [BULK, "/contact", "/nowhere", "/readyz", "/admin/login/"])
def test_every_answer_carries_an_id(client, path: str) -> None:
    first, second = (client.get(path)["X-Request-ID"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(("given", "is_kept"), [("abc-1", True), ("a b", False), ("x" * 65, False)])
def test_a_plain_id_of_the_client_is_kept(client, given: str, is_kept: bool) -> None:
    answer = client.get(BULK, headers={"X-Request-ID": given})
    assert (answer["X-Request-ID"] == given) is is_kept


def test_the_log_names_the_request() -> None:
    record = logging.makeLogRecord({})
    token = current.set("abc")
    RequestIdFilter().filter(record)
    current.reset(token)
    named: Any = record
    assert named.request_id == "abc"
