"""What the web server refuses before the application sees it."""

import socket
from http.client import HTTPResponse
from json import loads
from urllib.parse import urlsplit

import pytest

from tests.processes import Platform

pytestmark = pytest.mark.workers


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (f"GET /contact?page={'1' * 5000} HTTP/1.1\r\nHost: localhost\r\n", 414),
        (f"GET /contact HTTP/1.1\r\nHost: localhost\r\nPrefer: {'x' * 9000}\r\n", 431),
        ("GET /contact HTTP/1.1\r\nHost: localhost\r\nno header\r\n", 400),
        ("a secret\r\n", 400),
    ],
    ids=["long address", "long header", "broken header", "no HTTP"],
)
def test_it_answers_in_json_and_quotes_nothing(
    platform: Platform, request_head: str, status: int
) -> None:
    address = urlsplit(platform.start_web())
    with socket.create_connection((address.hostname or "", address.port or 0), 20) as connection:
        connection.sendall(f"{request_head}\r\n".encode())
        answer = HTTPResponse(connection)
        answer.begin()
        body = answer.read()
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-ID"]
    assert list(loads(body)) == ["detail"]
    assert b"secret" not in body
