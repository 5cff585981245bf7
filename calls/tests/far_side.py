"""An agent for tests: a real HTTP server on loopback that answers as it is told to."""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any, Self

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came in; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Says:
    """An answer; a body that is no bytes is told as JSON."""

    status: int
    body: Any = b""

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        handler.send_response(self.status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@dataclass(frozen=True, slots=True)
class Hangs:
    """The request is taken, and never answered."""

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        is_over.wait(30)
        handler.close_connection = True


@dataclass(frozen=True, slots=True)
class Drips:
    """A byte of the answer now and then: never silent for long, and never done."""

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not is_over.wait(0.05):
            handler.wfile.write(b" ")
            handler.wfile.flush()


@dataclass(frozen=True, slots=True)
class Drops:
    """The connection breaks after the request was taken."""

    def send(self, handler: BaseHTTPRequestHandler, is_over: Flag) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)


Answers = Callable[[Asked], Says | Hangs | Drips | Drops]


class FarSide:
    """Listens on a free port of 127.0.0.1 inside its `with` block; `answer` may be replaced."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Answers = lambda asked: Says(404, {"reason": "unknown_call"})
        self.is_over = Flag()
        self.at_once = self.most_at_once = 0
        self._lock = Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def says(self, status: int, body: Any = b"") -> None:
        """Answer every request so."""
        self.answer = lambda asked: Says(status, body)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, handler.path, headers, body)
        with self._lock:
            self.asked.append(asked)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.answer(asked).send(handler, self.is_over)
        except OSError:
            handler.close_connection = True  # whoever asked has gone
        finally:
            with self._lock:
                self.at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        far_side = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                far_side._handle(self)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
