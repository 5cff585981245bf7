import json
from typing import Any
from uuid import uuid4

from django.utils import timezone

from calls.models import CallLog, ProviderAccount, WebhookEndpoint
from calls.schemas import read_bulk_request
from calls.services import Launch, launch_campaign
from calls.statuses import LIVE, TERMINAL
from campaigns.models import CampaignSource
from campaigns.tests.factories import make_batch
from contacts.tests.factories import make_contact


def make_call(**what_matters: Any) -> CallLog:
    """A call log in any status, with what that status needs."""
    batch = what_matters.pop("batch", None) or make_batch()
    contact = what_matters.pop("contact", None) or make_contact()
    call_id = uuid4()
    fields = {
        "id": call_id,
        "call_id": call_id,
        "batch": batch,
        "campaign": batch.campaign,
        "contact": contact,
        "phone_number": contact.phone_number,
        "position": batch.calls.count(),
        "prompt_tags": {"amount": "5,000 SAR"},
    }
    status = what_matters.get("status")
    if status in LIVE or status in TERMINAL:
        fields |= {"account": ProviderAccount.objects.default(), "started_at": timezone.now()}
    if status in TERMINAL:
        fields |= {"ended_at": timezone.now()}
    return CallLog.objects.create(**fields | what_matters)


def make_endpoint(**what_matters: Any) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.create(**{"url": "http://127.0.0.1:9/hooks"} | what_matters)
    endpoint.add_secret()
    return endpoint


def bulk_body(*contacts: dict[str, Any], **fields: Any) -> bytes:
    """A bulk request; contacts without a tag `amount` get one."""
    people = [{"promptTags": {"amount": "5,000 SAR"}} | contact for contact in contacts]
    return json.dumps({"contacts": people} | fields).encode()


def launch(*contacts: dict[str, Any], **fields: Any) -> Launch:
    return launch_campaign(read_bulk_request(bulk_body(*contacts, **fields)), CampaignSource.API)
