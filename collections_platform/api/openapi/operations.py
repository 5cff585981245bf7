"""Every operation of the API: what it takes and answers, beyond what its view says itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from calls.schemas import BulkBody
from collections_platform.api.openapi import answers, examples
from collections_platform.api.schemas import TokenRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`refusals` are the statuses beside those that follow from path, query, body and security;
    `headers` and `answer_headers` name components; `examples` go by status, or `request`.
    """

    name: str
    tag: str
    summary: str
    answer: type[BaseModel]
    description: str = ""
    status: HTTPStatus = HTTPStatus.OK
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: Sequence[str] = ()
    answer_headers: Sequence[str] = ()
    refusals: Sequence[HTTPStatus] = ()
    examples: Mapping[str, Any] = field(default_factory=dict)


OPERATIONS = {
    ("POST", "/auth/v1/api-key/auth"): Operation(
        name="getToken",
        tag="Access",
        summary="Get a token",
        description="Exchange a client's id and secret for a token. A wrong id and a wrong secret"
        " are answered alike.",
        body=TokenRequest,
        answer=answers.Token,
        refusals=[HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS],
    ),
    ("POST", "/ai/phone-calls/action/call-bulk"): Operation(
        name="callBulk",
        tag="Calls",
        summary="Call many people",
        description="Launch a campaign of calls. The answer comes once everything is stored. If"
        " anything is wrong the answer is 422, names every offending element, and nothing is"
        " stored; with `Prefer: handling=lenient` the sound contacts are accepted and the others"
        " listed in `rejected`. The same number twice is one contact and two calls.",
        body=BulkBody,
        answer=answers.BulkAnswer,
        status=HTTPStatus.CREATED,
        headers=["IdempotencyKey", "Prefer"],
        answer_headers=["Preference-Applied"],
        examples={"request": examples.BULK_REQUEST, "201": examples.BULK_ANSWER},
    ),
    ("GET", "/ai/phone-calls/{callId}"): Operation(
        name="getCall",
        tag="Calls",
        summary="Read a call",
        answer=answers.Call,
    ),
    ("GET", "/ai/campaigns/{campaignId}"): Operation(
        name="getCampaign",
        tag="Campaigns",
        summary="Read a campaign",
        answer=answers.Campaign,
        examples={"200": examples.CAMPAIGN},
    ),
}
