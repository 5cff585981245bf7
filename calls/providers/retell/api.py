"""Requests to Retell's API."""

import json
import weakref
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from calls.providers.base import AccountError
from calls.webhooks.addresses import validate_address
from calls.webhooks.network import DeadlineTransport

BASE_URL = "https://api.retellai.com"
REQUEST_SECONDS, CONNECT_SECONDS = 10, 5
# A kept connection that the far side closes under a request would leave it open whether the call
# was taken.
KEEP_ALIVE_SECONDS = 1
# A call's transcript comes several times over, with the times of every word.
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_MESSAGE = 500  # characters of a refusal that are looked at


class UnexpectedAnswer(Exception):
    """An answer that Retell's documentation does not know. Its text holds nothing of the body."""

    def __init__(self, what: object) -> None:
        super().__init__(f"unexpected answer: {what}")


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is empty where it was too long to be read."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """What a refusal says, in lower case. It may hold numbers: for a look, never for a log."""
        try:
            told = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        message: Any = told.get("message") if isinstance(told, dict) else None
        return message[:MAX_MESSAGE].lower() if isinstance(message, str) else ""

    @property
    def is_of_unknown_thing(self) -> bool:
        """What the path names is not there. A 404 without Retell's words is a wrong address."""
        if self.status == 404:
            return bool(self.message)
        return self.status in {400, 422} and "find" in self.message


class Api:
    """One account's access, over connections that threads may share."""

    def __init__(self, base_url: object, key: object) -> None:
        self._url = base_url.rstrip("/") if isinstance(base_url, str) else ""
        self._key = key if isinstance(key, str) else ""
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_SECONDS)
        transport = DeadlineTransport(goes_anywhere=True, limits=limits)
        self._deadline = transport.deadline
        self._client = httpx2.Client(
            transport=transport,
            timeout=httpx2.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )
        # Whoever changes the account has another one made, and nobody closes this one.
        weakref.finalize(self, self._client.close)

    def check(self) -> None:
        """Raise `AccountError` where nothing can be asked."""
        try:
            validate_address(self._url)
            httpx2.URL(self._url)
        except (ValidationError, httpx2.InvalidURL):
            raise AccountError(_("The account's address of Retell is no address.")) from None
        if not (self._key.isascii() and self._key.isprintable() and self._key):
            raise AccountError(_("The account has no API key of Retell."))

    def ask(self, method: str, path: str, *parts: str, body: Any = None) -> Answer:
        """Send one request, its path ending in the quoted `parts`, and read its answer, within
        `REQUEST_SECONDS` altogether. Raises `AccountError` and what httpx2 does.
        """
        self.check()
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": f"Bearer {self._key}",
            "user-agent": "collections-platform",
        }
        content = b""
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers["content-type"] = "application/json"
        url = "/".join([self._url + path, *(quote(part, safe="") for part in parts)])
        request = self._client.stream(method, url, content=content, headers=headers)
        with self._deadline.within(REQUEST_SECONDS), request as response:
            return Answer(response.status_code, _read(response))


def _read(response: httpx2.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return b""
        chunks.append(chunk)
    return b"".join(chunks)
