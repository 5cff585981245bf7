from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError
from django.utils import timezone

from calls.control import NotAllowed
from calls.copies import clone_campaign, count_retry, retry_failed
from calls.lifecycle import start_campaign
from calls.models import CallLog, ProviderAccount
from calls.statuses import TERMINAL, CallStatus
from calls.tests.factories import make_call
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch, make_campaign
from contacts.models import Suppression
from contacts.tests.factories import make_contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db


def make_ended(*calls: dict[str, Any], **what_matters: Any) -> Campaign:
    """A completed campaign with these calls, each ended unless it says otherwise."""
    fields = {"status": "completed", "ended_at": timezone.now(), "batch_size": 10} | what_matters
    campaign = make_campaign(**fields)
    batch = make_batch(campaign=campaign)
    for call in calls:
        make_call(batch=batch, **{"status": CallStatus.NO_ANSWER} | call)
    return campaign


def people(campaign: Campaign) -> list[str]:
    return list(campaign.calls.order_by("position").values_list("phone_number", flat=True))


# --- Retrying -----------------------------------------------------------------------------------


def test_a_retry_calls_everybody_whose_last_attempt_failed_and_nobody_else() -> None:
    campaign = make_ended(*({"status": status} for status in TERMINAL))
    retried = campaign.calls.filter(status__in=["no_answer", "busy", "voicemail", "failed"])
    done = retry_failed(campaign)
    assert done.calls == 4
    assert people(done.campaign) == list(
        retried.order_by("position").values_list("phone_number", flat=True)
    )
    assert (count_retry(campaign).uncertain, count_retry(campaign).suppressed) == (0, 0)


def test_only_the_last_attempt_of_a_call_counts() -> None:
    campaign = make_ended({"is_last_attempt": False}, {"is_last_attempt": False})
    for first, status in zip(
        campaign.calls.order_by("position"), ["completed", "busy"], strict=True
    ):
        make_call(
            batch=first.batch,
            contact=first.contact,
            call_id=first.call_id,
            attempt=2,
            status=status,
        )
    copy = retry_failed(campaign).campaign
    assert people(copy) == [campaign.calls.get(status="busy").phone_number]


@pytest.mark.parametrize("reason", ["unknown", "timed_out"])
def test_who_may_have_been_spoken_to_is_left_out(reason: str) -> None:
    campaign = make_ended(
        {}, {"status": CallStatus.FAILED, "ended_reason": reason}, {"ended_reason": "line busy"}
    )
    done = retry_failed(campaign)
    assert people(done.campaign) == people(campaign)[::2]
    assert [sentence.split(":")[0] for sentence in done.left_out] == ["1 call is left out"]


def test_who_must_not_be_called_is_left_out_by_contact_and_by_number() -> None:
    fine, named, other = make_contact(), make_contact(), make_contact()
    calls: list[dict[str, Any]] = [
        {"contact": fine},
        {"contact": named},
        {"contact": fine, "phone_number": other.phone_number},
    ]
    campaign = make_ended(*calls)
    ended = timezone.now() - timedelta(hours=1)
    Suppression.objects.create(contact=fine, reason="staff", ends_at=ended)
    Suppression.objects.create(contact=named, reason="do_not_call")
    Suppression.objects.create(contact=other, reason="do_not_call")
    done = retry_failed(campaign)
    assert people(done.campaign) == [fine.phone_number]
    assert [sentence.split(":")[0] for sentence in done.left_out] == ["2 calls are left out"]


def test_a_retry_keeps_version_settings_and_what_was_asked_of_each_call(admin_user: Any) -> None:
    campaign = make_ended(
        {
            "prompt_tags": {"amount": "5", "own": "x"},
            "metadata": {"invoice": 1},
            "debt_reference": "INV-1",
            "consent": {"basis": "contract"},
            "transcript": "old",
            "ended_reason": "rang out",
        },
        name="January",
        country_code="SA",
        batch_size=20,
    )
    campaign.template_version.template.revise(system_prompt="New")
    copy = retry_failed(campaign, admin_user).campaign
    assert (copy.status, copy.copied_from, copy.created_by) == ("draft", campaign, admin_user)
    assert (copy.name, copy.country_code, copy.batch_size) == ("Retry of January", "SA", 20)
    assert copy.template_version == campaign.template_version
    old, new = campaign.calls.get(), copy.calls.get()
    for field in ("contact", "phone_number", "prompt_tags", "metadata", "debt_reference"):
        assert getattr(new, field) == getattr(old, field)
    assert new.consent == {"basis": "contract"}
    assert (new.status, new.attempt, new.transcript, new.ended_reason) == ("queued", 1, "", "")
    assert new.call_id == new.pk != old.pk


@pytest.mark.parametrize("status", ["draft", "running", "paused", "cancelling"])
def test_what_has_not_ended_is_not_retried(status: str) -> None:
    campaign = make_ended({}, status=status, ended_at=None)
    with pytest.raises(NotAllowed, match=f"this campaign is {status}"):
        retry_failed(campaign)
    assert Campaign.objects.count() == 1


def test_a_cancelled_campaign_is_retried() -> None:
    assert retry_failed(make_ended({}, {"status": "cancelled"}, status="cancelled")).calls == 1


def test_where_nobody_is_left_a_retry_is_refused_and_says_why() -> None:
    campaign = make_ended({"status": "completed"}, {"status": "failed", "ended_reason": "unknown"})
    with pytest.raises(NotAllowed, match=r"No call .* retried\. 1 call is left out"):
        retry_failed(campaign)
    assert Campaign.objects.count() == 1


# --- Cloning ------------------------------------------------------------------------------------


def test_a_clone_has_every_call_once_with_the_newest_version() -> None:
    campaign = make_ended({}, {"is_last_attempt": False}, {"status": "completed"}, name="January")
    first = campaign.calls.get(is_last_attempt=False)
    make_call(
        batch=first.batch, contact=first.contact, call_id=first.call_id, attempt=2, position=1
    )
    newest = campaign.template_version.template.revise(system_prompt="New: {{amount}}")
    done = clone_campaign(campaign)
    assert (done.calls, done.campaign.status) == (3, "draft")
    assert (done.campaign.name, done.campaign.template_version) == ("Copy of January", newest)
    assert people(done.campaign) == list(
        campaign.calls.filter(attempt=1).order_by("position").values_list("phone_number", flat=True)
    )


@pytest.mark.parametrize("status", ["draft", "running", "paused", "cancelling", "completed"])
def test_a_campaign_is_cloned_whatever_its_status(status: str) -> None:
    ended_at = timezone.now() if status == "completed" else None
    assert clone_campaign(make_ended({}, status=status, ended_at=ended_at)).calls == 1


def test_a_clone_is_refused_with_the_tags_that_calls_lack() -> None:
    campaign = make_ended({}, {}, {"prompt_tags": {"amount": "5", "due": "soon"}})
    campaign.template_version.template.revise(
        system_prompt="{{amount}} {{due}} {{place}} {{note}}", tag_defaults={"note": "none"}
    )
    with pytest.raises(NotAllowed) as refused:
        clone_campaign(campaign)
    assert str(refused.value) == (
        "Version 2 of the template needs tags that calls lack: due (2), place (3)."
    )
    assert Campaign.objects.count() == 1


def test_a_clone_takes_tags_that_are_new_from_the_contact() -> None:
    contact = make_contact(first_name="Ahmed", last_name="")
    campaign = make_ended({"contact": contact, "prompt_tags": {"amount": "5"}})
    template = campaign.template_version.template
    template.revise(system_prompt="{{amount}} {{firstName}} {{numberToCall}}")
    call = clone_campaign(campaign).campaign.calls.get()
    assert call.prompt_tags == {
        "amount": "5",
        "firstName": "Ahmed",
        "numberToCall": contact.phone_number,
    }
    template.revise(system_prompt="{{amount}} {{lastName}}")
    with pytest.raises(NotAllowed, match=r"lastName \(1\)"):
        clone_campaign(campaign)


@pytest.mark.parametrize("tag", ["due.date", "due-date", "1", "مبلغ", "firstName"])
def test_a_tag_of_any_name_is_found_to_be_lacking_or_not(tag: str) -> None:
    template = make_template()
    campaign = make_ended(
        {"prompt_tags": {"amount": "5", tag: "x"}, "contact": make_contact(first_name="")},
        template_version=template.current,
    )
    template.revise(system_prompt=f"{{{{amount}}}} {{{{{tag}}}}}")
    assert clone_campaign(campaign).calls == 1
    CallLog.objects.update(prompt_tags={"amount": "5"})
    with pytest.raises(NotAllowed, match="lack"):
        clone_campaign(campaign)


# --- Both ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("copy", [retry_failed, clone_campaign])
def test_calls_keep_their_order_and_fill_batches(copy: Any, monkeypatch) -> None:
    monkeypatch.setattr("calls.copies.INSERT_CHUNK", 25)
    campaign = make_ended(*[{}] * 45)
    made = copy(campaign).campaign
    assert people(made) == people(campaign)
    assert list(made.calls.order_by("position").values_list("position", flat=True)) == list(
        range(45)
    )
    batches = made.batches.order_by("number")
    assert [(batch.number, batch.calls.count()) for batch in batches] == [
        (1, 10),
        (2, 10),
        (3, 10),
        (4, 10),
        (5, 5),
    ]
    start_campaign(made)
    assert made.status == "running"


@pytest.mark.parametrize("copy", [retry_failed, clone_campaign])
def test_a_copy_needs_the_same_statements_for_3_calls_and_for_40(
    copy: Any, django_assert_max_num_queries
) -> None:
    few, many = make_ended(*[{}] * 3, batch_size=100), make_ended(*[{}] * 40, batch_size=100)
    with django_assert_max_num_queries(20) as asked:
        copy(few)
    with django_assert_max_num_queries(len(asked) + 1):  # SQLite cuts by its limit on parameters
        copy(many)


@pytest.mark.parametrize("copy", [retry_failed, clone_campaign])
def test_an_id_that_is_taken_is_refused_and_what_has_it_stays_as_it_is(copy: Any) -> None:
    campaign, taken = make_ended({}), make_campaign(name="Mine")
    with pytest.raises(IntegrityError):
        copy(campaign, campaign_id=taken.pk)
    taken.refresh_from_db()
    assert (taken.name, taken.status) == ("Mine", "running")


@pytest.mark.parametrize("copy", [retry_failed, clone_campaign])
def test_a_copy_has_the_id_and_the_name_it_is_given(copy: Any) -> None:
    given: UUID = uuid4()
    made = copy(make_ended({}), name="February", campaign_id=given).campaign
    assert (made.pk, made.name, made.source) == (given, "February", "command")


def test_a_long_name_is_cut() -> None:
    assert clone_campaign(make_ended({}, name="x" * 120)).campaign.name == "Copy of " + "x" * 112


def test_a_copy_is_called_with_the_account_that_the_campaign_named() -> None:
    account = ProviderAccount.objects.create(name="other", provider="simulated")
    campaign = make_ended({}, account=account)
    assert retry_failed(campaign).campaign.account == account
    assert clone_campaign(campaign).campaign.account == account
