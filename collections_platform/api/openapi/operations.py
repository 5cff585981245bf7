"""Every operation of the API: what it takes and answers, beyond what its view says itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from calls.schemas import BulkBody, CallBody, CallsQuery
from collections_platform.api.openapi import answers, examples
from collections_platform.api.schemas import TokenRequest
from contacts.paging import Page
from contacts.schemas import SuppressionIn


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
    ("POST", "/ai/phone-calls/action/call"): Operation(
        name="call",
        tag="Calls",
        summary="Call one person",
        description="A campaign of one. The contact is found by number, and added if there is"
        " none; `contactUuid` names another contact whom this number reaches.",
        body=CallBody,
        answer=answers.AcceptedSingleCall,
        status=HTTPStatus.CREATED,
        headers=["IdempotencyKey"],
        examples={"request": examples.CALL_REQUEST},
    ),
    ("GET", "/ai/phone-calls"): Operation(
        name="listCalls",
        tag="Calls",
        summary="List calls",
        description="Each by its last attempt.",
        query=CallsQuery,
        answer=answers.CallPage,
    ),
    ("GET", "/ai/phone-calls/{callId}"): Operation(
        name="getCall",
        tag="Calls",
        summary="Read a call",
        answer=answers.Call,
    ),
    ("POST", "/ai/phone-calls/{callId}/action/cancel"): Operation(
        name="cancelCall",
        tag="Calls",
        summary="Cancel a call",
        description="Ends what is queued, rings or waits for another attempt. Once more: nothing"
        " happens. Answered or ended: 409.",
        answer=answers.Call,
        refusals=[HTTPStatus.CONFLICT],
    ),
    ("GET", "/ai/campaigns/{campaignId}"): Operation(
        name="getCampaign",
        tag="Campaigns",
        summary="Read a campaign",
        answer=answers.Campaign,
        examples={"200": examples.CAMPAIGN},
    ),
    ("POST", "/ai/campaigns/{campaignId}/action/{action}"): Operation(
        name="controlCampaign",
        tag="Campaigns",
        summary="Pause, resume or cancel a campaign",
        description="Paused, nobody more is dialled. Cancelled, what is queued or rings is ended,"
        " and conversations go on to their end. Once more: nothing happens.",
        answer=answers.Campaign,
        refusals=[HTTPStatus.CONFLICT],
    ),
    ("GET", "/contact"): Operation(
        name="listContacts",
        tag="Contacts",
        summary="List contacts",
        query=Page,
        answer=answers.ContactPage,
    ),
    ("GET", "/contact/{contactUuid}"): Operation(
        name="getContact",
        tag="Contacts",
        summary="Read a contact",
        answer=answers.Contact,
    ),
    ("POST", "/contact/{contactUuid}/suppression"): Operation(
        name="suppressContact",
        tag="Contacts",
        summary="Have nobody call a person",
        description="Holds for calls already queued too. `reason` is a word such as"
        " `do_not_call`, or any text.",
        body=SuppressionIn,
        answer=answers.Contact,
    ),
    ("DELETE", "/contact/{contactUuid}/suppression"): Operation(
        name="liftSuppression",
        tag="Contacts",
        summary="Let a person be called again",
        description="Lifts every suppression in force.",
        answer=answers.Contact,
    ),
    ("GET", "/ai/settings-templates"): Operation(
        name="listSettingsTemplates",
        tag="Templates",
        summary="List AI settings templates",
        query=Page,
        answer=answers.SettingsTemplatePage,
    ),
}
