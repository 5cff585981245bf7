"""Finding the outcome of conversations whose providers did not tell it in the template's words."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import transaction

from calls.dialling import call_request
from calls.endings import EVALUATION_WITHIN, end_analysis
from calls.evaluation import Answer, evaluator, question_of
from calls.events import record_events
from calls.models import CallLog, SingletonTask
from calls.providers import provider_of
from calls.providers.base import Ending
from calls.statuses import CallStatus
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

LEASE_SECONDS = 90
CALLS_AT_ONCE = 8


def evaluate_calls() -> None:
    """Find every outcome that is to be found by now; one worker at a time does."""
    SingletonTask.repeat("evaluate_calls", LEASE_SECONDS, _evaluate_some)


def _evaluate_some() -> bool:
    calls = _claim()
    _ask_providers(calls)
    untold = CallLog.objects.filter(pk__in=[call.pk for call in calls], evaluate_at__isnull=False)
    rows = list(untold.with_context().select_related("contact"))
    questions = [question_of(call) for call in rows]
    with ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
        answers = list(threads.map(evaluator().evaluate, questions))
    for call, answer in zip(rows, answers, strict=True):
        _complete(call, answer)
    return bool(calls)


@transaction.atomic
def _claim() -> list[CallLog]:
    """Take conversations to look at; whoever dies over them leaves them to be looked at again."""
    now = database_now()
    due = CallLog.objects.to_evaluate(now).order_by("evaluate_at")
    locked = due.select_for_update(skip_locked=True).values_list("pk", flat=True)
    claimed = CallLog.objects.filter(pk__in=list(locked[:CALLS_AT_ONCE]))
    claimed.update(evaluate_at=now + EVALUATION_WITHIN)
    return list(claimed.with_context())


def _ask_providers(calls: Sequence[CallLog]) -> None:
    """Ask once more for an analysis whose event may have been lost."""
    for call in calls:
        if call.account is None or not call.provider_call_id:
            continue
        try:
            polls = provider_of(call.account).poll([call_request(call)], database_now())
            record_events(call.account, [event for poll in polls for event in poll.events])
        except Exception as error:
            logger.warning("No analysis of call %s: %s", call.pk, type(error).__name__)


@transaction.atomic
def _complete(call: CallLog, answer: Answer) -> None:
    rows = CallLog.objects.filter(pk=call.pk, evaluate_at__isnull=False).with_context()
    row = rows.select_for_update(of=("self",)).first()
    if row is None:  # the provider told it meanwhile
        return
    ending = Ending(
        CallStatus.COMPLETED,
        row.ended_reason,
        outcome=answer.outcome,
        outcome_reasoning=answer.reasoning,
        sentiment=row.sentiment or answer.sentiment,
        sentiment_reasoning=row.sentiment_reasoning or answer.sentiment_reasoning,
        summary=row.summary or answer.summary,
        call_back_at=answer.call_back_at,
    )
    end_analysis(row, ending)
