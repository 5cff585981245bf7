"""The simulated provider, where a case makes sense: it has no far side to fail."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from calls.control import NotAllowed, cancel_call
from calls.dialling import place_batch
from calls.lines import hang_up
from calls.models import CallLog, ProviderAccount
from calls.polling import poll_calls
from calls.providers.simulated.personas import TRAITS, persona_for
from calls.statuses import CallStatus
from calls.tests.factories import launch
from templates.tests.factories import make_template

pytestmark = [pytest.mark.conformance, pytest.mark.django_db]
STATUSES = sorted({traits.status for traits in TRAITS.values()})


def number_that_ends_as(status: str, seed: str) -> str:
    numbers = (f"+96650{number:07d}" for number in range(10_000))
    return next(n for n in numbers if TRAITS[persona_for(n, 1, seed)].status == status)


def place_one(settings: Any, status: str) -> CallLog:
    make_template(is_default=True)
    launch({"numberToCall": number_that_ends_as(status, settings.SIMULATED_SEED)})
    call = CallLog.objects.get()
    place_batch(call.batch_id)
    return call


def go_on_until(
    call: CallLog, is_so: Callable[[CallLog], bool], let_pass: Any, step: int = 1
) -> None:
    for _ in range(60):
        poll_calls()
        call.refresh_from_db()
        if is_so(call):
            return
        let_pass(seconds=step)
    raise AssertionError(f"still {call.status}")


@pytest.mark.parametrize("status", STATUSES)
def test_a_call_ends_as_the_person_has_it(settings, status: str) -> None:
    call = place_one(settings, status)
    poll_calls()
    call.refresh_from_db()
    assert (call.status, call.account) == (status, ProviderAccount.objects.get())
    assert call.ended_reason


def test_a_call_that_rings_is_cancelled(settings, let_pass) -> None:
    settings.SIMULATED_TIME_SCALE = 1
    call = place_one(settings, CallStatus.NO_ANSWER)
    go_on_until(call, lambda call: call.status == CallStatus.RINGING, let_pass)
    cancel_call(call.call_id)
    hang_up()
    let_pass(minutes=5)
    poll_calls()
    call.refresh_from_db()
    assert (call.status, call.hang_up_at) == (CallStatus.CANCELLED, None)


def test_a_conversation_is_not_cancelled(settings, let_pass) -> None:
    settings.SIMULATED_TIME_SCALE = 1
    call = place_one(settings, CallStatus.COMPLETED)
    go_on_until(call, lambda call: call.status == CallStatus.IN_PROGRESS, let_pass)
    with pytest.raises(NotAllowed):
        cancel_call(call.call_id)
    go_on_until(call, lambda call: call.is_ended, let_pass, step=60)
    assert call.status == CallStatus.COMPLETED


def test_whoever_sends_events_for_it_is_not_believed(settings) -> None:
    place_one(settings, CallStatus.COMPLETED)
    path = f"/hooks/{ProviderAccount.objects.get().pk}"
    answer = Client().post(path, b"{}", content_type="application/json")
    assert answer.status_code == 401
