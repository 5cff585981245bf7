"""gunicorn's threaded worker, answering in JSON where gunicorn itself refuses a request."""

import json
import uuid
from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):
    """A request that is no HTTP, or too long, never reaches the application. What gunicorn would
    answer it with, a page that quotes the request, becomes the API's own form of a refusal.
    """

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        page = _Page()
        super().handle_error(req, page, addr, exc)
        if page.status_line:
            client.sendall(_refusal(page.status_line))


class _Page:
    """Stands in for the connection, and keeps the status of what is written to it."""

    status_line = ""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.status_line = data.split(b"\r\n", 1)[0].decode("latin1")


def _refusal(status_line: str) -> bytes:
    reason = status_line.split(" ", 2)[2]
    body = json.dumps({"detail": f"{reason}."})
    headers = [
        status_line,
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {uuid.uuid4().hex}",
    ]
    return "\r\n".join([*headers, "", body]).encode("latin1")
