"""Sending what is due, at least once, to receivers that may be slow, broken or gone.

One worker at a time delivers. It keeps at most four requests in flight per endpoint, so that a
slow receiver fills its own four places and holds up nobody else's.
"""

import json
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from calls.models import DeliveryStatus, SingletonTask, WebhookDelivery, WebhookEndpoint
from calls.models.webhook import PayloadForm
from calls.payloads import call_data
from calls.queue import wake
from calls.slices import Slice, is_draining
from calls.webhooks.network import DeadlineTransport
from calls.webhooks.signing import signed_headers
from contacts.times import iso

RETRY_AFTER = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
JITTER = 0.1
RECEIVER_SECONDS, CONNECT_SECONDS = 30, 10
IN_FLIGHT_PER_ENDPOINT = 4
MAX_THREADS = 64
# A run lasts SLICE_SECONDS; an endpoint that has shown itself slow is asked only while the answer
# can still come before the end, so that nobody waits for it after.
SLICE_SECONDS = 60
SLOW_SECONDS = 2
LEASE_SECONDS = 120
CLAIM_AT_ONCE = 100
RECORD_AT_ONCE = 50
# How often to look for more that is due, and the longest a result waits to be written down.
LOOK_SECONDS = 0.5
MAX_ANSWER_BYTES = 65_536
HEADERS = {"content-type": "application/json", "user-agent": "collections-platform"}


def deliver_webhooks() -> None:
    """Deliver what is due, for one slice of time; one worker at a time does."""
    task = SingletonTask.named("deliver_webhooks")
    if not task.take_lease(LEASE_SECONDS):
        return
    try:
        is_unfinished = _Run().deliver()
    finally:
        task.release_lease()
    if is_unfinished:
        wake("deliver_webhooks")


@dataclass(frozen=True, slots=True)
class _Request:
    delivery_id: Any
    endpoint_id: Any
    url: str
    form: str
    secrets: tuple[str, ...]
    event_type: str
    timestamp: str | None
    data: dict[str, Any]

    @property
    def body(self) -> bytes:
        content: dict[str, Any] = self.data
        if self.form == PayloadForm.ENVELOPE:
            content = {"type": self.event_type, "timestamp": self.timestamp, "data": self.data}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Result:
    request: _Request
    is_success: bool
    text: str  # an HTTP status or the kind of failure


class Sender:
    """Makes tries over kept-alive connections; threads may share it."""

    def __init__(self) -> None:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=MAX_THREADS)
        transport = DeadlineTransport(limits=limits, trust_env=False)
        self.deadline = transport.deadline
        timeout = httpx2.Timeout(RECEIVER_SECONDS, connect=CONNECT_SECONDS)
        self.client = httpx2.Client(transport=transport, timeout=timeout, trust_env=False)

    def send(self, request: _Request) -> _Result:
        """Make one try. Only a 2xx answer within `RECEIVER_SECONDS` is a success."""
        body = request.body
        identity, now = str(request.delivery_id), int(time.time())
        headers = HEADERS | signed_headers(request.secrets, identity, now, body)
        post = self.client.stream("POST", request.url, content=body, headers=headers)
        try:
            with self.deadline.within(RECEIVER_SECONDS), post as response:
                _skip_body(response)
        except httpx2.TimeoutException:
            return _Result(request, False, "no answer in time")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            return _Result(request, False, type(error).__name__)
        return _Result(request, response.is_success, str(response.status_code))


def _skip_body(response: httpx2.Response) -> None:
    """Read a short answer to its end, so that the connection can be used again. The status has
    been said: what becomes of the rest of the answer changes nothing.
    """
    size = 0
    with suppress(httpx2.HTTPError):
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                return


class _Run:
    """One slice of deliveries: what waits, what is in flight, what is to be written down."""

    def __init__(self) -> None:
        self.time = Slice(SLICE_SECONDS)
        self.waiting: dict[Any, deque[_Request]] = defaultdict(deque)
        self.in_flight: dict[Future[_Result], tuple[Any, float]] = {}
        self.results: list[_Result] = []
        self.slow: set[Any] = set()
        self.look_at = self.recorded_at = 0.0

    def deliver(self) -> bool:
        """Deliver until nothing is due; True if the time was over first."""
        sender = Sender()
        with sender.client, ThreadPoolExecutor(MAX_THREADS) as threads:
            while self._refill() or self.in_flight:
                self._start(sender, threads)
                self._collect()
            self._record()
        self._give_back()
        return self.time.is_over and not is_draining()

    def _refill(self) -> bool:
        """Claim what is due for endpoints with nothing waiting; True if anything waits."""
        if time.monotonic() >= self.look_at and not self.time.is_over:
            self.look_at = time.monotonic() + LOOK_SECONDS
            due = WebhookDelivery.objects.due(timezone.now()).order_by()
            for endpoint_id in due.values_list("endpoint", flat=True).distinct():
                if not self.waiting[endpoint_id] and self._may_send(endpoint_id):
                    self.waiting[endpoint_id].extend(_claim(endpoint_id))
        return any(waiting and self._may_send(e) for e, waiting in self.waiting.items())

    def _may_send(self, endpoint_id: Any) -> bool:
        reserve = RECEIVER_SECONDS if endpoint_id in self.slow else 0
        return self.time.seconds_left > reserve

    def _start(self, sender: Sender, threads: ThreadPoolExecutor) -> None:
        busy = Counter(endpoint_id for endpoint_id, _ in self.in_flight.values())
        for endpoint_id, waiting in self.waiting.items():
            while (
                waiting
                and busy[endpoint_id] < IN_FLIGHT_PER_ENDPOINT
                and len(self.in_flight) < MAX_THREADS
                and self._may_send(endpoint_id)
            ):
                future = threads.submit(sender.send, waiting.popleft())
                self.in_flight[future] = (endpoint_id, time.monotonic())
                busy[endpoint_id] += 1
                if not waiting:
                    self.look_at = 0.0

    def _collect(self) -> None:
        done, _ = wait(self.in_flight, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        now = time.monotonic()
        for future, (endpoint_id, started) in list(self.in_flight.items()):
            if now - started > SLOW_SECONDS:
                self.slow.add(endpoint_id)
            if future in done:
                del self.in_flight[future]
                self.results.append(future.result())
        if len(self.results) >= RECORD_AT_ONCE or now - self.recorded_at > LOOK_SECONDS:
            self._record()

    def _record(self) -> None:
        if self.results:
            _record(self.results)
        self.results, self.recorded_at = [], time.monotonic()

    def _give_back(self) -> None:
        """Make due again what was claimed and not sent."""
        unsent = [r.delivery_id for waiting in self.waiting.values() for r in waiting]
        pending = WebhookDelivery.objects.pending().filter(pk__in=unsent)
        pending.update(next_attempt_at=timezone.now())


@transaction.atomic
def _claim(endpoint_id: Any) -> list[_Request]:
    """Take due deliveries of an endpoint; whoever dies over them leaves them to be due again."""
    now = timezone.now()
    due = WebhookDelivery.objects.due(now).filter(endpoint=endpoint_id).order_by("next_attempt_at")
    ids = list(
        due.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[
            :CLAIM_AT_ONCE
        ]
    )
    deliveries = WebhookDelivery.objects.filter(pk__in=ids)
    deliveries.update(next_attempt_at=now + timedelta(seconds=LEASE_SECONDS))
    endpoint = WebhookEndpoint.objects.prefetch_related("secrets").get(pk=endpoint_id)
    secrets = tuple(secret.value for secret in endpoint.secrets.all())
    return [
        _Request(
            delivery_id=delivery.pk,
            endpoint_id=endpoint_id,
            url=endpoint.url,
            form=endpoint.form,
            secrets=secrets,
            event_type=delivery.event_type,
            timestamp=iso(delivery.call.ended_at),
            data=call_data(delivery.call),
        )
        for delivery in deliveries.select_related("call__account").order_by("created_at")
    ]


@transaction.atomic
def _record(results: Sequence[_Result]) -> None:
    """Write down how tries went: delivered, to be tried again, or dead."""
    now = timezone.now()
    delivered = defaultdict(list)
    failed = {}
    for result in results:
        if result.is_success:
            delivered[result.text].append(result.request.delivery_id)
        else:
            failed[result.request.delivery_id] = result.text
    pending = WebhookDelivery.objects.pending()
    for text, ids in delivered.items():
        pending.filter(pk__in=ids).update(
            status=DeliveryStatus.DELIVERED,
            delivered_at=now,
            tries=F("tries") + 1,
            last_result=text,
        )
    retried = list(pending.filter(pk__in=failed).select_for_update())
    for delivery in retried:
        delivery.last_result = failed[delivery.pk]
        if delivery.tries < len(RETRY_AFTER):
            delay = RETRY_AFTER[delivery.tries] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
            delivery.next_attempt_at = now + delay
        else:
            delivery.status = DeliveryStatus.DEAD
        delivery.tries += 1
    WebhookDelivery.objects.bulk_update(
        retried, ["status", "tries", "next_attempt_at", "last_result"], batch_size=100
    )
