import base64
import time
from datetime import UTC, datetime
from http import HTTPStatus

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from collections_platform.ops.webhook_receiver import Received, WebhookReceiver

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()


def signed(body: str, seconds_ago: int = 0) -> Received:
    at = datetime.fromtimestamp(int(time.time()) - seconds_ago, UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", at, body),
    }
    return Received("/", headers, body.encode())


def test_a_signature_of_the_reference_library_is_right() -> None:
    assert signed('{"a": 1}').is_signed_with(SECRET)


@pytest.mark.parametrize(
    "request_",
    [
        Received("/", signed("a").headers, b"b"),
        Received("/", {**signed("a").headers, "webhook-id": "msg_2"}, b"a"),
        Received("/", {**signed("a").headers, "webhook-timestamp": "now"}, b"a"),
        Received("/", {}, b"a"),
        signed("a", seconds_ago=600),
    ],
    ids=["body", "id", "timestamp", "unsigned", "old"],
)
def test_anything_else_is_wrong(request_: Received) -> None:
    assert not request_.is_signed_with(SECRET)


def test_another_secret_is_wrong_and_one_right_signature_of_several_is_enough() -> None:
    request = signed("a")
    assert not request.is_signed_with(OTHER)

    several = f"v1,bm9uZQ== {request.headers['webhook-signature']}"
    two = Received("/", {**request.headers, "webhook-signature": several}, b"a")
    assert two.is_signed_with(SECRET)


def test_it_keeps_what_it_receives_and_answers_as_told() -> None:
    class Refusing(WebhookReceiver):
        def answer(self, request: Received) -> HTTPStatus:
            return HTTPStatus.SERVICE_UNAVAILABLE

    with Refusing() as receiver:
        answer = httpx2.post(receiver.url + "there", content=b"hi", headers={"X-Mark": "1"})

    assert answer.status_code == 503
    (request,) = receiver.received
    assert (request.path, request.body, request.headers["x-mark"]) == ("/there", b"hi", "1")
