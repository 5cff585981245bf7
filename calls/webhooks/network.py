"""The connections webhooks are sent over."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore2
import httpx2


class Deadline(threading.local):
    """When the request that this thread is sending must be over, by `time.monotonic()`."""

    at = float("inf")

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
        if left <= 0:
            raise httpcore2.ReadTimeout("the time for the whole request is up")
        return left


class _Stream(httpcore2.NetworkStream):
    """A connection whose every step is given what is left until the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self.deadline.left(timeout))

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
    def __init__(self, deadline: Deadline) -> None:
        self.backend, self.deadline = httpcore2.SyncBackend(), deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.NetworkStream:
        left = self.deadline.left(timeout)
        stream = self.backend.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self.deadline)


class DeadlineTransport(httpx2.HTTPTransport):
    """HTTP with kept-alive connections, where `deadline` bounds a request as a whole: the client's
    own timeouts bound the silence between two bytes only, which a receiver can stretch for ever.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.deadline = Deadline()
        self._pool._network_backend = _Backend(self.deadline)
