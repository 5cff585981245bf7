"""Outcomes that are told after the end of a call, or found in its transcript."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from calls.analysis import evaluate_calls
from calls.endings import ANALYSIS_WITHIN, EVALUATION_WITHIN
from calls.events import record_event, record_events
from calls.models import CallLog, ProviderAccount, WebhookDelivery
from calls.providers.base import Ending, Event, EventKind
from calls.statuses import CallStatus
from calls.tests.factories import make_call, make_endpoint
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
WORDS = ("PROMISE_TO_PAY", "DO_NOT_CALL", "CALL_BACK", "NO_COMMITMENT")
RULE = {"CALL_BACK": {"after_minutes": 60, "times": 1}}
STOP = "Agent: Hello.\nCustomer: Please do not call me again."


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccount.objects.default()


@pytest.fixture
def call() -> CallLog:
    """A conversation that is under way, with an endpoint that waits to be told of it."""
    make_endpoint()
    outcomes = [{"word": word, "description": word.lower()} for word in WORDS]
    template = make_template(outcomes=outcomes, retry_rule=RULE)
    batch = make_batch(campaign=make_campaign(template_version=template.current))
    live = {"status": CallStatus.IN_PROGRESS, "provider_call_id": "p-1"}
    return make_call(batch=batch, started_at=timezone.now() - timedelta(minutes=1), **live)


def told(call: CallLog, kind: EventKind = EventKind.ENDED, **ending: Any) -> Event:
    given = Ending(**{"status": CallStatus.COMPLETED, "reason": "hung_up"} | ending)
    return Event(f"{call.pk}:{kind}", kind, timezone.now(), "p-1", call.pk, ending=given)


def waits() -> timedelta:
    """How long the webhook is held."""
    return WebhookDelivery.objects.get().next_attempt_at - timezone.now()


def test_an_outcome_that_is_told_with_the_end_holds_no_webhook(account, call) -> None:
    record_event(account, told(call, outcome="PROMISE_TO_PAY", transcript=STOP))
    call.refresh_from_db()
    assert (call.outcome, call.evaluate_at) == ("PROMISE_TO_PAY", None)
    assert waits() < timedelta(seconds=1)


def test_a_promised_analysis_completes_the_call_and_lets_the_webhook_go(account, call) -> None:
    record_event(account, told(call, analysis_follows=True))
    assert waits() > ANALYSIS_WITHIN + EVALUATION_WITHIN - timedelta(seconds=5)
    analysis = {"outcome": "PROMISE_TO_PAY", "summary": "Pays.", "sentiment": "POSITIVE"}
    record_event(account, told(call, EventKind.ANALYZED, **analysis))
    call.refresh_from_db()
    assert (call.status, call.outcome, call.summary) == ("completed", "PROMISE_TO_PAY", "Pays.")
    assert (call.sentiment, call.evaluate_at) == ("POSITIVE", None)
    assert waits() < timedelta(seconds=1)


def test_an_analysis_has_the_effects_of_its_outcome(account, call) -> None:
    record_event(account, told(call, analysis_follows=True))
    record_event(account, told(call, EventKind.ANALYZED, outcome="CALL_BACK"))
    assert CallLog.objects.get(attempt=2).status == CallStatus.QUEUED
    call.refresh_from_db()
    assert not call.is_last_attempt


def test_end_and_analysis_in_one_message_in_any_order(account, call) -> None:
    analysis = told(call, EventKind.ANALYZED, outcome="DO_NOT_CALL")
    record_events(account, [analysis, told(call, analysis_follows=True)])
    call.refresh_from_db()
    assert (call.outcome, call.evaluate_at) == ("DO_NOT_CALL", None)
    assert call.contact.suppressions.count() == 1


def test_a_repeated_analysis_suppresses_once(account, call) -> None:
    record_event(account, told(call, analysis_follows=True))
    for _ in range(3):
        record_event(account, told(call, EventKind.ANALYZED, outcome="DO_NOT_CALL"))
    assert call.contact.suppressions.count() == 1


def test_a_transcript_without_an_outcome_is_evaluated(account, call) -> None:
    record_event(account, told(call, transcript=STOP))
    assert waits() > timedelta(minutes=1)
    evaluate_calls()
    call.refresh_from_db()
    assert (call.outcome, call.evaluate_at) == ("DO_NOT_CALL", None)
    assert call.outcome_reasoning
    assert call.contact.suppressions.count() == 1
    assert waits() < timedelta(seconds=1)


def test_a_word_that_the_template_does_not_list_is_no_outcome(account, call) -> None:
    record_event(account, told(call, outcome="SOMETHING_ELSE", transcript=STOP))
    evaluate_calls()
    call.refresh_from_db()
    assert call.outcome == "DO_NOT_CALL"


def test_an_analysis_that_never_comes_is_replaced(account, call, let_pass) -> None:
    record_event(account, told(call, transcript=STOP, analysis_follows=True))
    evaluate_calls()
    call.refresh_from_db()
    assert call.evaluate_at, "it may still come"
    let_pass(seconds=ANALYSIS_WITHIN.seconds + 1)
    evaluate_calls()
    call.refresh_from_db()
    assert (call.outcome, call.evaluate_at) == ("DO_NOT_CALL", None)


@pytest.mark.parametrize(
    "ending",
    [
        {"status": CallStatus.VOICEMAIL, "transcript": STOP},
        {"status": CallStatus.COMPLETED},
    ],
)
def test_what_nobody_said_is_not_evaluated(account, call, ending: dict[str, Any]) -> None:
    record_event(account, told(call, **ending))
    call.refresh_from_db()
    assert call.evaluate_at is None
    assert waits() < timedelta(seconds=1)


def test_a_call_that_a_worker_died_over_is_evaluated_by_another(account, call, let_pass) -> None:
    record_event(account, told(call, transcript=STOP))
    CallLog.objects.update(evaluate_at=timezone.now() + EVALUATION_WITHIN)  # it was claimed
    let_pass(seconds=EVALUATION_WITHIN.seconds + 1)
    evaluate_calls()
    call.refresh_from_db()
    assert call.outcome == "DO_NOT_CALL"


def test_the_cost_is_kept(account, call) -> None:
    record_event(account, told(call, outcome="NO_COMMITMENT", cost=Decimal("0.0215")))
    call.refresh_from_db()
    assert (call.cost, call.cost_currency) == (Decimal("0.0215"), "USD")
