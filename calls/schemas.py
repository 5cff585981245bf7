"""What a caller may send to the bulk endpoint."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast
from uuid import UUID

import pydantic_core
from annotated_types import Len
from django.conf import settings
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from calls.statuses import CallStatus
from campaigns.models import MAX_BATCH_SIZE, MIN_BATCH_SIZE
from contacts.models import ContactRow
from contacts.paging import Page
from contacts.phone_numbers import REGIONS, UnusableNumber
from contacts.schemas import ContactIn, Name, Text, number_error, without_nul
from contacts.validation import ErrorDetail, InvalidInput, Location, error_details, read_body

Faults = Mapping[int, Sequence[Location]]


def _is_storable(value: Any) -> Any:
    """JSON that comes back as it was sent: without NUL, NaN and infinities."""
    match value:
        case str():
            without_nul(value)
        case float() if not math.isfinite(value):
            raise PydanticCustomError("finite_number", "Input should be a finite number")
        case dict():
            for key, item in value.items():
                _is_storable(key)
                _is_storable(item)
        case list():
            for item in value:
                _is_storable(item)
    return value


def _is_region(code: str) -> str:
    if code not in REGIONS:
        raise PydanticCustomError("country_code", "No country has this code in ISO 3166-1")
    return code


def _is_within_limit(contacts: list[Any]) -> list[Any]:
    if len(contacts) > settings.BULK_MAX_CONTACTS:
        raise PydanticCustomError(
            "too_long",
            "List should have at most {limit} items",
            {"limit": settings.BULK_MAX_CONTACTS},
        )
    return contacts


TemplateId = Annotated[UUID, Field(description="absent: the default template")]
UpdateExisting = Annotated[
    bool, Field(description="give a contact that exists the names and email that are sent")
]
CountryCode = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{2}$"),
    AfterValidator(_is_region),
    Field(
        description="ISO 3166-1 alpha-2; reads numbers without a country code",
        json_schema_extra={"enum": sorted(REGIONS)},
    ),
]
BatchSize = Annotated[
    int,
    Field(
        ge=MIN_BATCH_SIZE,
        le=MAX_BATCH_SIZE,
        description="calls per batch; absent: what the server is set to",
    ),
]
JSONObject = Annotated[dict[str, Any], AfterValidator(_is_storable)]


class Consent(BaseModel):
    """A record that the person agreed to be called."""

    kind: Annotated[
        str, StringConstraints(min_length=1, max_length=64), AfterValidator(without_nul)
    ]
    given_at: AwareDatetime | None = Field(None, alias="givenAt")
    evidence: Text | None = None


class CallIn(ContactIn):
    """A contact object: one person to call, and what the call is about."""

    metadata: JSONObject | None = Field(
        None, description="stored with the call and sent in webhooks; never interpreted"
    )
    prompt_tags: dict[Text, Text] | None = Field(
        None,
        alias="promptTags",
        description="replaces `{{key}}` in the template's prompts by the value, literally",
    )
    debt_reference: Name | None = Field(
        None, alias="debtReference", description="what is owed; absent: one debt per contact"
    )
    consent: Consent | None = None


class BulkSettings(BaseModel):
    """The fields of a bulk request beside its contacts."""

    model_config = ConfigDict(extra="ignore")

    template_id: TemplateId | None = Field(None, alias="aiSettingsTemplateId")
    update_existing: UpdateExisting | None = Field(None, alias="updateExisting")
    country_code: CountryCode | None = Field(None, alias="countryCode")
    batch_size: BatchSize | None = Field(None, alias="batchSize")


class BulkBody(BulkSettings):
    contacts: Annotated[
        list[CallIn],
        Len(1),
        AfterValidator(_is_within_limit),
        Field(json_schema_extra=lambda told: told.update(maxItems=settings.BULK_MAX_CONTACTS)),
    ]


@dataclass(frozen=True, slots=True)
class PersonToCall:
    """One contact of a request: the person, and what the call is about.

    `index` is its place in the request; `faulty` are its fields and tags that were refused.
    """

    index: int
    row: ContactRow
    metadata: dict[str, Any]
    prompt_tags: dict[str, str]
    debt_reference: str
    consent: dict[str, Any] | None
    faulty: frozenset[str]
    contact_id: UUID | None = None  # of a contact that the caller names beside the number


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A bulk request as read. `errors` is what is wrong with it; contacts whose number can be used
    stand in `people` all the same, for further faults to be found.
    """

    template_id: UUID | None
    update_existing: bool
    country_code: str
    batch_size: int
    people: list[PersonToCall]
    errors: list[ErrorDetail]


def by_contact(error: ErrorDetail) -> int:
    """Sorts faults: those of the request as a whole, then those of its contacts in their order."""
    return cast(int, error["loc"][2]) if _names_contact(error) else -1


def read_bulk_request(body: bytes, known_faults: Sequence[ErrorDetail] = ()) -> BulkRequest:
    """Read the body of a bulk request, from the API, a form or a command alike.

    Faults are collected in `errors`, together with those that are known of its contacts from
    before there was a body (of a file's cells, for instance). Raises `InvalidInput` where they
    leave nothing to go on with: the body, the list of contacts, the country or the template
    cannot be read.
    """
    errors = list(known_faults)
    faults = _faults_by_contact(errors)
    try:
        bulk: BulkSettings = BulkBody.model_validate_json(body)
        contacts = dict(enumerate(cast(BulkBody, bulk).contacts))
    except ValidationError as error:
        errors += error_details(error, ("body",), body)
        faults = _faults_by_contact(errors)
        bulk, contacts = _read_sound_part(body, errors, faults)

    people = []
    for index, contact in contacts.items():
        try:
            people.append(_person(index, contact, bulk.country_code, faults.get(index, ())))
        except UnusableNumber as unusable:
            errors.append(number_error(("body", "contacts", index), unusable))
    if any(error["loc"][1:] == ["aiSettingsTemplateId"] for error in errors):
        raise InvalidInput(errors)
    return BulkRequest(
        template_id=bulk.template_id,
        update_existing=bool(bulk.update_existing),
        country_code=bulk.country_code or "",
        batch_size=bulk.batch_size or settings.CALL_BATCH_SIZE,
        people=people,
        errors=errors,
    )


class CallsQuery(Page):
    """Which calls to list."""

    campaign_id: UUID | None = Field(None, alias="campaignId")
    status: CallStatus | None = None


class CallBody(CallIn):
    """The fields of a request for one call: a contact object, and how to call."""

    contact_id: UUID | None = Field(None, alias="contactUuid")
    template_id: TemplateId | None = Field(None, alias="aiSettingsTemplateId")
    update_existing: UpdateExisting | None = Field(None, alias="updateExisting")
    country_code: CountryCode | None = Field(None, alias="countryCode")


def read_call_request(body: bytes) -> BulkRequest:
    """Read the body of a request for one call, which is a campaign of one. Raises `InvalidInput`,
    as does whatever finds more faults in what is returned: put them right with `of_one_call`.
    """
    asked = read_body(CallBody, body)
    try:
        person = _person(0, asked, asked.country_code, ())
    except UnusableNumber as unusable:
        raise InvalidInput([number_error(("body",), unusable)]) from None
    return BulkRequest(
        template_id=asked.template_id,
        update_existing=bool(asked.update_existing),
        country_code=asked.country_code or "",
        batch_size=settings.CALL_BATCH_SIZE,
        people=[replace(person, contact_id=asked.contact_id)],
        errors=[],
    )


def of_one_call(refused: InvalidInput) -> InvalidInput:
    """The refusal of a campaign of one, in the places of a request for one call."""
    errors = refused.errors
    for error in errors:
        if _names_contact(error):
            error["loc"] = ["body", *error["loc"][3:]]
    return InvalidInput(errors)


def _faults_by_contact(errors: Iterable[ErrorDetail]) -> Faults:
    """Per contact, where in it the faults lie: `("promptTags", "amount")`."""
    faults: dict[int, list[Location]] = defaultdict(list)
    for error in filter(_names_contact, errors):
        faults[cast(int, error["loc"][2])].append(tuple(error["loc"][3:]))
    return faults


def _read_sound_part(
    body: bytes, errors: Sequence[ErrorDetail], faults: Faults
) -> tuple[BulkSettings, dict[int, CallIn]]:
    """The settings and contacts of a faulty body without the faulty fields, so that what else is
    wrong can be found and named in the same answer. Raises `InvalidInput` where the faults leave
    nothing to go on with.
    """
    outside = {str(error["loc"][-1]) for error in errors if not _names_contact(error)}
    is_broken = any(error["type"] == "json_invalid" for error in errors)
    if is_broken or outside & {"body", "contacts", "countryCode"}:
        raise InvalidInput(list(errors))
    raw = pydantic_core.from_json(body)
    contacts = {
        index: CallIn.model_validate(_without(contact, faults.get(index, ())))
        for index, contact in enumerate(raw["contacts"])
        if isinstance(contact, dict) and ("numberToCall",) not in faults.get(index, ())
    }
    sound = {name: value for name, value in raw.items() if name not in outside}
    return BulkSettings.model_validate(sound), contacts


def _without(contact: dict[str, Any], faults: Sequence[Location]) -> dict[str, Any]:
    sound = dict(contact)
    for fault in faults:
        match fault:
            case ("promptTags", tag):
                sound["promptTags"] = {k: v for k, v in sound["promptTags"].items() if k != tag}
            case (field, *_):
                sound.pop(str(field), None)
    return sound


def _names_contact(error: ErrorDetail) -> bool:
    """Does the fault lie in one contact, rather than in the request as a whole?"""
    return error["loc"][1:2] == ["contacts"] and len(error["loc"]) > 2


def _person(
    index: int, contact: CallIn, country_code: str | None, faults: Sequence[Location]
) -> PersonToCall:
    return PersonToCall(
        index=index,
        row=contact.to_row(country_code),
        metadata=contact.metadata or {},
        prompt_tags=contact.prompt_tags or {},
        debt_reference=contact.debt_reference or "",
        consent=contact.consent.model_dump(mode="json", by_alias=True) if contact.consent else None,
        faulty=frozenset(str(fault[-1]) for fault in faults),
    )
