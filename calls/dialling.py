"""Placing calls: claim, commit the intent to dial, and only then ask the provider."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import Exists, Min, OuterRef, Q

from calls.accounts import account_of
from calls.caller_numbers import NumbersOfToday, active_numbers
from calls.dispatch import campaigns_waiting, dispatch
from calls.endings import OVERLAPPING, end_calls
from calls.models import CallLog, ProviderAccount
from calls.overdue import overdue_task
from calls.pacing import MAX_WAIT_SECONDS, NotAsked, find_room, note_results, use_room
from calls.providers import provider_of
from calls.providers.base import (
    AccountError,
    CallRequest,
    Ending,
    PermanentError,
    Placement,
    TemporaryError,
)
from calls.queue import wake
from calls.slices import Slice
from calls.statuses import LIVE, CallStatus
from campaigns.clock import database_now
from campaigns.models import Batch, Campaign, CampaignStatus
from contacts.models import Contact, Suppression
from templates.rendering import MissingTag

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30
# A call still `dialing` after this long is asked about: nobody knows whether it was placed. Only
# then is a provider's word that it never saw the call believed; a request takes less.
UNCONFIRMED_AFTER = timedelta(seconds=60)
# When a provider's answer was lost, it is asked sooner.
ASK_AFTER_LOSS = timedelta(seconds=5)
# A claimed call is handed over within this time or not at all, so that a pause is soon in force.
ASK_WITHIN_SECONDS = 1.0
# A call that was certainly not taken waits for so long, the longer the more often; refused so
# often by a provider that takes others, it ends.
POSTPONED_FOR = timedelta(seconds=5)
MAX_REFUSALS = 10
# A batch whose calls wait for other calls to the same people is looked at again after this.
BLOCKED_FOR = timedelta(seconds=5)
# Where nobody is in the way any more, but somebody was just now, at once would be too often.
FREED_FOR = timedelta(seconds=1)
# How often a worker asks whether something else is more urgent than its batch.
LOOK_UP_SECONDS = 1.0
MAX_THREADS = 32
CLAIM_FIELDS = (
    "status",
    "account",
    "started_at",
    "poll_at",
    "number_from",
    "system_prompt",
    "first_message",
)
PLACED_FIELDS = (
    "account",
    "started_at",
    "poll_at",
    "hang_up_at",
    "provider_call_id",
    "number_from",
)


def place_batch(batch_id: int) -> None:
    """Place calls of a batch for one slice of time, unless another worker is at it."""
    batch = Batch.objects.select_related("campaign__template_version").get(pk=batch_id)
    with batch.hold_lease(LEASE_SECONDS) as is_ours:
        if not is_ours:
            return
        _place_for(Slice(), batch)
    dispatch()


class Halt(Enum):
    """Why a worker leaves a batch."""

    LOST = auto()  # the lease is another's, or the campaign does not run
    NOTHING_DUE = auto()
    NO_ROOM = auto()  # until a call ends, or a hold does, or the day of its caller numbers
    OTHERS_TURN = auto()
    TIME_OVER = auto()


def _place_for(a_while: Slice, batch: Batch) -> None:
    """Place calls until there is a reason to stop, and leave the batch so that others find it."""
    halt = Halt.TIME_OVER
    look_up_at = time.monotonic() + LOOK_UP_SECONDS
    with ThreadPoolExecutor(MAX_THREADS) as threads:
        while not a_while.is_over:
            if time.monotonic() > look_up_at:
                if overdue_task():
                    break
                look_up_at = time.monotonic() + LOOK_UP_SECONDS
            claim = claim_calls(batch)
            if claim.calls:
                _place_all(claim, threads)
            if claim.halt:
                halt = claim.halt
                break
            if claim.wait:
                time.sleep(min(claim.wait, max(0, a_while.seconds_left)))
    leave_batch(batch, halt)


@transaction.atomic
def leave_batch(batch: Batch, halt: Halt) -> None:
    """Give the batch's turn back, and note when something of it may be due next."""
    # Locked before the calls are read: a retry that is written meanwhile is seen, or notes itself.
    if not Batch.objects.filter(pk=batch.pk).select_for_update(no_key=True).exists():
        return
    note: dict[str, datetime | None] = {"woken_at": None}
    if halt is Halt.NOTHING_DUE:
        note["due_at"] = _next_due(batch)
    Batch.objects.filter(pk=batch.pk, lease_token=batch.lease_token).update(**note)


def _next_due(batch: Batch) -> datetime | None:
    """When to look at a batch again in which nothing could be claimed: when its next call is due,
    or soon, where people are on the line; and sooner, where they are not any more.
    """
    now = database_now()
    due_at: datetime | None = batch.calls.queued().aggregate(at=Min("not_before"))["at"]
    if due_at is None or due_at > now:
        return due_at
    is_free = batch.calls.due(now).filter(_person_is_free()).exists()
    return now + (FREED_FOR if is_free else BLOCKED_FOR)


@dataclass(slots=True)
class Claim:
    """`found` calls were due; `calls` of them are ours to place with `account`, the others were
    ended. Then the worker goes on after `wait` seconds, or leaves the batch for the reason `halt`.
    """

    found: int = 0
    calls: list[CallLog] = field(default_factory=list)
    account: ProviderAccount | None = None
    at: datetime = field(default_factory=database_now)
    halt: Halt | None = None
    wait: float = 0.0


@transaction.atomic
def claim_calls(batch: Batch) -> Claim:
    """Decide about due calls of the batch, as many as the account has room for, and commit the
    intent to dial them.

    Each contact's row is locked first, so that a suppression or another call to the same person
    is seen; a person in a live call, or whose row is locked just now, is left for later. Claims
    nothing once the lease is lost or the campaign does not run.
    """
    if not batch.renew_lease(LEASE_SECONDS):
        return Claim(halt=Halt.LOST)
    account = account_of(batch.campaign_id)
    numbers = active_numbers(account)
    has_caps = any(number.daily_cap for number in numbers)
    account, room, now = find_room(account, placements_at_once(account), has_caps=has_caps)
    # Asked only now: for the account this claim may have waited.
    running = Campaign.objects.filter(pk=batch.campaign_id, status=CampaignStatus.RUNNING)
    if not running.exists():
        return Claim(halt=Halt.LOST)
    if not room.calls:
        if room.wait is None or room.wait > MAX_WAIT_SECONDS:
            return Claim(halt=Halt.NO_ROOM)
        return Claim(wait=room.wait)
    today = NumbersOfToday(account, numbers, now)
    if today.room == 0:  # none is left to call from; tomorrow there is
        return Claim(halt=Halt.NO_ROOM)
    most = room.calls if today.room is None else min(room.calls, today.room)
    waiting = campaigns_waiting(account, now) if account.is_paced else 1
    calls = _one_per_contact(_lock_due(batch, now, -(-most // max(1, waiting))))
    if not calls:
        return Claim(halt=Halt.NOTHING_DUE)
    today.note_people(call.contact_id for call in calls)
    claim = Claim(len(calls), account=account, at=now)
    claim.halt = Halt.OTHERS_TURN if waiting > 1 else None
    suppressed = _suppressed(calls, now)
    endings = []
    for call in calls:
        call.campaign = batch.campaign
        if call.phone_number in suppressed or call.contact_id in suppressed:
            endings.append((call, Ending(CallStatus.SKIPPED, "suppressed"), now))
        elif fault := _fill_prompts(call):
            endings.append((call, Ending(CallStatus.FAILED, fault, is_final=True), now))
        else:
            call.status, call.account, call.started_at = CallStatus.DIALING, account, now
            call.poll_at = now + UNCONFIRMED_AFTER
            call.number_from = today.take(call.contact_id)
            claim.calls.append(call)
    CallLog.objects.write(claim.calls, CLAIM_FIELDS)
    use_room(account, now, len(claim.calls))
    end_calls(endings)
    return claim


def _fill_prompts(call: CallLog) -> str:
    """Why the call's prompts cannot be filled; empty if they are."""
    try:
        call.freeze_prompts()
    except MissingTag:
        return "missing_tag"
    except ValueError:  # a prompt that was stored under other rules
        return "unreadable_prompt"
    return ""


def placements_at_once(account: ProviderAccount) -> int:
    """How many calls one claim may bring: as many as are handed over at once."""
    try:
        return provider_of(account).capabilities.placements_at_once
    except Exception:  # its configuration cannot be read: the placement will say so
        return 1


def _suppressed(calls: Sequence[CallLog], now: datetime) -> set[UUID | str]:
    """Contacts and numbers that must not be called: a call may be linked to one contact and dial
    the number of another, who may have asked not to be called.
    """
    named = Q(contact__in=[call.contact_id for call in calls])
    dialled = Q(contact__phone_number__in=[call.phone_number for call in calls])
    rows = Suppression.objects.in_force(now).filter(named | dialled)
    return {item for row in rows.values_list("contact", "contact__phone_number") for item in row}


def _lock_due(batch: Batch, now: datetime, limit: int) -> list[CallLog]:
    due = CallLog.objects.due(now).filter(_person_is_free(), batch=batch).order_by("position")
    calls = list(due.select_for_update(skip_locked=True, of=("self",))[:limit])
    contacts = Contact.objects.filter(pk__in={call.contact_id for call in calls})
    locked = set(
        contacts.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)
    )
    # Seen only now, with the contacts locked: a call that another batch made live meanwhile.
    busy = CallLog.objects.busy().filter(contact__in=locked)
    free = locked - set(busy.values_list("contact_id", flat=True))
    return [call for call in calls if call.contact_id in free]


def _person_is_free() -> Q:
    same_person = CallLog.objects.filter(contact=OuterRef("contact"))
    return Q(~Exists(same_person.live()), ~Exists(same_person.open_lines()))


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
        tags=version.tag_defaults | call.prompt_tags,
        number_from=call.number_from,
        provider_call_id=call.provider_call_id,
    )


def _place_all(claim: Claim, threads: Executor) -> None:
    """Hand the claimed calls over, all at once, and note what came of it."""
    calls, account = claim.calls, claim.account
    if account is None:
        return
    ask_until = time.monotonic() + ASK_WITHIN_SECONDS

    def place(request: CallRequest) -> Placement | Exception:
        if time.monotonic() > ask_until:
            return NotAsked("not asked in time")
        logger.debug("Placing call %s", request.attempt_id)
        try:
            return provider.place(request)
        except Exception as error:  # whatever it is: the call's own state, not the batch's end
            return error

    results: list[Placement | Exception]
    try:
        provider = provider_of(account)
    except Exception as error:
        unusable = AccountError(f"cannot be used: {type(error).__name__}")
        results = [unusable] * len(calls)
    else:
        results = list(threads.map(place, [call_request(call) for call in calls]))
    note_placements(list(zip(calls, results, strict=True)))
    note_results(account, results, claim.at)


def note_placements(results: Sequence[tuple[CallLog, Placement | Exception]]) -> None:
    """Write down what the provider answered about each claimed call."""
    now = database_now()
    placed, refused, postponed, lost = [], [], [], []
    for call, result in results:
        match result:
            case Placement():
                call.provider_call_id = result.provider_call_id
                call.number_from = call.number_from or result.number_from
                call.poll_at = result.poll_at or now + UNCONFIRMED_AFTER
                placed.append(call)
            case PermanentError():
                refused.append((call, Ending(result.status, result.reason, is_final=True)))
            case TemporaryError():
                postponed.append((call, result))
            case _:
                logger.warning("Call %s may be placed: %s", call.pk, type(result).__name__)
                lost.append(call.pk)
    _write_placed(placed)
    _end_refused(refused)
    _postpone(postponed)
    unconfirmed = CallLog.objects.unconfirmed().filter(pk__in=lost)
    unconfirmed.update(poll_at=now + ASK_AFTER_LOSS)
    if any(call.poll_at and call.poll_at <= now for call in placed):
        wake("poll_calls")


def _write_placed(placed: Sequence[CallLog]) -> None:
    """Note the placements; one that the database refuses costs none of the others theirs."""
    try:
        _write_some_placed(placed)
    except (DataError, IntegrityError):
        for call in placed:
            try:
                _write_some_placed([call])
            except (DataError, IntegrityError) as error:
                logger.error("Call %s keeps no placement: %s", call.pk, type(error).__name__)


@transaction.atomic
def _write_some_placed(placed: Sequence[CallLog]) -> None:
    """Note the placements in rows that may have moved on meanwhile. An ending stands; the line of a
    call that was ended before its provider was heard of is closed.
    """
    found = CallLog.objects.order_by("pk").select_for_update().in_bulk([c.pk for c in placed])
    for call in placed:
        row = found[call.pk]
        if row.status == CallStatus.QUEUED:  # the worker stood still, and the call was given up
            _take_up(row, call)
            continue
        if row.is_ended and not row.provider_call_id:
            row.hang_up_at = database_now()
        if row.status in LIVE:
            row.poll_at = call.poll_at
        row.account_id = row.account_id or call.account_id
        row.started_at = row.started_at or call.started_at
        row.number_from = row.number_from or call.number_from
        row.provider_call_id = row.provider_call_id or call.provider_call_id
        row.save(update_fields=PLACED_FIELDS)


def _take_up(row: CallLog, call: CallLog) -> None:
    """A call that was queued again has been placed after all: it goes on, or, if its person is in
    another call by now, ends.
    """
    now = database_now()
    row.campaign, row.account, row.started_at = call.campaign, call.account, call.started_at
    row.provider_call_id, row.number_from = call.provider_call_id, call.number_from
    row.system_prompt, row.first_message = call.system_prompt, call.first_message
    others = CallLog.objects.busy().filter(contact=row.contact_id).exclude(pk=row.pk)
    if others.exists():
        row.hang_up_at = now
        end_calls([(row, OVERLAPPING, now)])
    else:
        row.status, row.poll_at = CallStatus.DIALING, call.poll_at
        row.save(update_fields=[*CLAIM_FIELDS, *PLACED_FIELDS])


@transaction.atomic
def _end_refused(refused: Sequence[tuple[CallLog, Ending]]) -> None:
    locked = _lock_unconfirmed([call for call, _ in refused])
    now = database_now()
    end_calls([(locked[call.pk], ending, now) for call, ending in refused if call.pk in locked])


@transaction.atomic
def _postpone(refused: Sequence[tuple[CallLog, TemporaryError]]) -> None:
    """Queue again what was certainly not placed. A call that a provider refuses time and again
    while it takes others ends; while it takes none, the account is held instead.
    """
    if not refused:
        return
    locked = _lock_unconfirmed([call for call, _ in refused])
    now, endings = database_now(), []
    for call, error in refused:
        if call.pk not in locked:
            continue
        row = locked[call.pk]
        if isinstance(error, NotAsked):
            row.queue_again(now)
            continue
        if row.refused_at is None or _has_taken_others(row.account_id, row.refused_at):
            row.refusals += 1
        row.refused_at = now
        if row.refusals >= MAX_REFUSALS:
            endings.append((row, Ending(CallStatus.FAILED, error.reason), now))
        else:
            row.queue_again(now + POSTPONED_FOR * (1 + row.refusals))
    end_calls(endings)


def _has_taken_others(account_id: int | None, since: datetime) -> bool:
    """Has the account's provider taken a call that was claimed after this time?"""
    taken = CallLog.objects.filter(account=account_id, started_at__gt=since)
    return taken.exclude(provider_call_id="").exists()


def _lock_unconfirmed(calls: Sequence[CallLog]) -> dict[UUID, CallLog]:
    """Those of the calls of which nothing was heard since they were claimed."""
    rows = CallLog.objects.unconfirmed().with_context()
    locked = rows.order_by("pk").select_for_update(of=("self",))
    return locked.in_bulk([call.pk for call in calls])
