"""Launching a campaign: from a request that was read to calls that are queued."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from calls.dispatch import dispatch_on_commit
from calls.models import CallLog
from calls.schemas import BulkRequest, PersonToCall, by_contact
from campaigns.clock import database_now
from campaigns.models import Batch, Campaign, CampaignSource, CampaignStatus
from contacts.models import Contact
from contacts.validation import ErrorDetail, InvalidInput, error_detail
from templates.models import AISettingsTemplate, TemplateVersion

INSERT_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Launch:
    """What came of a request; `calls` keeps the request's order, `rejected` says which contacts
    were left out: `[{"index": 3, "detail": [errors]}]`.
    """

    campaign: Campaign
    batches: int
    calls: list[CallLog]
    rejected: list[dict[str, Any]]


@transaction.atomic
def launch_campaign(
    request: BulkRequest,
    source: CampaignSource,
    *,
    lenient: bool = False,
    name: str = "",
    api_client_id: UUID | None = None,
    created_by: Any = None,
    starts_at: datetime | None = None,
    is_draft: bool = False,
    campaign_id: UUID | None = None,
    account_id: int | None = None,
) -> Launch:
    """Store the campaign, its contacts, batches and calls, and begin it.

    With a `starts_at` that is still to come it is scheduled for then, and with `is_draft`, which
    knows no start, it waits to be started; no worker is woken for either. Its calls are placed
    with the account `account_id`; None: with the template's, else the default.

    All or nothing: raises `InvalidInput` naming every offending element, and stores nothing. With
    `lenient`, contacts that have faults are left out as if they had not been sent, and that is
    raised only for faults of the request as a whole, or if nobody would be left.
    Raises `IntegrityError` if there is a campaign with the id `campaign_id`.
    """
    version = _find_version(request)
    accepted, errors = _accept(request, version, lenient)
    now = database_now()
    status = _first_status(starts_at, now, is_draft)
    campaign = Campaign.objects.create(
        id=campaign_id or uuid4(),
        name=name,
        source=source,
        template_version=version,
        account_id=account_id,
        country_code=request.country_code,
        batch_size=request.batch_size,
        status=status,
        starts_at=starts_at if status == CampaignStatus.SCHEDULED else None,
        api_client_id=api_client_id,
        created_by=created_by,
    )
    count = -(-len(accepted) // campaign.batch_size)
    batches = Batch.objects.bulk_create(
        Batch(campaign=campaign, number=number, due_at=now) for number in range(1, count + 1)
    )
    calls = [
        _queued_call(person, contact, tags, batches[place // campaign.batch_size], now)
        for place, (person, contact, tags) in enumerate(accepted)
    ]
    CallLog.objects.bulk_create(calls, batch_size=INSERT_CHUNK)
    dispatch_on_commit()
    return Launch(campaign, count, calls, _by_index(errors))


def _first_status(starts_at: datetime | None, now: datetime, is_draft: bool) -> CampaignStatus:
    if is_draft and starts_at:
        raise ValueError("a draft knows no start")
    if is_draft:
        return CampaignStatus.DRAFT
    return CampaignStatus.SCHEDULED if starts_at and starts_at > now else CampaignStatus.RUNNING


# A person, their contact, and the tags of their prompts.
Accepted = tuple[PersonToCall, Contact, dict[str, str]]


def _accept(
    request: BulkRequest, version: TemplateVersion, lenient: bool
) -> tuple[list[Accepted], list[ErrorDetail]]:
    """Store the contacts that are to be called; return them, and what is wrong with the others.
    Raises `InvalidInput`.
    """
    errors, people = list(request.errors), request.people
    if not lenient:
        accepted, missing = _store(people, version, request.update_existing)
        if errors or missing:
            raise InvalidInput(sorted(errors + missing, key=by_contact))
        return accepted, []

    people = _without(people, errors)
    while people and all(by_contact(error) >= 0 for error in errors):
        savepoint = transaction.savepoint()
        accepted, missing = _store(people, version, request.update_existing)
        if not missing:
            transaction.savepoint_commit(savepoint)
            return accepted, errors
        # Once more without them: what is stored must be what the others alone would bring.
        transaction.savepoint_rollback(savepoint)
        errors += missing
        people = _without(people, missing)
    raise InvalidInput(sorted(errors, key=by_contact))


def _without(people: Sequence[PersonToCall], errors: Sequence[ErrorDetail]) -> list[PersonToCall]:
    faulty = {by_contact(error) for error in errors}
    return [person for person in people if person.index not in faulty]


def _by_index(errors: Sequence[ErrorDetail]) -> list[dict[str, Any]]:
    groups = groupby(sorted(errors, key=by_contact), key=by_contact)
    return [{"index": index, "detail": list(detail)} for index, detail in groups]


def _store(
    people: Sequence[PersonToCall], version: TemplateVersion, update_existing: bool
) -> tuple[list[Accepted], list[ErrorDetail]]:
    """Store contacts; return each person with contact and tags, and the tags that are missing."""
    contacts = _store_contacts(people, update_existing)
    tags, missing = _resolve_tags(people, contacts, version)
    return list(zip(people, contacts, tags, strict=True)), missing


def _store_contacts(people: Sequence[PersonToCall], update_existing: bool) -> list[Contact]:
    """The contact of each: the one that is named, if there is such a one, else the number's."""
    named = Contact.objects.select_for_update(no_key=True).in_bulk(
        {person.contact_id for person in people if person.contact_id}
    )
    by_number = Contact.objects.upsert(
        (person.row for person in people if person.contact_id not in named),
        update_existing=update_existing,
    )
    for person in people:
        contact = named.get(person.contact_id) if person.contact_id else None
        if contact and update_existing and contact.take(person.row):
            contact.save()
    return [
        named[person.contact_id]
        if person.contact_id and person.contact_id in named
        else by_number[person.row.phone_number]
        for person in people
    ]


def _find_version(request: BulkRequest) -> TemplateVersion:
    templates = AISettingsTemplate.objects
    if request.template_id:
        template = templates.filter(pk=request.template_id).first()
        message = "No AI settings template has this id"
    else:
        template = templates.default()
        message = "There is no default AI settings template: name one"
    if template is None:
        loc = ["body", "aiSettingsTemplateId"]
        raise InvalidInput([error_detail(loc, message, "not_found"), *request.errors])
    return template.current


def _resolve_tags(
    people: Sequence[PersonToCall], contacts: Sequence[Contact], version: TemplateVersion
) -> tuple[list[dict[str, str]], list[ErrorDetail]]:
    """For each person the tags that their prompts are rendered with, and what is missing."""
    needed = version.tags
    required = [tag for tag in needed if tag not in version.tag_defaults]
    resolved, missing = [], []
    for person, contact in zip(people, contacts, strict=True):
        stored = contact_tags(person.row.phone_number, contact)
        tags = {tag: stored[tag] for tag in needed if tag in stored} | person.prompt_tags
        resolved.append(tags)
        missing += [
            error_detail(
                ["body", "contacts", person.index, "promptTags", tag],
                "The template needs a value for this tag",
                "missing",
            )
            for tag in required
            if tag not in tags and not person.faulty & {tag, "promptTags"}
        ]
    return resolved, missing


def contact_tags(phone_number: str, contact: Contact) -> dict[str, str]:
    """What a prompt may say of the person without being given it; an empty text is no value."""
    tags = {
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "email": contact.email,
        "numberToCall": phone_number,
    }
    return {tag: value for tag, value in tags.items() if value}


def _queued_call(
    person: PersonToCall,
    contact: Contact,
    prompt_tags: dict[str, str],
    batch: Batch,
    now: datetime,
) -> CallLog:
    call_id = uuid4()
    return CallLog(
        id=call_id,
        call_id=call_id,
        campaign=batch.campaign,
        batch=batch,
        not_before=now,
        position=person.index,
        contact=contact,
        phone_number=person.row.phone_number,
        prompt_tags=prompt_tags,
        metadata=person.metadata,
        debt_reference=person.debt_reference,
        consent=person.consent,
    )
