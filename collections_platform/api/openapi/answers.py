"""What the API answers and its webhooks tell, as models: for the description alone, because
answers are built as plain dictionaries. Tests hold the two against each other.
"""

from typing import Annotated, Any, Literal, get_type_hints
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

from calls.statuses import CallStatus, Sentiment
from campaigns.models import CampaignStatus
from contacts.paging import MAX_SIZE
from contacts.validation import ErrorDetail

E164 = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{1,14}$")]
PassOrFail = Literal["pass", "fail"]
Count = Annotated[int, Field(ge=0)]


class Token(BaseModel):
    access_token: Annotated[str, Field(description="a JSON Web Token")]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(description="seconds until the token expires")]


# --- Calls --------------------------------------------------------------------------------------


class AcceptedCall(BaseModel):
    """A call that was accepted and is queued."""

    callId: Annotated[UUID, Field(description="the same for all attempts of the call")]
    contactUuid: UUID
    numberToCall: E164


class AcceptedSingleCall(AcceptedCall):
    """A call that was accepted and is queued, in a campaign of its own."""

    campaignId: UUID


Fault: type[BaseModel] = create_model(
    "ErrorDetail",
    __config__=ConfigDict(extra="forbid"),
    __doc__="One offending element: where it stands, what is wrong with it, the kind of error.",
    **{name: (kind, ...) for name, kind in get_type_hints(ErrorDetail).items()},  # type: ignore[call-overload]
)


class RejectedContact(BaseModel):
    """A contact that was left out, and what is wrong with it."""

    index: Annotated[Count, Field(description="its place in the request's `contacts`")]
    detail: list[Fault]  # type: ignore[valid-type]


class BulkAnswer(BaseModel):
    campaignId: UUID
    batchSize: int
    batches: Count
    calls: Annotated[list[AcceptedCall], Field(description="in the order of the request")]
    rejected: Annotated[
        list[RejectedContact],
        Field(default_factory=list, description="only with `Prefer: handling=lenient`"),
    ]


class CallMetadata(BaseModel):
    requestMetadata: Annotated[dict[str, Any], Field(description="as sent with the contact")]


class CallData(BaseModel):
    """One attempt of a call. Fields may be added: ignore what you do not know."""

    providerCallId: Annotated[str | None, Field(description="the provider's id of the call")]
    numberFrom: Annotated[str, Field(description='E.164; `""` if nothing was dialled')]
    numberTo: E164
    providerStatus: Annotated[PassOrFail, Field(description="did the provider carry the call?")]
    deliveryStatus: Annotated[
        PassOrFail, Field(description="did a person answer? A voicemail is `fail`")
    ]
    duration: Annotated[Count, Field(description="seconds on the line")]
    summary: str | None
    endedReason: str | None
    callOutput: Annotated[
        str,
        Field(description="the outcome in the template's words; without one the status"),
    ]
    callOutputReasoning: str
    sentimentOutput: Sentiment
    sentimentOutputReasoning: str
    transcription: Annotated[str, Field(description='`""` if there is none')]
    recordingUrl: str | None
    metadata: CallMetadata
    callId: Annotated[UUID, Field(description="as answered when the call was accepted")]
    attemptId: Annotated[UUID, Field(description="equal to `callId` in the first attempt")]
    attempt: Annotated[int, Field(ge=1)]
    isLastAttempt: Annotated[bool, Field(description="true once per call")]
    campaignId: UUID
    contactUuid: UUID
    startedAt: Annotated[AwareDatetime | None, Field(description="when dialling began")]
    answeredAt: AwareDatetime | None
    endedAt: AwareDatetime | None
    provider: Annotated[str | None, Field(description="who placed the call")]
    simulated: Annotated[bool, Field(description="the call was made up and reached nobody")]


class Attempt(CallData):
    """One attempt as it stands now."""

    status: CallStatus
    systemPrompt: Annotated[str | None, Field(description="as sent; null before dialling")]
    firstMessage: Annotated[str | None, Field(description="as sent; null before dialling")]


class Call(Attempt):
    """A call as its last attempt stands now, with all its attempts in their order."""

    attempts: list[Attempt]


class Page(BaseModel):
    """A page of a list, the newest first. A page behind the last is empty."""

    total: Annotated[Count, Field(description="how many there are on all pages")]
    page: Annotated[int, Field(ge=1)]
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)]
    pages: Count


class CallPage(Page):
    items: list[Attempt]


# --- Campaigns ----------------------------------------------------------------------------------


class Counts(BaseModel):
    status: Annotated[dict[str, Count], Field(description="calls per status of the last attempt")]
    outcome: Annotated[dict[str, Count], Field(description="calls per outcome")]


class Campaign(BaseModel):
    campaignId: UUID
    status: CampaignStatus
    counts: Counts


# --- Contacts -----------------------------------------------------------------------------------


class Suppression(BaseModel):
    """Nobody calls this person."""

    reason: str
    until: Annotated[AwareDatetime | None, Field(description="null: until it is lifted")]
    createdAt: AwareDatetime


class Contact(BaseModel):
    contactUuid: UUID
    phoneNumber: E164
    firstName: str
    lastName: str
    email: str
    timeZone: str
    region: str
    createdAt: AwareDatetime
    updatedAt: AwareDatetime
    suppressions: Annotated[list[Suppression], Field(description="those in force")]


class ContactPage(Page):
    items: list[Contact]


# --- Templates ----------------------------------------------------------------------------------


class Tag(BaseModel):
    """A `{{tag}}` of a template."""

    name: str
    required: Annotated[bool, Field(description="the template has no default for it")]


class Outcome(BaseModel):
    """What a call of this template may bring."""

    word: str
    description: str


class SettingsTemplate(BaseModel):
    """An AI settings template in its newest version."""

    aiSettingsTemplateId: UUID
    name: str
    isDefault: bool
    version: int
    language: str
    promptTags: list[Tag]
    outcomes: list[Outcome]


class SettingsTemplatePage(Page):
    """A page of a list, by name. A page behind the last is empty."""

    items: list[SettingsTemplate]


# --- Errors -------------------------------------------------------------------------------------


class Refusal(BaseModel):
    detail: Annotated[str, Field(description="why, in words")]


class InvalidInput(BaseModel):
    """Every offending element, named. No message holds any part of an offending value."""

    model_config = ConfigDict(extra="forbid")

    detail: list[Fault]  # type: ignore[valid-type]


# --- Webhooks -----------------------------------------------------------------------------------


class EndedCallData(CallData):
    """One attempt that ended. Fields may be added: ignore what you do not know."""

    endedAt: AwareDatetime


class PhoneCallEnded(BaseModel):
    """What an endpoint receives; in the *flat* form `data` alone."""

    type: Literal["phone_call.ended"]
    timestamp: Annotated[AwareDatetime, Field(description="when the attempt ended")]
    data: EndedCallData


class CampaignCompleted(BaseModel):
    """What an endpoint that asked for it receives; in the *flat* form `data` alone."""

    type: Literal["campaign.completed"]
    timestamp: Annotated[AwareDatetime, Field(description="when the campaign ended")]
    data: Campaign
