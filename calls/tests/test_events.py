from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from calls.events import record_event, record_events
from calls.models import CallLog, ProviderAccount, ProviderEvent, WebhookDelivery
from calls.payloads import call_data
from calls.providers.base import Ending, Event, EventKind
from calls.statuses import CallStatus
from calls.tests.factories import make_call, make_endpoint
from campaigns.tests.factories import make_batch, make_campaign
from contacts.models import Suppression
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
NOW = timezone.now() - timedelta(minutes=2)


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccount.objects.default()


@pytest.fixture
def call(account: ProviderAccount) -> CallLog:
    return make_call(status=CallStatus.DIALING, started_at=NOW)


def ringing(call: CallLog, **fields: Any) -> Event:
    return event(call, EventKind.RINGING, 1, **fields)


def answered(call: CallLog, **fields: Any) -> Event:
    return event(call, EventKind.ANSWERED, 2, **fields)


def ended(call: CallLog, status: CallStatus = CallStatus.COMPLETED, **ending: Any) -> Event:
    return event(call, EventKind.ENDED, 60, ending=Ending(status, "customer_ended_call", **ending))


def event(call: CallLog, kind: EventKind, seconds: int, **what_matters: Any) -> Event:
    fields: dict[str, Any] = {
        "event_id": f"{call.pk}:{kind}",
        "kind": kind,
        "occurred_at": NOW + timedelta(seconds=seconds),
        "provider_call_id": f"p-{call.pk}",
        "attempt_id": call.pk,
    } | what_matters
    return Event(**fields)


def test_events_move_a_call_forward(account, call) -> None:
    record_event(account, ringing(call))
    call.refresh_from_db()
    assert (call.status, call.provider_call_id) == ("ringing", f"p-{call.pk}")
    record_event(account, answered(call))
    call.refresh_from_db()
    assert (call.status, call.answered_at) == ("in_progress", NOW + timedelta(seconds=2))
    record_event(
        account,
        ended(
            call,
            outcome="PROMISE_TO_PAY",
            duration_seconds=58,
            transcript="Agent: مرحبا",
            summary="Pays.",
            sentiment="POSITIVE",
        ),
    )
    call.refresh_from_db()
    assert (call.status, call.outcome, call.duration_seconds) == ("completed", "PROMISE_TO_PAY", 58)
    assert (call.ended_reason, call.transcript) == ("customer_ended_call", "Agent: مرحبا")
    assert call.ended_at == NOW + timedelta(seconds=60)


def test_reordered_and_repeated_events_change_nothing_that_is_further_on(account, call) -> None:
    for told in (ended(call), answered(call), ringing(call), ended(call, CallStatus.BUSY)):
        record_event(account, told)
    call.refresh_from_db()
    assert (call.status, call.answered_at) == ("completed", None)
    assert ProviderEvent.objects.filter(call=call).count() == 3


def test_events_told_together_are_applied_in_their_order(account, call) -> None:
    record_events(account, [ended(call), ringing(call), answered(call)])
    call.refresh_from_db()
    assert (call.status, call.answered_at) == ("completed", NOW + timedelta(seconds=2))


def test_the_first_ending_is_the_ending(account, call) -> None:
    make_endpoint()
    first = ended(call, CallStatus.NO_ANSWER)
    second = event(call, EventKind.ENDED, 90, event_id="2", ending=Ending(CallStatus.BUSY, "x"))
    record_events(account, [first, second])
    record_event(account, second)
    call.refresh_from_db()
    assert call.status == "no_answer"
    assert WebhookDelivery.objects.count() == 1


def test_a_call_is_found_by_the_providers_id_when_ours_is_not_echoed(account) -> None:
    call = make_call(status=CallStatus.DIALING, provider_call_id="p-1")
    record_event(account, ringing(call, attempt_id=None, provider_call_id="p-1"))
    call.refresh_from_db()
    assert call.status == "ringing"


def test_what_was_dialled_from_is_learnt_when_the_placement_was_lost(account, call) -> None:
    record_event(account, ringing(call, number_from="+12025550100"))
    call.refresh_from_db()
    assert call.number_from == "+12025550100"


def test_of_two_queued_calls_to_a_person_that_ring_at_once_one_is_followed(account) -> None:
    first = make_call()
    second = make_call(contact=first.contact)
    record_events(account, [ringing(first), ringing(second)])
    statuses = sorted(CallLog.objects.values_list("status", flat=True))
    assert statuses == ["failed", "ringing"]


def test_an_event_of_an_unknown_call_is_kept_and_breaks_nothing(account, call) -> None:
    unknown = ringing(call, attempt_id=None, provider_call_id="nobody's")
    record_event(account, unknown)
    record_event(account, unknown)
    assert ProviderEvent.objects.get().call is None


def test_an_event_from_another_account_moves_nothing(call) -> None:
    other = ProviderAccount.objects.create(name="other", provider="simulated")
    record_event(other, ended(call))
    call.refresh_from_db()
    assert call.status == "dialing"


def test_an_event_for_a_call_that_was_queued_again_proves_that_it_was_placed(account) -> None:
    call = make_call()
    record_event(account, answered(call))
    call.refresh_from_db()
    assert (call.status, call.account) == ("in_progress", account)


def test_such_a_call_ends_when_the_person_is_in_another_call_by_now(account) -> None:
    call = make_call()
    other = make_call(contact=call.contact, status=CallStatus.RINGING)
    record_events(account, [answered(call), answered(other)])
    call.refresh_from_db()
    other.refresh_from_db()
    assert (call.status, call.ended_reason) == ("failed", "overlapping_call")
    assert other.status == "in_progress"


def test_an_outcome_that_the_template_does_not_list_is_not_stored(account, call) -> None:
    record_event(account, ended(call, outcome="NEVER_HEARD"))
    call.refresh_from_db()
    assert (call.status, call.outcome) == ("completed", "")


@pytest.mark.parametrize("status", [CallStatus.VOICEMAIL, CallStatus.BUSY])
def test_only_a_conversation_has_an_outcome(account, call, status) -> None:
    record_event(account, ended(call, status, outcome="DO_NOT_CALL"))
    call.refresh_from_db()
    assert call.outcome == ""
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("outcome", "reason"), [("DO_NOT_CALL", "do_not_call"), ("WRONG_NUMBER", "wrong_number")]
)
def test_who_asks_not_to_be_called_is_suppressed_in_the_same_transaction(
    account, call, outcome: str, reason: str
) -> None:
    record_event(account, ended(call, outcome=outcome))
    suppression = Suppression.objects.in_force().get(contact=call.contact)
    assert suppression.reason == reason


def test_nul_characters_of_a_provider_do_no_harm(account, call) -> None:
    record_event(account, ended(call, transcript="a\0b\ud800", summary="\0"))
    call.refresh_from_db()
    assert call.transcript == "ab"


def test_each_subscribed_enabled_endpoint_gets_one_delivery(account, call) -> None:
    wanted = {make_endpoint().pk, make_endpoint().pk}
    make_endpoint(disabled_at=NOW)
    make_endpoint(events=[])
    record_event(account, ended(call))
    assert set(WebhookDelivery.objects.values_list("endpoint_id", flat=True)) == wanted


def retried_call(times: int = 2, **content: Any) -> CallLog:
    rule = {"no_answer": {"after_minutes": 240, "times": times}}
    campaign = make_campaign(template_version=make_template(retry_rule=rule, **content).current)
    return make_call(
        batch=make_batch(campaign=campaign),
        status=CallStatus.DIALING,
        metadata={"invoice": 1},
        debt_reference="D-1",
    )


def test_without_a_rule_there_is_no_second_attempt(account, call) -> None:
    record_event(account, ended(call, CallStatus.NO_ANSWER))
    assert CallLog.objects.get().is_last_attempt


def test_a_retry_is_a_row_written_with_the_end_of_the_attempt_before(account, settings) -> None:
    settings.SIMULATED_TIME_SCALE = 0.5
    call = retried_call()
    record_event(account, ended(call, CallStatus.NO_ANSWER))
    call.refresh_from_db()
    retry = CallLog.objects.get(attempt=2)
    assert call.ended_at
    assert (call.is_last_attempt, retry.is_last_attempt) == (False, True)
    assert (retry.call_id, retry.status) == (call.call_id, "queued")
    assert retry.not_before == call.ended_at + timedelta(minutes=120)
    same = ("contact_id", "batch_id", "phone_number", "prompt_tags", "metadata", "debt_reference")
    assert all(getattr(retry, name) == getattr(call, name) for name in same)


def test_the_rule_grants_no_more_attempts_than_it_says(account) -> None:
    call = retried_call(times=1)
    record_event(account, ended(call, CallStatus.NO_ANSWER))
    retry = CallLog.objects.get(attempt=2)
    record_event(account, ended(retry, CallStatus.NO_ANSWER))
    assert CallLog.objects.count() == 2
    assert CallLog.objects.filter(is_last_attempt=True).get() == retry


def test_a_person_in_two_calls_of_a_campaign_has_one_budget(account) -> None:
    first = retried_call(times=1, retry_budget=1)
    record_event(account, ended(first, CallStatus.NO_ANSWER))
    second = make_call(batch=first.batch, contact=first.contact, status=CallStatus.DIALING)
    record_event(account, ended(second, CallStatus.NO_ANSWER))
    second.refresh_from_db()
    assert second.is_last_attempt
    assert CallLog.objects.filter(attempt=2).count() == 1


def test_another_status_than_the_rules_is_not_retried(account) -> None:
    record_event(account, ended(retried_call(), CallStatus.COMPLETED))
    assert CallLog.objects.count() == 1


def test_counts_speak_of_calls_not_of_attempts(account) -> None:
    call = retried_call()
    record_event(account, ended(call, CallStatus.NO_ANSWER))
    retry = CallLog.objects.get(attempt=2)
    assert CallLog.objects.counts() == {"status": {"queued": 1}, "outcome": {}}
    record_event(account, ended(retry, outcome="DISPUTE"))
    assert CallLog.objects.counts() == {"status": {"completed": 1}, "outcome": {"DISPUTE": 1}}


def test_the_end_of_a_call_wakes_the_batch_where_the_same_person_waits(
    account, call, django_capture_on_commit_callbacks, monkeypatch
) -> None:
    woken = []
    monkeypatch.setattr("calls.queue.async_task", lambda *args, **_: woken.append(args))
    later = timezone.now() + timedelta(seconds=5)
    waiting = make_call(contact=call.contact, batch=make_batch(due_at=later))
    with django_capture_on_commit_callbacks(execute=True):
        record_event(account, ended(call))
    assert ("calls.tasks.place_batch", waiting.batch_id) in woken


@pytest.mark.parametrize(
    "change",
    [
        {"status": "unheard_of"},
        {"status": "completed"},
        {"status": "dialing"},
        {"ended_at": NOW},
        {"outcome": "PROMISE_TO_PAY"},
        {"call_id": "550e8400-e29b-41d4-a716-446655440000"},
    ],
)
def test_the_database_refuses_what_may_never_be_true(change: dict[str, Any]) -> None:
    call = make_call()
    with pytest.raises(IntegrityError), transaction.atomic():
        CallLog.objects.filter(pk=call.pk).update(**change)


def test_the_database_refuses_a_second_live_call_to_a_person(call) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_call(contact=call.contact, status=CallStatus.RINGING)


def test_the_database_refuses_an_event_twice(account) -> None:
    fields = {"account": account, "event_id": "1", "kind": "ringing", "occurred_at": NOW}
    ProviderEvent.objects.create(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        ProviderEvent.objects.create(**fields)


def test_the_sentiment_of_an_unanswered_call_is_neutral(account, call) -> None:
    record_event(account, ended(call, CallStatus.VOICEMAIL, sentiment="NEGATIVE"))
    call.refresh_from_db()
    assert call_data(call)["sentimentOutput"] == "NEUTRAL"


@pytest.mark.parametrize(
    ("status", "carried", "answered"),
    [
        ("completed", "pass", "pass"),
        ("no_answer", "pass", "fail"),
        ("busy", "pass", "fail"),
        ("voicemail", "pass", "fail"),
        ("rejected", "pass", "fail"),
        ("failed", "fail", "fail"),
        ("invalid_number", "fail", "fail"),
        ("cancelled", "fail", "fail"),
    ],
)
def test_only_a_person_who_answers_is_a_delivery(status: str, carried: str, answered: str) -> None:
    data = call_data(make_call(status=status))
    assert (data["providerStatus"], data["deliveryStatus"]) == (carried, answered)


def test_a_call_of_a_provider_that_reaches_people_is_not_simulated() -> None:
    real = ProviderAccount.objects.create(name="real", provider="real")
    assert call_data(make_call(status="completed", account=real))["simulated"] is False
    assert call_data(make_call(status="completed"))["simulated"] is True


def test_every_attempt_is_told_and_one_of_them_is_the_last(account) -> None:
    make_endpoint()
    record_event(account, ended(retried_call(times=1), CallStatus.NO_ANSWER))
    record_event(account, ended(CallLog.objects.get(attempt=2), CallStatus.NO_ANSWER))
    deliveries = WebhookDelivery.objects.order_by("call__attempt")
    told = [call_data(delivery.call) for delivery in deliveries if delivery.call]
    assert [(d["attempt"], d["isLastAttempt"]) for d in told] == [(1, False), (2, True)]
    assert told[0]["attemptId"] == told[0]["callId"] == told[1]["callId"]
    assert told[1]["attemptId"] != told[1]["callId"]
