"""Sending what is due, at least once, to receivers that may be slow, broken or gone.

One worker at a time delivers. It keeps at most four requests in flight per endpoint, so that a
slow receiver fills its own four places and holds up nobody else's.
"""

import json
import logging
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx2
from django.db import DatabaseError, transaction
from django.db.models import F

from calls.models import DeliveryStatus, SingletonTask, WebhookDelivery, WebhookEndpoint
from calls.models.webhook import EventType, PayloadForm
from calls.payloads import call_data, campaign_data, sample_data
from calls.queue import wake
from calls.slices import Slice, is_draining
from calls.webhooks.addresses import AddressNotAllowed
from calls.webhooks.network import DeadlineTransport
from calls.webhooks.notices import tell_of_disabled
from calls.webhooks.signing import signed_headers
from campaigns.clock import database_now, followed_now
from contacts.times import iso

logger = logging.getLogger(__name__)

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
# An endpoint with no success for this long after its first failure is sent nothing more.
DISABLE_AFTER = timedelta(days=5)
RECEIVER_SECONDS, CONNECT_SECONDS = 30, 10
IN_FLIGHT_PER_ENDPOINT = 4
MAX_THREADS = 64
# A run lasts SLICE_SECONDS; an endpoint that has shown itself slow is asked only while the answer
# can still come before the end, so that nobody waits for it after.
SLICE_SECONDS = 60
SLOW_SECONDS = 2
# The task's lease is short and renewed, so that a dead worker is soon followed by another. What it
# had claimed stays claimed for longer than a run and a last request take.
LEASE_SECONDS = 15
CLAIMED_FOR = timedelta(seconds=120)
# Deliveries that cannot even be made are looked at again after this.
UNMADE_AFTER = timedelta(minutes=1)
# How long a worker that is to stop waits for answers.
DRAIN_SECONDS = 5
CLAIM_AT_ONCE = 100
RECORD_AT_ONCE = 50
# How often to look for more that is due, and the longest a result waits to be written down.
LOOK_SECONDS = 0.5
MAX_ANSWER_BYTES = 65_536
HEADERS = {"content-type": "application/json", "user-agent": "collections-platform"}


def deliver_webhooks() -> None:
    """Deliver what is due, for one slice of time; one worker at a time does."""
    task = SingletonTask.named("deliver_webhooks")
    with task.hold_lease(LEASE_SECONDS) as is_ours:
        is_unfinished = is_ours and _Run(task).deliver()
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
        transport = DeadlineTransport(limits=limits)
        self.deadline = transport.deadline
        timeout = httpx2.Timeout(RECEIVER_SECONDS, connect=CONNECT_SECONDS)
        self.client = httpx2.Client(
            transport=transport, timeout=timeout, trust_env=False, follow_redirects=False
        )

    def stop(self) -> None:
        """Wait for no answer any more."""
        self.deadline.stopped.set()

    def send(self, request: _Request) -> _Result:
        """Make one try. Only a 2xx answer within `RECEIVER_SECONDS` is a success."""
        identity, now = str(request.delivery_id), int(followed_now().timestamp())
        try:
            body = request.body
            headers = HEADERS | signed_headers(request.secrets, identity, now, body)
            post = self.client.stream("POST", request.url, content=body, headers=headers)
            with self.deadline.within(RECEIVER_SECONDS), post as response:
                _skip_body(response)
        except AddressNotAllowed as refusal:
            return _Result(request, False, str(refusal))
        except httpx2.TimeoutException:
            return _Result(request, False, "no answer in time")
        except Exception as error:  # whatever it is: this try has failed, not the run
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

    def __init__(self, task: SingletonTask) -> None:
        self.task = task
        self.time = Slice(SLICE_SECONDS)
        self.waiting: dict[Any, deque[_Request]] = defaultdict(deque)
        self.in_flight: dict[Future[_Result], tuple[_Request, float]] = {}
        self.results: list[_Result] = []
        self.quick: set[Any] = set()
        self.slow: set[Any] = set()
        self.disabled: set[Any] = set()
        self.look_at = self.recorded_at = 0.0
        self.renew_at = time.monotonic() + LEASE_SECONDS / 3
        self.leave_at = float("inf")

    def deliver(self) -> bool:
        """Deliver until nothing is due; True if the time was over first."""
        sender = Sender()
        try:
            with sender.client, ThreadPoolExecutor(MAX_THREADS) as threads:
                while (self._refill() or self.in_flight) and self._may_go_on():
                    self._start(sender, threads)
                    self._collect()
                sender.stop()
        finally:
            self._record()
            self._give_back()
        return self.time.is_over and not is_draining()

    def _may_go_on(self) -> bool:
        """False when the lease is lost, or when a worker that is to stop has waited long enough
        for the answers to what is in flight.
        """
        now = time.monotonic()
        if is_draining():
            self.leave_at = min(self.leave_at, now + DRAIN_SECONDS)
        if now > self.renew_at:
            self.renew_at = now + LEASE_SECONDS / 3
            if not self.task.renew_lease(LEASE_SECONDS):
                return False
        return now < self.leave_at

    def _refill(self) -> bool:
        """Claim what is due for endpoints with nothing waiting; True if anything waits."""
        if time.monotonic() >= self.look_at and not self.time.is_over:
            self.look_at = time.monotonic() + LOOK_SECONDS
            due = WebhookDelivery.objects.due(database_now()).order_by()
            for endpoint_id in due.values_list("endpoint", flat=True).distinct():
                if not self.waiting[endpoint_id] and self._may_send(endpoint_id):
                    self.waiting[endpoint_id].extend(_claim_or_postpone(endpoint_id))
        return any(waiting and self._may_send(e) for e, waiting in self.waiting.items())

    def _may_send(self, endpoint_id: Any) -> bool:
        reserve = RECEIVER_SECONDS if endpoint_id in self.slow else 0
        return endpoint_id not in self.disabled and self.time.seconds_left > reserve

    def _start(self, sender: Sender, threads: ThreadPoolExecutor) -> None:
        busy = Counter(request.endpoint_id for request, _ in self.in_flight.values())
        for endpoint_id, waiting in self.waiting.items():
            # One at a time until it has answered, so that a crowd of silent receivers leaves
            # threads for the others.
            places = IN_FLIGHT_PER_ENDPOINT if endpoint_id in self.quick else 1
            while (
                waiting
                and busy[endpoint_id] < places
                and len(self.in_flight) < MAX_THREADS
                and self._may_send(endpoint_id)
            ):
                request = waiting.popleft()
                future = threads.submit(sender.send, request)
                self.in_flight[future] = (request, time.monotonic())
                busy[endpoint_id] += 1
                if not waiting:
                    self.look_at = 0.0

    def _collect(self) -> None:
        done, _ = wait(self.in_flight, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
        now = time.monotonic()
        for future, (request, started) in list(self.in_flight.items()):
            if now - started > SLOW_SECONDS:
                self.slow.add(request.endpoint_id)
                self.quick.discard(request.endpoint_id)
            elif future in done:
                self.quick.add(request.endpoint_id)
            if future in done:
                del self.in_flight[future]
                self.results.append(future.result())
        if len(self.results) >= RECORD_AT_ONCE or now - self.recorded_at > LOOK_SECONDS:
            self._record()

    def _record(self) -> None:
        if self.results:
            self.disabled |= _record(self.results)
        self.results, self.recorded_at = [], time.monotonic()

    def _give_back(self) -> None:
        """Make due again what was claimed and not sent, or not answered when we had to leave."""
        unsent = [r.delivery_id for waiting in self.waiting.values() for r in waiting]
        unsent += [request.delivery_id for request, _ in self.in_flight.values()]
        pending = WebhookDelivery.objects.pending().filter(pk__in=unsent)
        pending.update(next_attempt_at=database_now())


def _claim_or_postpone(endpoint_id: Any) -> list[_Request]:
    """`_claim`, but an endpoint whose requests cannot be made, for a secret that no key decrypts
    for instance, holds up no other: it is left for a while.
    """
    try:
        return _claim(endpoint_id)
    except DatabaseError:
        raise
    except Exception as error:
        kind = type(error).__name__
        logger.error("Webhooks of endpoint %s cannot be made: %s", endpoint_id, kind)
        due = WebhookDelivery.objects.due(database_now()).filter(endpoint=endpoint_id)
        due.update(
            next_attempt_at=database_now() + UNMADE_AFTER, last_result=f"cannot be made: {kind}"
        )
        return []


@transaction.atomic
def _claim(endpoint_id: Any) -> list[_Request]:
    """Take due deliveries of an endpoint; whoever dies over them leaves them to be due again."""
    now = database_now()
    due = WebhookDelivery.objects.due(now).filter(endpoint=endpoint_id).order_by("next_attempt_at")
    ids = list(
        due.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[
            :CLAIM_AT_ONCE
        ]
    )
    deliveries = WebhookDelivery.objects.filter(pk__in=ids)
    deliveries.update(next_attempt_at=now + CLAIMED_FOR)
    subjects = deliveries.select_related("call__account", "campaign").order_by("created_at")
    return _requests(WebhookEndpoint.objects.get(pk=endpoint_id), subjects)


def _requests(endpoint: WebhookEndpoint, deliveries: Iterable[WebhookDelivery]) -> list[_Request]:
    live = endpoint.secrets.live(database_now()).order_by("-created_at")
    secrets = tuple(secret.value for secret in live)
    return [
        _Request(
            delivery_id=delivery.pk,
            endpoint_id=endpoint.pk,
            url=endpoint.url,
            form=endpoint.form,
            secrets=secrets,
            event_type=delivery.event_type,
            timestamp=iso(happened_at),
            data=data,
        )
        for delivery in deliveries
        for happened_at, data in [_tell(delivery)]
    ]


def _tell(delivery: WebhookDelivery) -> tuple[datetime | None, dict[str, Any]]:
    """When the event happened, and its data."""
    if call := delivery.call:
        return call.ended_at, call_data(call)
    if campaign := delivery.campaign:
        return campaign.ended_at, campaign_data(campaign)
    return delivery.created_at, sample_data(delivery)


def send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Send a `webhook.test` event at once and return its delivery, which holds the result. If the
    try fails, workers repeat it like any other.
    """
    delivery = WebhookDelivery.objects.create(
        endpoint=endpoint,
        event_type=EventType.WEBHOOK_TEST,
        next_attempt_at=database_now() + CLAIMED_FOR,
    )
    sender = Sender()
    with sender.client:
        _record([sender.send(request) for request in _requests(endpoint, [delivery])])
    delivery.refresh_from_db()
    return delivery


@transaction.atomic
def _record(results: Sequence[_Result]) -> set[Any]:
    """Write down how tries went: delivered, to be tried again, or dead; return the endpoints that
    are disabled for it.
    """
    now = database_now()
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
    succeeded = {result.request.endpoint_id for result in results if result.is_success}
    return _judge(succeeded, {result.request.endpoint_id for result in results} - succeeded)


def _judge(succeeded: Collection[Any], failed: Collection[Any]) -> set[Any]:
    """Keep each endpoint's clock, and disable those that have failed for too long."""
    now, enabled = database_now(), WebhookEndpoint.objects.enabled()
    enabled.filter(pk__in=succeeded).update(last_success_at=now, failing_since=None)
    enabled.filter(pk__in=failed, failing_since=None).update(failing_since=now)
    too_long = enabled.filter(pk__in=failed, failing_since__lte=now - DISABLE_AFTER)
    disabled = list(too_long.select_for_update())
    enabled.filter(pk__in=[endpoint.pk for endpoint in disabled]).update(disabled_at=now)
    for endpoint in disabled:
        transaction.on_commit(partial(tell_of_disabled, endpoint))
    return {endpoint.pk for endpoint in disabled}
