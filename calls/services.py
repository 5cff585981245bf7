"""Launching a campaign: from a request that was read to calls that are queued."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.utils import timezone

from calls.models import CallLog
from calls.queue import wake
from calls.schemas import BulkRequest, PersonToCall, by_contact
from campaigns.models import Batch, Campaign, CampaignSource
from contacts.models import Contact
from contacts.validation import ErrorDetail, InvalidInput, error_detail
from templates.models import AISettingsTemplate, TemplateVersion

INSERT_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Launch:
    """What came of a request; `calls` keeps the request's order."""

    campaign: Campaign
    batches: int
    calls: list[CallLog]


@transaction.atomic
def launch_campaign(
    request: BulkRequest,
    source: CampaignSource,
    *,
    name: str = "",
    api_client_id: UUID | None = None,
    created_by: Any = None,
) -> Launch:
    """Store the campaign, its contacts, batches and calls, and wake a worker for each batch.

    All or nothing: raises `InvalidInput` naming every offending element, and stores nothing.
    """
    version = _find_version(request)
    contacts = Contact.objects.upsert(
        (person.row for person in request.people), update_existing=request.update_existing
    )
    tags, missing = _resolve_tags(request.people, contacts, version)
    if errors := request.errors + missing:
        raise InvalidInput(sorted(errors, key=by_contact))

    campaign = Campaign.objects.create(
        name=name,
        source=source,
        template_version=version,
        country_code=request.country_code,
        batch_size=request.batch_size,
        api_client_id=api_client_id,
        created_by=created_by,
    )
    now = timezone.now()
    count = -(-len(request.people) // campaign.batch_size)
    batches = Batch.objects.bulk_create(
        Batch(campaign=campaign, number=number, woken_at=now) for number in range(1, count + 1)
    )
    calls = [
        _queued_call(person, prompt_tags, contacts, campaign, batches)
        for person, prompt_tags in zip(request.people, tags, strict=True)
    ]
    CallLog.objects.bulk_create(calls, batch_size=INSERT_CHUNK)
    wake("place_batch", [batch.pk for batch in batches])
    return Launch(campaign, count, calls)


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
    people: Sequence[PersonToCall],
    contacts: Mapping[str, Contact],
    version: TemplateVersion,
) -> tuple[list[dict[str, str]], list[ErrorDetail]]:
    """For each person the tags that their prompts are rendered with, and what is missing."""
    needed = version.tags
    required = [tag for tag in needed if tag not in version.tag_defaults]
    resolved, missing = [], []
    for person in people:
        stored = _contact_tags(contacts[person.row.phone_number])
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


def _contact_tags(contact: Contact) -> dict[str, str]:
    """What a prompt may say of the person without being given it; an empty text is no value."""
    tags = {
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "email": contact.email,
        "numberToCall": contact.phone_number,
    }
    return {tag: value for tag, value in tags.items() if value}


def _queued_call(
    person: PersonToCall,
    prompt_tags: dict[str, str],
    contacts: Mapping[str, Contact],
    campaign: Campaign,
    batches: Sequence[Batch],
) -> CallLog:
    call_id = uuid4()
    return CallLog(
        id=call_id,
        call_id=call_id,
        campaign=campaign,
        batch=batches[person.index // campaign.batch_size],
        position=person.index,
        contact=contacts[person.row.phone_number],
        phone_number=person.row.phone_number,
        prompt_tags=prompt_tags,
        metadata=person.metadata,
        debt_reference=person.debt_reference,
        consent=person.consent,
    )
