from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import pytest
from django.utils import timezone

from calls import providers
from calls.control import cancel_call
from calls.dialling import MAX_REFUSALS, claim_calls, note_placements, place_batch
from calls.lines import hang_up
from calls.models import CallLog, ProviderAccount, WebhookDelivery
from calls.providers.base import (
    CallRequest,
    Capabilities,
    PermanentError,
    Placement,
    Poll,
    Provider,
    TemporaryError,
)
from calls.statuses import CallStatus
from calls.tests.factories import launch, make_call, make_endpoint
from campaigns.models import Batch, Campaign, CampaignStatus
from campaigns.tests.factories import make_batch
from contacts.models import Suppression
from contacts.tests.factories import make_contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db


class Recorder(Provider):
    """A provider that notes what it was asked, and what the database said at that moment."""

    capabilities = Capabilities(placements_at_once=10)
    requests: ClassVar[list[CallRequest]] = []
    cancelled: ClassVar[list[CallRequest]] = []
    ids: ClassVar[dict[UUID, str]] = {}
    failure: ClassVar[Exception | None] = None

    refused: ClassVar[set[UUID]] = set()

    def place(self, request: CallRequest) -> Placement:
        self.requests.append(request)
        if request.attempt_id in self.refused:
            raise TemporaryError("not this one")
        if self.failure:
            raise self.failure
        provider_call_id = self.ids.get(request.attempt_id, f"r-{request.attempt_id}")
        return Placement(provider_call_id, "+12025550100", timezone.now())

    def cancel(self, request: CallRequest) -> None:
        self.cancelled.append(request)

    def poll(self, requests: object, now: object) -> list[Poll]:
        raise AssertionError("not asked here")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[type[Recorder]]:
    monkeypatch.setitem(providers.PROVIDERS, "recorder", Recorder)
    settings.CALL_PROVIDER = "recorder"
    Recorder.requests, Recorder.cancelled, Recorder.failure, Recorder.ids = [], [], None, {}
    Recorder.refused = set()
    yield Recorder
    providers.make_provider.cache_clear()


def only_batch() -> Batch:
    return Batch.objects.get()


def test_a_batch_is_placed_with_rendered_prompts(recorder) -> None:
    make_template(is_default=True, first_message="Hello {{firstName}}", language="ar")
    launch({"numberToCall": "+966500000001", "firstName": "Ahmed"})
    place_batch(only_batch().pk)
    call = CallLog.objects.get()
    assert call.status == CallStatus.DIALING
    assert call.system_prompt == "The customer owes 5,000 SAR."
    assert (call.provider_call_id, call.number_from) == (f"r-{call.pk}", "+12025550100")
    assert call.started_at
    assert call.account == ProviderAccount.objects.get(name="recorder")
    (request,) = recorder.requests
    assert (request.attempt_id, request.number_to) == (call.pk, "+966500000001")
    assert (request.first_message, request.language) == ("Hello Ahmed", "ar")


def test_a_batch_larger_than_a_claim_is_placed_whole_and_each_call_once(recorder) -> None:
    make_template(is_default=True)
    launch(*({"numberToCall": f"+9665000000{i:02d}"} for i in range(35)))
    place_batch(only_batch().pk)
    place_batch(only_batch().pk)
    assert len({r.attempt_id for r in recorder.requests}) == len(recorder.requests) == 35


def test_a_batch_in_another_workers_hands_is_left_alone(recorder) -> None:
    make_template(is_default=True)
    launch({"numberToCall": "+966500000001"})
    batch = only_batch()
    assert batch.take_lease(60)
    place_batch(batch.pk)
    assert recorder.requests == []


def test_a_worker_whose_lease_was_taken_over_claims_nothing() -> None:
    batch = make_batch()
    make_call(batch=batch)
    assert batch.take_lease(-1)
    other = Batch.objects.get(pk=batch.pk)
    assert other.take_lease(60)
    assert claim_calls(batch).calls == []
    assert len(claim_calls(other).calls) == 1


@pytest.mark.parametrize("status", [s for s in CampaignStatus if s != CampaignStatus.RUNNING])
def test_a_campaign_that_does_not_run_is_not_dialled(recorder, status: str) -> None:
    batch = make_batch()
    make_call(batch=batch)
    ended_at = timezone.now() if status in {"completed", "cancelled"} else None
    Campaign.objects.update(status=status, ended_at=ended_at, starts_at=timezone.now())
    place_batch(batch.pk)
    assert recorder.requests == []
    assert CallLog.objects.get().status == CallStatus.QUEUED


def test_a_suppressed_contact_is_never_dialled_and_the_skip_is_told(recorder) -> None:
    make_endpoint()
    call = make_call()
    Suppression.objects.create(contact=call.contact, reason="do_not_call")
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert recorder.requests == []
    assert (call.status, call.ended_reason) == (CallStatus.SKIPPED, "suppressed")
    assert WebhookDelivery.objects.get().call == call


def test_a_lifted_suppression_stops_nobody(recorder) -> None:
    call = make_call()
    Suppression.objects.create(contact=call.contact, reason="staff", lifted_at=timezone.now())
    place_batch(call.batch_id)
    assert len(recorder.requests) == 1


def test_a_person_in_a_live_call_is_not_called_again_until_it_has_ended(recorder) -> None:
    contact = make_contact()
    live = make_call(contact=contact, status=CallStatus.IN_PROGRESS)
    waiting = make_call(contact=contact)
    place_batch(waiting.batch_id)
    assert recorder.requests == []
    CallLog.objects.filter(pk=live.pk).update(status=CallStatus.COMPLETED, ended_at=timezone.now())
    place_batch(waiting.batch_id)
    assert [request.attempt_id for request in recorder.requests] == [waiting.pk]


def test_of_two_calls_to_one_person_in_a_batch_the_first_is_placed(recorder) -> None:
    batch, contact = make_batch(), make_contact()
    first = make_call(batch=batch, contact=contact)
    second = make_call(batch=batch, contact=contact)
    place_batch(batch.pk)
    assert [request.attempt_id for request in recorder.requests] == [first.pk]
    second.refresh_from_db()
    assert second.status == CallStatus.QUEUED


def test_a_call_is_not_dialled_before_its_time(recorder) -> None:
    call = make_call(not_before=timezone.now() + timedelta(minutes=5))
    place_batch(call.batch_id)
    assert recorder.requests == []


def test_a_prompt_that_cannot_be_filled_is_never_sent(recorder) -> None:
    call = make_call(prompt_tags={})
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert recorder.requests == []
    assert (call.status, call.ended_reason) == (CallStatus.FAILED, "missing_tag")


def test_a_call_the_provider_can_never_place_ends(recorder) -> None:
    recorder.failure = PermanentError("not_allocated", CallStatus.INVALID_NUMBER)
    call = make_call()
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert (call.status, call.ended_reason) == (CallStatus.INVALID_NUMBER, "not_allocated")


def test_a_call_the_provider_cannot_take_just_now_is_queued_for_later(recorder) -> None:
    recorder.failure = TemporaryError("busy")
    call = make_call()
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert (call.status, call.started_at, call.system_prompt) == (CallStatus.QUEUED, None, "")
    assert call.not_before > timezone.now() + timedelta(seconds=3)


def test_a_call_of_which_nobody_knows_whether_it_was_placed_is_not_placed_again(recorder) -> None:
    recorder.failure = TimeoutError()
    call = make_call()
    place_batch(call.batch_id)
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert len(recorder.requests) == 1
    assert call.status == CallStatus.DIALING
    assert call.poll_at
    assert call.poll_at > timezone.now()


def test_a_placement_that_the_database_refuses_costs_no_other_call_its_own(recorder) -> None:
    batch = make_batch()
    calls = [make_call(batch=batch) for _ in range(3)]
    recorder.ids = {calls[1].pk: f"r-{calls[0].pk}"}
    place_batch(batch.pk)
    found = CallLog.objects.values_list("provider_call_id", flat=True)
    assert set(found) == {f"r-{calls[0].pk}", "", f"r-{calls[2].pk}"}


def test_a_call_that_waited_too_long_for_a_thread_is_not_placed_behind_a_polls_back(
    recorder, monkeypatch
) -> None:
    monkeypatch.setattr("calls.dialling.ASK_WITHIN_SECONDS", -1)
    call = make_call()
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert recorder.requests == []
    assert call.status == CallStatus.QUEUED


def test_a_claim_takes_a_bounded_number_of_statements(django_assert_max_num_queries) -> None:
    """Reading and deciding; each claimed call is then written by a statement of its own."""
    batch = make_batch()
    contacts = [make_contact() for _ in range(20)]
    Suppression.objects.bulk_create(Suppression(contact=c, reason="staff") for c in contacts)
    for contact in contacts:
        make_call(batch=batch, contact=contact)
    batch.take_lease(60)
    ProviderAccount.objects.default()
    with django_assert_max_num_queries(22 + 20):
        assert claim_calls(batch).found == 20


def test_defaults_and_the_email_fill_a_prompt_literally(recorder) -> None:
    defaults = {"soon": "by {{email}}"}
    make_template(is_default=True, system_prompt="{{email}} {{soon}}", tag_defaults=defaults)
    launch({"numberToCall": "+966500000001", "email": "a@x.example"})
    place_batch(only_batch().pk)
    assert recorder.requests[0].system_prompt == "a@x.example by {{email}}"


def test_a_tag_that_is_given_wins_over_its_default(recorder) -> None:
    make_template(is_default=True, system_prompt="{{soon}}", tag_defaults={"soon": "later"})
    launch({"numberToCall": "+966500000001", "promptTags": {"soon": "now"}})
    place_batch(only_batch().pk)
    assert recorder.requests[0].system_prompt == "now"


def test_a_call_that_a_provider_refuses_while_it_takes_others_ends_at_last(
    recorder, let_pass
) -> None:
    stubborn = make_call()
    recorder.refused = {stubborn.pk}
    for _ in range(MAX_REFUSALS):
        make_call(batch=stubborn.batch)
        place_batch(stubborn.batch_id)
        let_pass(minutes=5)
    stubborn.refresh_from_db()
    assert (stubborn.status, stubborn.ended_reason) == (CallStatus.FAILED, "not this one")
    assert not ProviderAccount.objects.get().is_held


def test_an_outage_ends_no_call_however_long_it_lasts(recorder, let_pass) -> None:
    recorder.failure = TemporaryError("closed")
    call = make_call()
    for _ in range(3 * MAX_REFUSALS):
        place_batch(call.batch_id)
        let_pass(minutes=5)
    call.refresh_from_db()
    assert len(recorder.requests) == 3 * MAX_REFUSALS
    assert call.status == CallStatus.QUEUED
    recorder.failure = None
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert call.status == CallStatus.DIALING


def test_a_batch_that_is_done_is_due_no_more(recorder) -> None:
    call = make_call()
    place_batch(call.batch_id)
    assert Batch.objects.get().due_at is None


def test_a_batch_is_due_when_the_next_of_its_calls_is(recorder) -> None:
    later = timezone.now() + timedelta(hours=4)
    call = make_call(not_before=later)
    make_call(batch=call.batch, not_before=later + timedelta(hours=1))
    place_batch(call.batch_id)
    assert Batch.objects.get().due_at == later


def test_a_batch_whose_people_are_on_the_line_is_looked_at_again_soon(recorder) -> None:
    contact = make_contact()
    make_call(contact=contact, status=CallStatus.IN_PROGRESS)
    waiting = make_call(contact=contact)
    place_batch(waiting.batch_id)
    due_at = Batch.objects.get(pk=waiting.batch_id).due_at
    assert due_at
    assert timezone.now() < due_at < timezone.now() + timedelta(seconds=10)


def test_a_person_whose_line_is_being_closed_is_not_called(recorder) -> None:
    contact = make_contact()
    make_call(contact=contact, status=CallStatus.CANCELLED, hang_up_at=timezone.now())
    waiting = make_call(contact=contact)
    place_batch(waiting.batch_id)
    assert recorder.requests == []


def test_a_call_that_is_cancelled_on_its_way_to_the_provider_is_hung_up(recorder) -> None:
    call = make_call()
    call.batch.take_lease(60)
    (claimed,) = claim_calls(call.batch).calls
    cancel_call(call.pk)
    hang_up()  # the provider does not know it yet
    note_placements([(claimed, Placement("r-1"))])
    call.refresh_from_db()
    assert (call.status, call.provider_call_id) == (CallStatus.CANCELLED, "r-1")
    assert call.hang_up_at
    hang_up()
    call.refresh_from_db()
    assert call.hang_up_at is None
    assert {request.attempt_id for request in recorder.cancelled} == {call.pk}


def test_an_account_that_cannot_be_used_is_held_and_costs_nobody_a_call(
    recorder, monkeypatch
) -> None:
    call = make_call()
    monkeypatch.delitem(providers.PROVIDERS, "recorder")
    place_batch(call.batch_id)
    call.refresh_from_db()
    assert call.status == CallStatus.QUEUED
    assert "cannot be used" in str(ProviderAccount.objects.get().hold_sentence)
