"""Closing the lines of calls that have ended for us, but may still ring or be talked on.

A line is closed when its provider has said so; until then its contact is not called again.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import transaction

from calls.dialling import UNCONFIRMED_AFTER, call_request
from calls.endings import wake_contacts
from calls.models import CallLog, SingletonTask
from calls.providers import provider_of
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60
LINES_AT_ONCE = 64
THREADS = 8
ASK_AGAIN_AFTER = timedelta(seconds=5)
# After this no line is open any more, whatever its provider says.
GIVE_UP_AFTER = timedelta(hours=2)


def hang_up() -> None:
    """Have the providers close every line that is to be closed; one worker at a time does."""
    SingletonTask.repeat("hang_up", LEASE_SECONDS, _hang_up_some)


def _hang_up_some() -> bool:
    calls = _claim()
    if calls:
        _hang_up(calls)
    return bool(calls)


@transaction.atomic
def _claim() -> list[CallLog]:
    """Take lines to close; whoever dies over them leaves them to be closed later."""
    now = database_now()
    due = CallLog.objects.to_hang_up(now).order_by("hang_up_at").select_for_update(skip_locked=True)
    ids = list(due.values_list("pk", flat=True)[:LINES_AT_ONCE])
    CallLog.objects.filter(pk__in=ids).update(hang_up_at=now + ASK_AGAIN_AFTER)
    calls = CallLog.objects.filter(pk__in=ids)
    return list(calls.select_related("account", "campaign__template_version"))


def _hang_up(calls: Sequence[CallLog]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(_ask, calls))
    now = database_now()
    closed = []
    for call, is_closed in zip(calls, answers, strict=True):
        age = now - (call.started_at or now)
        if is_closed and (call.provider_call_id or age >= UNCONFIRMED_AFTER):
            closed.append(call)
        elif age >= GIVE_UP_AFTER:
            logger.error("The line of call %s is given up: its provider does not close it", call.pk)
            closed.append(call)
        # A call that the provider has not seen may be on its way to it: it is asked again.
    with transaction.atomic():
        rows = CallLog.objects.filter(pk__in=[call.pk for call in closed])
        list(rows.order_by("pk").select_for_update().values_list("pk"))
        rows.update(hang_up_at=None)
        wake_contacts(call.contact_id for call in closed)


def _ask(call: CallLog) -> bool:
    """Ask the provider to close the line; False if it could not be asked. Uses no database."""
    if call.account is None:
        return True
    try:
        provider_of(call.account).cancel(call_request(call))
    except Exception as error:
        logger.warning("The line of call %s is open: %s", call.pk, type(error).__name__)
        return False
    return True
