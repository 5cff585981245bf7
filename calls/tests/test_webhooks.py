import json
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import pytest
import standardwebhooks
from django.db import connection
from django.utils import timezone

from calls.models import SingletonTask, WebhookDelivery, WebhookEndpoint
from calls.statuses import CallStatus
from calls.tests.factories import make_call, make_endpoint
from calls.webhooks import delivery as engine
from calls.webhooks.delivery import RETRY_AFTER, deliver_webhooks
from calls.webhooks.signing import sign, signed_headers

pytestmark = pytest.mark.django_db


def make_delivery(endpoint: WebhookEndpoint, **what_matters: Any) -> WebhookDelivery:
    call = what_matters.pop("call", None) or make_call(status=CallStatus.COMPLETED)
    fields = {"endpoint": endpoint, "event_type": "phone_call.ended", "call": call}
    return WebhookDelivery.objects.create(**fields | what_matters)


def test_the_signature_of_the_known_answer_is_right() -> None:
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_live_secret_signs_under_both_families_of_headers() -> None:
    secrets = ["whsec_" + "A" * 32, "whsec_" + "B" * 32]
    headers = signed_headers(secrets, "id", 5, b"{}")
    assert headers["webhook-signature"] == " ".join(sign(s, "id", 5, b"{}") for s in secrets)
    assert {n.split("-", 1)[0] for n in headers} == {"webhook", "svix"}
    assert all(headers[f"svix-{n}"] == headers[f"webhook-{n}"] for n in ("id", "timestamp"))


def test_a_delivery_arrives_signed_with_what_the_call_brought(receiver) -> None:
    endpoint = make_endpoint(url=receiver.url)
    call = make_call(
        status=CallStatus.COMPLETED,
        metadata={"invoiceNumber": "INV-001", "مبلغ": 5.5},
        outcome="PROMISE_TO_PAY",
        transcript="Agent: مرحبا",
        duration_seconds=61,
        answered_at=timezone.now(),
    )
    delivery = make_delivery(endpoint, call=call)
    deliver_webhooks()
    (request,) = receiver.received
    secret = endpoint.secrets.get().value
    message = standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers))
    assert request.headers["webhook-id"] == str(delivery.pk)
    assert message["type"] == "phone_call.ended"
    data = message["data"]
    assert data["metadata"] == {"requestMetadata": {"invoiceNumber": "INV-001", "مبلغ": 5.5}}
    assert (data["callOutput"], data["transcription"]) == ("PROMISE_TO_PAY", "Agent: مرحبا")
    assert (data["duration"], data["callId"]) == (61, str(call.call_id))
    assert (data["providerStatus"], data["deliveryStatus"]) == ("pass", "pass")
    assert (data["isLastAttempt"], data["simulated"]) == (True, True)
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries, delivery.last_result) == ("delivered", 1, "204")
    assert delivery.delivered_at


def test_the_flat_form_is_the_data_alone(receiver) -> None:
    delivery = make_delivery(make_endpoint(url=receiver.url, form="flat"))
    deliver_webhooks()
    assert json.loads(receiver.received[0].body)["attemptId"] == str(delivery.call_id)


@pytest.mark.parametrize(
    ("status", "call_output", "provider_status"),
    [("no_answer", "NO_ANSWER", "pass"), ("skipped", "SKIPPED", "fail")],
)
def test_an_unanswered_call_is_told_by_its_status(
    receiver, status: str, call_output: str, provider_status: str
) -> None:
    make_delivery(make_endpoint(url=receiver.url), call=make_call(status=status))
    deliver_webhooks()
    data = json.loads(receiver.received[0].body)["data"]
    assert (data["callOutput"], data["providerStatus"]) == (call_output, provider_status)
    assert (data["deliveryStatus"], data["sentimentOutput"]) == ("fail", "NEUTRAL")
    assert (data["transcription"], data["recordingUrl"], data["summary"]) == ("", None, None)


@pytest.mark.parametrize("answer", [HTTPStatus.FOUND, HTTPStatus.BAD_REQUEST, HTTPStatus(500)])
def test_any_answer_but_2xx_is_a_failure_and_tried_again(receiver, monkeypatch, answer) -> None:
    receiver.answer = lambda _: answer
    delivery = make_delivery(make_endpoint(url=receiver.url))
    deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries) == ("pending", 1)
    assert delivery.last_result == str(answer.value)
    wait = delivery.next_attempt_at - timezone.now()
    assert timedelta(seconds=3) < wait < timedelta(seconds=6)


def test_every_try_has_the_same_id_and_a_timestamp_of_its_own(receiver, let_pass) -> None:
    receiver.answer = lambda _: HTTPStatus.BAD_GATEWAY
    delivery = make_delivery(make_endpoint(url=receiver.url))
    for _ in range(3):
        let_pass(hours=1)
        WebhookDelivery.objects.update(next_attempt_at=timezone.now())
        deliver_webhooks()
    ids, timestamps = (
        [request.headers[f"webhook-{name}"] for request in receiver.received]
        for name in ("id", "timestamp")
    )
    assert ids == [str(delivery.pk)] * 3
    assert all(int(second) - int(first) >= 3599 for first, second in pairwise(timestamps))


def test_the_schedule_is_followed_and_then_the_delivery_is_dead(receiver) -> None:
    receiver.answer = lambda _: HTTPStatus.SERVICE_UNAVAILABLE
    delivery = make_delivery(make_endpoint(url=receiver.url))
    for delay in RETRY_AFTER:
        deliver_webhooks()
        delivery.refresh_from_db()
        wait = delivery.next_attempt_at - timezone.now()
        assert delay * 0.85 < wait < delay * 1.15
        WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries) == ("dead", len(RETRY_AFTER) + 1)
    deliver_webhooks()
    assert len(receiver.received) == len(RETRY_AFTER) + 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://nowhere.invalid/", "http://[::1]:9/", "http://a..b/"]
)
def test_a_receiver_that_is_not_there_is_tried_again(url: str) -> None:
    delivery = make_delivery(make_endpoint(url=url))
    deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries) == ("pending", 1)
    assert delivery.last_result


def test_a_receiver_that_does_not_answer_in_time_has_failed(receiver, monkeypatch) -> None:
    monkeypatch.setattr(engine, "RECEIVER_SECONDS", 0.2)

    def late(_: object) -> HTTPStatus:
        time.sleep(1)
        return HTTPStatus.OK

    receiver.answer = late
    delivery = make_delivery(make_endpoint(url=receiver.url))
    deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.last_result) == ("pending", "no answer in time")


@pytest.mark.parametrize("trickle", [b"X-Slow: 1\r\n", b""])
def test_a_receiver_that_trickles_its_answer_has_failed_in_time(monkeypatch, trickle) -> None:
    """A byte now and then keeps every timeout between two bytes from running out."""
    monkeypatch.setattr(engine, "RECEIVER_SECONDS", 0.6)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def receive() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" if trickle else b"")
                for _ in range(40):
                    time.sleep(0.1)
                    connection.sendall(trickle or b"H")

        threading.Thread(target=receive, daemon=True).start()
        port = listener.getsockname()[1]
        delivery = make_delivery(make_endpoint(url=f"http://127.0.0.1:{port}/"))
        started = time.monotonic()
        deliver_webhooks()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.tries) == ("pending", 1)
    assert time.monotonic() - started < 3


def test_a_2xx_whose_body_breaks_off_is_a_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def receive() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        threading.Thread(target=receive, daemon=True).start()
        port = listener.getsockname()[1]
        delivery = make_delivery(make_endpoint(url=f"http://127.0.0.1:{port}/"))
        deliver_webhooks()
    delivery.refresh_from_db()
    assert delivery.status == "delivered"


def test_nothing_is_sent_to_a_disabled_endpoint(receiver) -> None:
    make_delivery(make_endpoint(url=receiver.url, disabled_at=timezone.now()))
    deliver_webhooks()
    assert receiver.received == []


def test_at_most_four_requests_are_in_flight_per_endpoint(receiver) -> None:
    lock, in_flight, most = threading.Lock(), 0, 0

    def answer(_: object) -> HTTPStatus:
        nonlocal in_flight, most
        with lock:
            in_flight += 1
            most = max(most, in_flight)
        time.sleep(0.05)
        with lock:
            in_flight -= 1
        return HTTPStatus.OK

    receiver.answer = answer
    endpoint = make_endpoint(url=receiver.url)
    for _ in range(30):
        make_delivery(endpoint)
    deliver_webhooks()
    assert len(receiver.received) == 30
    assert most == 4


def test_a_slow_receiver_holds_up_no_other(receiver, monkeypatch) -> None:
    monkeypatch.setattr(engine, "SLICE_SECONDS", 3)
    monkeypatch.setattr(engine, "RECEIVER_SECONDS", 2)
    arrived: dict[str, list[object]] = {"/slow": [], "/quick": []}

    def answer(request: Any) -> HTTPStatus:
        arrived[request.path].append(request)
        time.sleep(1 if request.path == "/slow" else 0)
        return HTTPStatus.OK

    receiver.answer = answer
    slow = make_endpoint(url=f"{receiver.url}slow")
    quick = make_endpoint(url=f"{receiver.url}quick")
    for _ in range(40):
        make_delivery(slow)
    for _ in range(120):
        make_delivery(quick)
    deliver_webhooks()
    assert len(arrived["/quick"]) == 120
    assert 4 <= len(arrived["/slow"]) < 40
    unsent = WebhookDelivery.objects.due(timezone.now()).filter(endpoint=slow).count()
    assert unsent == 40 - len(arrived["/slow"])


def test_a_crowd_of_deliveries_arrives_once_each(receiver) -> None:
    endpoint = make_endpoint(url=receiver.url)
    call_ids = {make_delivery(endpoint).pk for _ in range(250)}
    deliver_webhooks()
    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(ids) == 250
    assert set(ids) == {str(pk) for pk in call_ids}


def test_one_worker_at_a_time_delivers(receiver) -> None:
    make_delivery(make_endpoint(url=receiver.url))
    other = SingletonTask.named("deliver_webhooks")
    assert other.take_lease(60)
    deliver_webhooks()
    assert receiver.received == []
    other.release_lease()
    deliver_webhooks()
    assert len(receiver.received) == 1


def test_an_endpoint_whose_secret_cannot_be_read_holds_up_no_other(receiver, settings) -> None:
    bad, good = make_endpoint(url=receiver.url), make_endpoint(url=receiver.url)
    unread = [make_delivery(bad) for _ in range(3)]
    kept = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS0="]
    good.secrets.all().delete()
    good.add_secret()
    settings.ENCRYPTION_KEYS = ["bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS0="]
    for _ in range(3):
        make_delivery(good)
    deliver_webhooks()
    assert len(receiver.received) == 3
    assert not WebhookDelivery.objects.due(timezone.now()).exists()
    unread[0].refresh_from_db()
    assert (unread[0].tries, unread[0].last_result) == (0, "cannot be made: InvalidToken")
    settings.ENCRYPTION_KEYS = kept


def test_a_worker_that_is_to_stop_does_not_wait_for_a_silent_receiver(
    receiver, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr(engine, "DRAIN_SECONDS", 0.2)
    drain = tmp_path / "drain"
    monkeypatch.setenv("WORKER_DRAIN_FILE", str(drain))

    def silent(_: object) -> HTTPStatus:
        drain.touch()
        time.sleep(8)
        return HTTPStatus.OK

    receiver.answer = silent
    delivery = make_delivery(make_endpoint(url=receiver.url))
    started = time.monotonic()
    deliver_webhooks()
    assert time.monotonic() - started < 6
    delivery.refresh_from_db()
    assert (delivery.tries, delivery.status) == (0, "pending")
    assert delivery.next_attempt_at <= timezone.now()


def test_a_crowd_of_silent_receivers_leaves_threads_for_the_others(receiver, monkeypatch) -> None:
    monkeypatch.setattr(engine, "RECEIVER_SECONDS", 2)
    monkeypatch.setattr(engine, "SLICE_SECONDS", 4)
    monkeypatch.setattr(engine, "MAX_THREADS", 8)
    order: list[str] = []

    def answer(request: Any) -> HTTPStatus:
        if request.path == "/silent":
            time.sleep(2.5)
        order.append(request.path)
        return HTTPStatus.OK

    receiver.answer = answer
    silent = [make_endpoint(url=f"{receiver.url}silent") for _ in range(5)]
    quick = make_endpoint(url=f"{receiver.url}quick")
    for endpoint in [*silent, quick]:
        for _ in range(4):
            make_delivery(endpoint)
    deliver_webhooks()
    assert order[:4] == ["/quick"] * 4


def test_what_a_dead_worker_had_claimed_becomes_due_again(receiver, monkeypatch) -> None:
    delivery = make_delivery(make_endpoint(url=receiver.url))
    monkeypatch.setattr(engine.Sender, "send", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        deliver_webhooks()
    delivery.refresh_from_db()
    wait = delivery.next_attempt_at - timezone.now()
    assert timedelta(seconds=100) < wait <= engine.CLAIMED_FOR
    assert delivery.tries == 0


def test_secrets_are_encrypted_at_rest() -> None:
    secret = make_endpoint().secrets.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM calls_webhooksecret")
        stored = cursor.fetchone()[0]
    assert secret.value.startswith("whsec_")
    assert secret.value not in stored


def test_an_old_encryption_key_still_reads(settings) -> None:
    endpoint = make_endpoint()
    before = endpoint.secrets.get().value
    new = "bmV3LWtleS1uZXcta2V5LW5ldy1rZXktbmV3LWtleS0="
    settings.ENCRYPTION_KEYS = [new, *settings.ENCRYPTION_KEYS]
    assert endpoint.secrets.get().value == before


def test_a_delivery_is_json_and_bears_the_time_of_the_end(receiver) -> None:
    make_delivery(make_endpoint(url=receiver.url))
    deliver_webhooks()
    (request,) = receiver.received
    message = json.loads(request.body)
    assert request.headers["content-type"] == "application/json"
    assert message["timestamp"]
    assert message["timestamp"] == message["data"]["endedAt"]
    assert engine.RECEIVER_SECONDS == 30
