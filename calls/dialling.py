"""Placing calls: claim, commit the intent to dial, and only then ask the provider."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from calls.endings import end_calls
from calls.models import CallLog, ProviderAccount
from calls.providers import provider_of
from calls.providers.base import CallRequest, Ending, PermanentError, Placement, TemporaryError
from calls.queue import wake
from calls.slices import Slice
from calls.statuses import CallStatus
from campaigns.models import Batch, Campaign, CampaignStatus
from contacts.models import Contact, Suppression
from templates.rendering import MissingTag

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
# A call still `dialing` after this long is asked about: nobody knows whether it was placed. A
# provider is therefore asked to place it soon after the claim or not at all.
UNCONFIRMED_AFTER = timedelta(seconds=60)
ASK_WITHIN_SECONDS = 30
UNAVAILABLE_FOR = timedelta(seconds=60)
MAX_THREADS = 8


def place_batch(batch_id: int) -> None:
    """Place calls of a batch for one slice of time, unless another worker is at it."""
    batch = Batch.objects.select_related("campaign__template_version").get(pk=batch_id)
    with batch.hold_lease(LEASE_SECONDS) as is_ours:
        is_unfinished = is_ours and _place_for(Slice(), batch)
    if is_unfinished:
        wake("place_batch", [batch_id])


def _place_for(a_while: Slice, batch: Batch) -> bool:
    """Place calls until none is left to place; True if the time was over first."""
    account = ProviderAccount.objects.default()
    limit = provider_of(account).capabilities.placements_at_once
    with ThreadPoolExecutor(min(limit, MAX_THREADS)) as threads:
        while not a_while.is_over:
            claim = claim_calls(batch, account, limit)
            if claim.found == 0:
                return False
            _place_all(claim.calls, account, threads)
    return True


@dataclass(slots=True)
class Claim:
    """`found` calls were due; `calls` of them are ours to place, the others were ended."""

    found: int = 0
    calls: list[CallLog] = field(default_factory=list)


@transaction.atomic
def claim_calls(batch: Batch, account: ProviderAccount, limit: int) -> Claim:
    """Decide about up to `limit` due calls of the batch and commit the intent to dial them.

    Each contact's row is locked first, so that a suppression or another call to the same person
    is seen; a person in a live call, or whose row is locked just now, is left for later. Claims
    nothing once the lease is lost or the campaign does not run.
    """
    now = timezone.now()
    running = Campaign.objects.filter(pk=batch.campaign_id, status=CampaignStatus.RUNNING)
    if not batch.renew_lease(LEASE_SECONDS) or not running.exists():
        return Claim()
    calls = _one_per_contact(_lock_due(batch, now, limit))
    suppressed = _suppressed(calls, now)
    claim, endings = Claim(found=len(calls)), []
    for call in calls:
        call.campaign = batch.campaign
        try:
            if call.phone_number in suppressed or call.contact_id in suppressed:
                endings.append((call, Ending(CallStatus.SKIPPED, "suppressed"), now))
                continue
            call.freeze_prompts()
        except MissingTag:
            endings.append((call, Ending(CallStatus.FAILED, "missing_tag", is_final=True), now))
            continue
        call.status, call.account, call.started_at = CallStatus.DIALING, account, now
        call.poll_at = now + UNCONFIRMED_AFTER
        claim.calls.append(call)
    CallLog.objects.write(
        claim.calls,
        ["status", "account", "started_at", "poll_at", "system_prompt", "first_message"],
    )
    end_calls(endings)
    return claim


def _suppressed(calls: Sequence[CallLog], now: datetime) -> set[UUID | str]:
    """Contacts and numbers that must not be called: a call may be linked to one contact and dial
    the number of another, who may have asked not to be called.
    """
    named = Q(contact__in=[call.contact_id for call in calls])
    dialled = Q(contact__phone_number__in=[call.phone_number for call in calls])
    rows = Suppression.objects.in_force(now).filter(named | dialled)
    return {item for row in rows.values_list("contact", "contact__phone_number") for item in row}


def _lock_due(batch: Batch, now: datetime, limit: int) -> list[CallLog]:
    live = CallLog.objects.live().filter(contact=OuterRef("contact"))
    due = CallLog.objects.due(now).filter(~Exists(live), batch=batch).order_by("position")
    calls = list(due.select_for_update(skip_locked=True, of=("self",))[:limit])
    contacts = Contact.objects.filter(pk__in={call.contact_id for call in calls})
    locked = set(
        contacts.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
    )
    # Seen only now, with the contacts locked: a call that another batch made live meanwhile.
    busy = set(
        CallLog.objects.live().filter(contact__in=locked).values_list("contact_id", flat=True)
    )
    return [call for call in calls if call.contact_id in locked - busy]


def _one_per_contact(calls: Sequence[CallLog]) -> list[CallLog]:
    return list({call.contact_id: call for call in reversed(calls)}.values())[::-1]


def call_request(call: CallLog) -> CallRequest:
    """A live call as its provider sees it."""
    version = call.campaign.template_version
    if call.started_at is None:
        raise ValueError("the call was never started")
    return CallRequest(
        attempt_id=call.pk,
        attempt=call.attempt,
        number_to=call.phone_number,
        system_prompt=call.system_prompt,
        first_message=call.first_message,
        voice=version.voice,
        language=version.language,
        max_duration_seconds=version.max_duration_seconds,
        outcomes=tuple((o["word"], o["description"]) for o in version.outcomes),
        started_at=call.started_at,
    )


def _place_all(calls: Sequence[CallLog], account: ProviderAccount, threads: Executor) -> None:
    provider = provider_of(account)
    ask_until = time.monotonic() + ASK_WITHIN_SECONDS

    def place(request: CallRequest) -> Placement | Exception:
        if time.monotonic() > ask_until:
            return TemporaryError("not asked in time")
        logger.debug("Placing call %s", request.attempt_id)
        try:
            return provider.place(request)
        except Exception as error:  # whatever it is: the call's own state, not the batch's end
            return error

    placed, refused, postponed = [], [], []
    results = threads.map(place, [call_request(call) for call in calls])
    now = timezone.now()
    for call, result in zip(calls, results, strict=True):
        match result:
            case Placement():
                call.provider_call_id = result.provider_call_id
                call.number_from = result.number_from
                call.poll_at = result.poll_at
                placed.append(call)
            case PermanentError():
                refused.append((call, Ending(result.status, result.reason, is_final=True)))
            case TemporaryError():
                postponed.append(call.pk)
            case _:
                logger.warning("Call %s may be placed: %s", call.pk, type(result).__name__)
    _write_placed(placed)
    _end_refused(refused)
    _postpone(postponed, now)
    if any(call.poll_at and call.poll_at <= now for call in placed):
        wake("poll_calls")


def _write_placed(placed: Sequence[CallLog]) -> None:
    """Note the placements; one that the database refuses costs none of the others theirs."""
    fields = ["provider_call_id", "number_from", "poll_at"]
    try:
        CallLog.objects.write(placed, fields)
    except (DataError, IntegrityError):
        for call in placed:
            try:
                CallLog.objects.write([call], fields)
            except (DataError, IntegrityError) as error:
                logger.error("Call %s keeps no placement: %s", call.pk, type(error).__name__)


@transaction.atomic
def _end_refused(refused: Sequence[tuple[CallLog, Ending]]) -> None:
    now = timezone.now()
    untouched = CallLog.objects.filter(status=CallStatus.DIALING, provider_call_id="")
    locked = untouched.order_by("pk").select_for_update().in_bulk([call.pk for call, _ in refused])
    end_calls([(locked[call.pk], ending, now) for call, ending in refused if call.pk in locked])


def _postpone(ids: Sequence[UUID], now: datetime) -> None:
    """Queue again what was certainly not placed."""
    untouched = CallLog.objects.filter(status=CallStatus.DIALING, provider_call_id="")
    untouched.filter(pk__in=ids).update(
        status=CallStatus.QUEUED,
        account=None,
        started_at=None,
        poll_at=None,
        system_prompt="",
        first_message="",
        not_before=now + UNAVAILABLE_FOR,
    )
