"""Campaigns made from others: the calls that failed once more, or all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from calls.control import NotAllowed
from calls.models import CallLog
from calls.models.call_log import CallLogQuerySet
from calls.services import INSERT_CHUNK, contact_tags
from calls.statuses import TIMED_OUT, UNKNOWN, CallStatus
from campaigns.clock import database_now
from campaigns.models import ENDED_CAMPAIGN, Batch, Campaign, CampaignSource, CampaignStatus
from contacts.models import Suppression
from templates.models import TemplateVersion

RETRIED = (CallStatus.NO_ANSWER, CallStatus.BUSY, CallStatus.VOICEMAIL, CallStatus.FAILED)
# How calls end of which nobody knows whether the person was spoken to.
UNCERTAIN = (UNKNOWN, TIMED_OUT)
# What the contact gives where the call has no such tag.
CONTACT_FIELDS = {"firstName": "first_name", "lastName": "last_name", "email": "email"}
MAX_NAME = 120
# Long, and left behind.
NOT_COPIED = (
    "system_prompt",
    "first_message",
    "outcome_reasoning",
    "sentiment_reasoning",
    "summary",
    "transcript",
)


@dataclass(frozen=True, slots=True)
class RetryCounts:
    """How many calls a retry takes, and how many of those that failed it leaves out: with an end
    that nobody knows, or of people (or numbers) under a suppression.
    """

    calls: int
    uncertain: int
    suppressed: int

    @property
    def left_out(self) -> list[str]:
        """A sentence per reason why calls are left out."""
        sentences = []
        if self.uncertain:
            text = ngettext(
                "%d call is left out: how it ended is not known, so the person may have been"
                " spoken to.",
                "%d calls are left out: how they ended is not known, so the people may have been"
                " spoken to.",
                self.uncertain,
            )
            sentences.append(text % self.uncertain)
        if self.suppressed:
            text = ngettext(
                "%d call is left out: the person must not be called.",
                "%d calls are left out: the people must not be called.",
                self.suppressed,
            )
            sentences.append(text % self.suppressed)
        return sentences


@dataclass(frozen=True, slots=True)
class Copy:
    """A campaign that was made from another, a draft of so many calls, and in a sentence per
    reason what was left out.
    """

    campaign: Campaign
    calls: int
    left_out: Sequence[str] = ()


def count_retry(campaign: Campaign) -> RetryCounts:
    """What `retry_failed` would do. Raises `NotAllowed` where that would refuse."""
    campaign.refresh_from_db(fields=["status"])
    if campaign.status not in ENDED_CAMPAIGN:
        text = _("Only what has ended can be retried: this campaign is %s.")
        raise NotAllowed(text % campaign.get_status_display())
    failed, is_suppressed = _failed(campaign), _is_suppressed()
    uncertain = Q(ended_reason__in=UNCERTAIN)
    counts = RetryCounts(
        calls=failed.exclude(uncertain).exclude(is_suppressed).count(),
        uncertain=failed.filter(uncertain).count(),
        suppressed=failed.exclude(uncertain).filter(is_suppressed).count(),
    )
    if not counts.calls:
        text = _("No call of this campaign can be retried.")
        raise NotAllowed(" ".join([text, *counts.left_out]))
    return counts


@transaction.atomic
def retry_failed(
    campaign: Campaign,
    created_by: Any = None,
    name: str = "",
    *,
    source: CampaignSource = CampaignSource.COMMAND,
    campaign_id: UUID | None = None,
) -> Copy:
    """Make a draft of the calls whose last attempt ended unanswered, at voicemail, or failed, with
    the same version of the template.

    A campaign of its own, for webhooks were told of the last attempts and of the campaign's end.
    Left out is who may have been spoken to, and who is under a suppression: see `count_retry`.
    Raises `NotAllowed`, and `IntegrityError` if there is a campaign with the id `campaign_id`.
    """
    counts = count_retry(campaign)
    calls = _failed(campaign).exclude(ended_reason__in=UNCERTAIN).exclude(_is_suppressed())
    copy = _draft(
        campaign,
        campaign.template_version,
        id=campaign_id or uuid4(),
        name=name or _named(_("Retry of %s"), campaign),
        source=source,
        created_by=created_by,
    )
    copied = _copy_calls(calls, copy, _own_tags)
    return Copy(copy, copied, counts.left_out)


def check_clone(campaign: Campaign) -> TemplateVersion:
    """The version of the template that a clone gets, its newest. Raises `NotAllowed` if that needs
    tags that some call lacks.
    """
    version = campaign.template_version.template.current
    required = [tag for tag in version.tags if tag not in version.tag_defaults]
    missing = {f"lack_{place}": _lacks(tag) for place, tag in enumerate(required)}
    counts = _last_attempts(campaign).aggregate(
        **{key: Count("pk", filter=lacks) for key, lacks in missing.items()}
    )
    lacking = [
        f"{tag} ({counts[key]})" for key, tag in zip(missing, required, strict=True) if counts[key]
    ]
    if lacking:
        text = _("Version %(number)d of the template needs tags that calls lack: %(tags)s.")
        raise NotAllowed(text % {"number": version.number, "tags": ", ".join(lacking)})
    return version


@transaction.atomic
def clone_campaign(
    campaign: Campaign,
    created_by: Any = None,
    name: str = "",
    *,
    source: CampaignSource = CampaignSource.COMMAND,
    campaign_id: UUID | None = None,
) -> Copy:
    """Make a draft of all calls, with the newest version of the template.

    Tags that this version uses and a call lacks are taken from the contact, as in a launch.
    Raises `NotAllowed`, and `IntegrityError` if there is a campaign with the id `campaign_id`.
    """
    version = check_clone(campaign)
    copy = _draft(
        campaign,
        version,
        id=campaign_id or uuid4(),
        name=name or _named(_("Copy of %s"), campaign),
        source=source,
        created_by=created_by,
    )
    needed = version.tags

    def tags(call: CallLog) -> dict[str, str]:
        stored = contact_tags(call.phone_number, call.contact)
        return {tag: stored[tag] for tag in needed if tag in stored} | _own_tags(call)

    calls = _last_attempts(campaign).select_related("contact")
    return Copy(copy, _copy_calls(calls, copy, tags))


def _last_attempts(campaign: Campaign) -> CallLogQuerySet:
    return CallLog.objects.filter(campaign=campaign).last_attempts()


def _failed(campaign: Campaign) -> CallLogQuerySet:
    return _last_attempts(campaign).filter(status__in=RETRIED)


def _is_suppressed() -> Q:
    """Is the contact, or whoever has the number that was dialled, not to be called?"""
    in_force = Suppression.objects.in_force(database_now())
    named = in_force.filter(contact=OuterRef("contact"))
    dialled = in_force.filter(contact__phone_number=OuterRef("phone_number"))
    return Q(Exists(named) | Exists(dialled))


def _lacks(tag: str) -> Q:
    """Has a call no value for this tag, nor its contact?"""
    lacks = ~Q(prompt_tags__has_key=tag)
    if tag == "numberToCall":
        return lacks & Q(phone_number="")
    return lacks & Q(**{f"contact__{CONTACT_FIELDS[tag]}": ""}) if tag in CONTACT_FIELDS else lacks


def _named(pattern: str, campaign: Campaign) -> str:
    return (pattern % campaign)[:MAX_NAME]


def _draft(original: Campaign, version: TemplateVersion, **fields: Any) -> Campaign:
    return Campaign.objects.create(
        template_version=version,
        account_id=original.account_id,
        country_code=original.country_code,
        batch_size=original.batch_size,
        status=CampaignStatus.DRAFT,
        copied_from=original,
        **fields,
    )


def _copy_calls(
    calls: CallLogQuerySet, campaign: Campaign, tags: Callable[[CallLog], dict[str, str]]
) -> int:
    """Queue these calls once more in `campaign`, whole batches at a time; return how many."""
    originals = calls.order_by("position", "pk").defer(*NOT_COPIED).iterator(INSERT_CHUNK)
    size = campaign.batch_size
    now, copied = database_now(), 0
    while chunk := list(islice(originals, INSERT_CHUNK // size * size)):
        first, count = copied // size + 1, -(-len(chunk) // size)
        batches = Batch.objects.bulk_create(
            Batch(campaign=campaign, number=number, due_at=now)
            for number in range(first, first + count)
        )
        CallLog.objects.bulk_create(
            _copy_call(call, tags(call), batches[place // size], copied + place, now)
            for place, call in enumerate(chunk)
        )
        copied += len(chunk)
    return copied


def _own_tags(call: CallLog) -> dict[str, str]:
    tags: dict[str, str] = call.prompt_tags
    return tags


def _copy_call(
    call: CallLog, prompt_tags: dict[str, str], batch: Batch, position: int, now: datetime
) -> CallLog:
    """The first attempt of another call, of the same person for the same debt."""
    call_id = uuid4()
    return CallLog(
        id=call_id,
        call_id=call_id,
        campaign_id=batch.campaign_id,
        batch=batch,
        position=position,
        contact_id=call.contact_id,
        phone_number=call.phone_number,
        prompt_tags=prompt_tags,
        metadata=call.metadata,
        debt_reference=call.debt_reference,
        consent=call.consent,
        not_before=now,
    )
