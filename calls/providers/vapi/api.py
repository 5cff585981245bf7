"""Requests to Vapi's API."""

import json
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import quote

import httpx2

from calls.providers.vapi.account import Account
from calls.webhooks.network import DeadlineTransport
from contacts.times import iso

REQUEST_SECONDS, CONNECT_SECONDS = 15, 5
# Servers close idle connections; one that closes under a request would leave it open whether the
# call was taken.
KEEP_ALIVE_SECONDS = 1
# A page of a list holds whole calls, each with its prompt and transcript.
MAX_ANSWER_BYTES = 32 * 1024 * 1024
PAGE = 100
SHORTEST_SPAN = timedelta(seconds=1)

HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "user-agent": "collections-platform",
}


class UnexpectedAnswer(Exception):
    """An answer that the API's description does not know. Its text holds nothing of the body."""

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

    def told(self) -> Any:
        """The body as JSON. Raises `UnexpectedAnswer`."""
        try:
            return read_json(self.body)
        except (ValueError, RecursionError):
            raise UnexpectedAnswer("no JSON") from None


def read_json(body: bytes) -> Any:
    """Numbers with a point as decimals. Raises `ValueError` or `RecursionError`."""
    return json.loads(body, parse_float=Decimal, parse_constant=_refuse)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


class Api:
    """Vapi, asked with one account's key over connections that threads may share."""

    def __init__(self, account: Account) -> None:
        self._account = account
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

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        """Send one request and read its answer, within `REQUEST_SECONDS` altogether.

        Raises `AccountError` and what httpx2 does.
        """
        self._account.check()
        key = {"authorization": f"Bearer {self._account.api_key}"}
        return self._send(method, self._account.base_url + path, body, key, query)

    def end_call(self, control_url: str) -> Answer:
        """Hang up, by the address that Vapi gave for this call; it is not told the key.

        Raises `UnexpectedAnswer` for an address that is not like the API's, and what httpx2 does.
        """
        try:
            url, base = httpx2.URL(control_url), httpx2.URL(self._account.base_url)
        except httpx2.InvalidURL:
            raise UnexpectedAnswer("no address to control the call by") from None
        if url.scheme not in {"https", base.scheme} or not url.host:
            raise UnexpectedAnswer("no safe address to control the call by")
        return self._send("POST", control_url, {"type": "end-call"}, {}, {})

    def call(self, call_id: str) -> Any:
        """The call as Vapi tells it, or None where it knows none of this id."""
        answer = self.ask("GET", f"/call/{quote(call_id, safe='')}")
        if answer.status == 404:
            return None
        if not answer.is_success:
            raise UnexpectedAnswer(answer.status)
        return answer.told()

    def calls(self, since: datetime, until: datetime) -> Iterator[Any]:
        """The calls that were created in this time; some of them twice.

        A full page is followed by those of both halves of the time, as the order of a page is not
        documented.
        """
        query = {"createdAtGe": iso(since) or "", "createdAtLe": iso(until) or ""}
        answer = self.ask("GET", "/call", limit=str(PAGE), **query)
        if not answer.is_success:
            raise UnexpectedAnswer(answer.status)
        page = answer.told()
        if not isinstance(page, list):
            raise UnexpectedAnswer("no list of calls")
        yield from page
        if len(page) < PAGE:
            return
        if until - since <= SHORTEST_SPAN:
            raise UnexpectedAnswer("more calls at once than a page holds")
        middle = since + (until - since) / 2
        yield from self.calls(since, middle)
        yield from self.calls(middle, until)

    def _send(
        self, method: str, url: str, body: Any, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        told = {**HEADERS, **headers}
        content = b""
        if body is not None:
            told["content-type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        request = self._client.stream(
            method, url, content=content, headers=told, params=dict(query) or None
        )
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
