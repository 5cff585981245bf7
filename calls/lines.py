"""Closing the lines of calls that have ended for us, but may still ring or be talked on.

A line is closed when its provider has said so; until then its contact is not called again.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from calls.dialling import UNCONFIRMED_AFTER, call_request
from calls.dispatch import dispatch_on_commit
from calls.endings import wake_contacts
from calls.models import CallLog, SingletonTask
from calls.providers import provider_of
from calls.providers.base import CallRequest, Provider
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
# In one round each account has so many of its lines closed, in as many threads: however long a
# dead provider takes over its own, the round takes no longer than one request.
ACCOUNTS_AT_ONCE, LINES_AT_ONCE = 8, 8
# A line that could not be closed is tried again after this, and the later the longer it is open.
ASK_AGAIN_AFTER, LATEST_AGAIN = timedelta(seconds=5), timedelta(seconds=60)
# After this no line is open any more, whatever its provider says.
GIVE_UP_AFTER = timedelta(hours=2)


def hang_up() -> None:
    """Have the providers close every line that is to be closed; one worker at a time does."""
    SingletonTask.repeat("hang_up", LEASE_SECONDS, _hang_up_some)


def _hang_up_some() -> bool:
    calls = _claim()
    if calls:
        _note(calls, _ask(calls))
    return bool(calls)


@transaction.atomic
def _claim() -> list[CallLog]:
    """Take lines to close, some of each account; whoever dies over them leaves them to be closed
    later.
    """
    now = database_now()
    due = CallLog.objects.to_hang_up(now).order_by()
    ids: list[UUID] = []
    for account in due.values_list("account", flat=True).distinct()[:ACCOUNTS_AT_ONCE]:
        lines = due.filter(account=account).order_by("hang_up_at")
        locked = lines.select_for_update(skip_locked=True).values_list("pk", flat=True)
        ids += locked[:LINES_AT_ONCE]
    claimed = CallLog.objects.filter(pk__in=ids)
    claimed.update(hang_up_at=now + ASK_AGAIN_AFTER)
    return list(claimed.with_context())


def _ask(calls: Sequence[CallLog]) -> list[bool]:
    """Ask the providers to close the lines: for each whether it is closed."""
    providers: dict[int, Provider | None] = {}
    for call in calls:
        if call.account and call.account.pk not in providers:
            try:
                providers[call.account.pk] = provider_of(call.account)
            except Exception as error:
                kind = type(error).__name__
                logger.error("Account %s cannot be used: %s", call.account.pk, kind)
                providers[call.account.pk] = None

    def ask(asked: tuple[CallRequest | None, Provider | None]) -> bool:
        request, provider = asked
        if request is None or provider is None:
            return False
        try:
            provider.cancel(request)
        except Exception as error:
            kind = type(error).__name__
            logger.warning("The line of call %s is open: %s", request.attempt_id, kind)
            return False
        return True

    asked = [
        (call_request(call), providers[call.account_id]) if call.account_id else (None, None)
        for call in calls
    ]
    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(ask, asked))


@transaction.atomic
def _note(calls: Sequence[CallLog], answers: Sequence[bool]) -> None:
    now = database_now()
    rows = CallLog.objects.filter(pk__in=[call.pk for call in calls])
    list(rows.order_by("pk").select_for_update().values_list("pk"))
    closed = []
    for call, is_closed in zip(calls, answers, strict=True):
        if _is_over(call, is_closed, now):
            closed.append(call)
        else:
            age = now - (call.ended_at or now)
            wait = min(max(ASK_AGAIN_AFTER, age / 4), LATEST_AGAIN)
            rows.filter(pk=call.pk).update(hang_up_at=now + wait)
    rows.filter(pk__in=[call.pk for call in closed]).update(hang_up_at=None)
    wake_contacts(call.contact_id for call in closed)
    if any(call.account and call.account.is_paced for call in closed):
        dispatch_on_commit()


def _is_over(call: CallLog, is_closed: bool, now: datetime) -> bool:
    """A line that the provider does not know may be on its way to it, unless it has been long."""
    age = now - (call.started_at or call.ended_at or now)
    if is_closed and (call.provider_call_id or age >= UNCONFIRMED_AFTER):
        return True
    if age >= GIVE_UP_AFTER:
        logger.error("The line of call %s is given up: its provider does not close it", call.pk)
        return True
    return False
