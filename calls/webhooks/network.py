"""The connections that webhooks, and requests to agents, are sent over."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2
from httpcore2._backends.sync import SyncStream

from calls.webhooks.addresses import addresses_of, check_allowed, resolve

# How often a thread that waits for an answer looks whether it still should.
LOOK_UP_SECONDS = 0.5


class Deadline(threading.local):
    """When the request that this thread is sending must be over, by `time.monotonic()`."""

    at = float("inf")

    def __init__(self, stopped: threading.Event) -> None:
        """`stopped` is shared by all threads: once it is set, nobody waits for an answer."""
        self.stopped = stopped

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.at = time.monotonic() + seconds
        try:
            yield
        finally:
            self.at = float("inf")

    def left(self, timeout: float | None) -> float:
        """The time left, at most `timeout`. Raises `httpcore2.ReadTimeout` when it is up."""
        left = min(self.at - time.monotonic(), timeout or float("inf"))
        if left <= 0 or self.stopped.is_set():
            raise httpcore2.ReadTimeout("the time for the whole request is up")
        return left


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step is given what is left until the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        until = time.monotonic() + self.deadline.left(timeout)
        while True:
            step = min(LOOK_UP_SECONDS, until - time.monotonic())
            try:
                return self.stream.read(max_bytes, self.deadline.left(step))
            except httpcore2.ReadTimeout:
                if self.deadline.stopped.is_set() or time.monotonic() >= until:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self.deadline.left(timeout))

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = self.deadline.left(timeout)
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, left), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)

    def close(self) -> None:
        self.stream.close()


class _Backend(httpcore2.NetworkBackend):
    """Dials only where webhooks may go, unless it `goes_anywhere`: a name is resolved once, and
    what was judged is dialled.
    """

    def __init__(self, deadline: Deadline, origin: "_Origin", goes_anywhere: bool) -> None:
        self.deadline, self.origin, self.goes_anywhere = deadline, origin, goes_anywhere

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        try:
            entries = resolve(host, port)
        except (OSError, UnicodeError) as error:  # a name that no name server can be asked for
            raise httpcore2.ConnectError(str(error)) from error
        if not self.goes_anywhere:
            check_allowed(addresses_of(entries), self.origin.is_plain)
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for entry in entries:
            try:
                return _Stream(_dial(entry, self.deadline.left(timeout)), self.deadline)
            except TimeoutError as error:
                failure = httpcore2.ConnectTimeout(str(error))
            except OSError as error:
                failure = httpcore2.ConnectError(str(error))
        raise failure


def _dial(entry: tuple[Any, ...], timeout: float) -> httpcore2.NetworkStream:
    """Connect to an entry of `getaddrinfo`; no name is looked up any more. Raises OSError."""
    family, kind, protocol, _, address = entry
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return SyncStream(connection)


class _Origin(threading.local):
    """Where the request that this thread is sending goes, as far as dialling must know."""

    is_plain = True


class DeadlineTransport(httpx2.HTTPTransport):
    """HTTP with kept-alive connections, where `deadline` bounds a request as a whole: the client's
    own timeouts bound the silence between two bytes only, which a receiver can stretch for ever.

    Raises `AddressNotAllowed` where no webhook may be sent, unless it `goes_anywhere`. No proxy is
    used: it would do the dialling.
    """

    def __init__(self, *, goes_anywhere: bool = False, **options: Any) -> None:
        super().__init__(trust_env=False, **options)
        self.deadline, self.origin = Deadline(threading.Event()), _Origin()
        self._pool._network_backend = _Backend(self.deadline, self.origin, goes_anywhere)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.origin.is_plain = request.url.scheme != "https"
        return super().handle_request(request)
