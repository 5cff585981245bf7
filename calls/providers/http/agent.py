"""Signed requests to an agent."""

import json
import re
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx2
from django.core.exceptions import ValidationError

from calls.providers.base import AccountError
from calls.webhooks.addresses import validate_address
from calls.webhooks.network import DeadlineTransport
from calls.webhooks.signing import signed_headers, validate_secret
from campaigns.clock import followed_now

AGENT_SECONDS, CONNECT_SECONDS = 10, 5
# Servers close idle connections, the hastiest after 2 seconds; one that closes under a request
# would leave it open whether the call was taken.
KEEP_ALIVE_SECONDS = 1
MAX_ANSWER_BYTES = 2 * 1024 * 1024
HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "user-agent": "collections-platform",
}
# A reason is a word, so that nothing personal comes in by it.
REASON = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class UnexpectedAnswer(Exception):
    """An answer that the protocol does not know. Its text holds nothing of the answer's body."""

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
    def is_of_unknown_call(self) -> bool:
        """The agent has never seen the call. A 404 alone may be a wrong address'."""
        return self.status == 404 and self.reason == "unknown_call"

    @property
    def reason(self) -> str:
        """The word that a refusal gives, or nothing."""
        try:
            told = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        reason: Any = told.get("reason") if isinstance(told, dict) else None
        return reason if isinstance(reason, str) and REASON.fullmatch(reason) else ""


class Agent:
    """One agent, asked over connections that threads may share. Staff say where it is, so it may
    well stand in a private network.
    """

    def __init__(self, url: object, secret: object) -> None:
        self._url = url.rstrip("/") if isinstance(url, str) else ""
        self._secret = secret if isinstance(secret, str) else ""
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_SECONDS)
        transport = DeadlineTransport(goes_anywhere=True, limits=limits)
        self._deadline = transport.deadline
        self._client = httpx2.Client(
            transport=transport,
            timeout=httpx2.Timeout(AGENT_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            follow_redirects=False,
        )
        # Whoever changes the account has another agent made, and nobody closes this one.
        weakref.finalize(self, self._client.close)

    def check(self) -> None:
        """Raise `AccountError` where the agent cannot be asked anything."""
        try:
            validate_address(self._url)
            httpx2.URL(self._url)
        except (ValidationError, httpx2.InvalidURL):
            raise AccountError("The account has no address of an agent") from None
        try:
            validate_secret(self._secret)
        except ValidationError:
            raise AccountError("The account has no secret to sign with") from None

    def ask(
        self,
        action: str,
        method: str,
        call_id: UUID,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its answer, within `AGENT_SECONDS` altogether.

        The signed id names the action and the call, for the signature covers neither method nor
        path. Raises `AccountError` and what httpx2 does.
        """
        self.check()
        identity = f"{action}_{call_id}_{uuid4().hex}"
        signed = signed_headers(
            [self._secret], identity, int(followed_now().timestamp()), body, families=("webhook",)
        )
        told = {**HEADERS, **signed, **(headers or {})}
        if body:
            told["content-type"] = "application/json"
        request = self._client.stream(method, self._url + path, content=body, headers=told)
        with self._deadline.within(AGENT_SECONDS), request as response:
            return Answer(response.status_code, _read(response))


def _read(response: httpx2.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_raw():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return b""
        chunks.append(chunk)
    return b"".join(chunks)
