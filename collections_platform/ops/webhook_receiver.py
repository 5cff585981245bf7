"""A receiver of webhooks on this machine, for the demo and for tests."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

TOLERANCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def is_signed_with(self, secret: str) -> bool:
        """The signature is right by the rules of Standard Webhooks, and at most 5 minutes old."""
        identity = self.headers.get("webhook-id", "")
        timestamp = self.headers.get("webhook-timestamp", "")
        if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
            return False
        key = base64.b64decode(secret.removeprefix("whsec_"))
        message = f"{identity}.{timestamp}.".encode() + self.body
        digest = base64.b64encode(hmac.digest(key, message, hashlib.sha256))
        signatures = self.headers.get("webhook-signature", "").encode().split()
        return any(hmac.compare_digest(b"v1," + digest, given) for given in signatures)


class WebhookReceiver:
    """Listens on a free port of 127.0.0.1 inside its `with` block and keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def answer(self, request: Received) -> HTTPStatus:
        """The status to answer with; runs in a thread of the request."""
        return HTTPStatus.NO_CONTENT

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=[0.1], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.path, headers, body)
                receiver.received.append(request)
                self.send_response(receiver.answer(request))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing: the terminal is the caller's."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a sender may keep its connection open
    request_queue_size = 128
