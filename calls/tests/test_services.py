from typing import Any

import pytest

from calls.models import CallLog
from calls.tests.factories import launch
from campaigns.models import Batch, Campaign
from contacts.models import Contact
from contacts.tests.factories import make_contact
from contacts.validation import InvalidInput
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
FIRST, SECOND = {"numberToCall": "+966500000001"}, {"numberToCall": "+966500000002"}


def refusal(*contacts: dict[str, Any], **fields: Any) -> list[tuple[list[str | int], str]]:
    with pytest.raises(InvalidInput) as refused:
        launch(*contacts, **fields)
    assert not Campaign.objects.exists()
    assert not CallLog.objects.exists()
    return [(error["loc"], error["type"]) for error in refused.value.errors]


def test_a_launch_stores_campaign_contacts_batches_and_calls_in_order() -> None:
    template = make_template(is_default=True)
    contacts = [{"numberToCall": f"+9665000000{i:02d}", "firstName": f"N{i}"} for i in range(25)]
    result = launch(*contacts, batchSize=10, countryCode="SA")
    campaign = Campaign.objects.get()
    assert (campaign.template_version, campaign.country_code) == (template.current, "SA")
    assert (campaign.status, campaign.source, campaign.batch_size) == ("running", "api", 10)
    assert result.batches == 3
    calls = list(CallLog.objects.order_by("position").select_related("batch", "contact"))
    assert [call.pk for call in calls] == [call.pk for call in result.calls]
    assert [call.batch.number for call in calls] == [1] * 10 + [2] * 10 + [3] * 5
    assert [call.contact.first_name for call in calls] == [f"N{i}" for i in range(25)]
    assert {call.status for call in calls} == {"queued"}


def test_the_batch_size_of_the_settings_is_used_unless_the_request_names_one(settings) -> None:
    settings.CALL_BATCH_SIZE = 17
    make_template(is_default=True)
    assert launch(FIRST).campaign.batch_size == 17
    assert launch(FIRST, batchSize=11).campaign.batch_size == 11


def test_the_same_number_twice_is_one_contact_and_two_calls() -> None:
    make_template(is_default=True)
    result = launch(FIRST, {"numberToCall": "00966 50 000 0001"}, countryCode="SA")
    assert Contact.objects.count() == 1
    assert [call.contact_id for call in result.calls] == [Contact.objects.get().pk] * 2


def test_a_campaign_keeps_the_version_it_was_accepted_with() -> None:
    template = make_template(is_default=True)
    campaign = launch(FIRST).campaign
    template.revise(system_prompt="Something else")
    campaign.refresh_from_db()
    assert campaign.template_version.system_prompt == "The customer owes {{amount}}."


def test_the_named_template_is_used_and_an_unknown_one_refused() -> None:
    make_template(is_default=True)
    named = make_template(system_prompt="Named")
    version = launch(FIRST, aiSettingsTemplateId=str(named.pk)).campaign.template_version
    assert version.template == named
    with pytest.raises(InvalidInput) as refused:
        launch(FIRST, aiSettingsTemplateId="550e8400-e29b-41d4-a716-446655440099")
    assert refused.value.errors[0]["loc"] == ["body", "aiSettingsTemplateId"]


def test_without_a_default_template_one_must_be_named() -> None:
    make_template()
    assert refusal(FIRST) == [(["body", "aiSettingsTemplateId"], "not_found")]


def test_every_missing_tag_is_named_together_with_bad_numbers() -> None:
    make_template(
        is_default=True, system_prompt="{{amount}} {{due}} {{soon}}", tag_defaults={"soon": "x"}
    )
    found = refusal(FIRST, {"numberToCall": "abc"}, SECOND | {"promptTags": {"due": "1"}})
    assert found == [
        (["body", "contacts", 0, "promptTags", "due"], "missing"),
        (["body", "contacts", 1, "numberToCall"], "phone_number"),
        (["body", "contacts", 2, "promptTags", "amount"], "missing"),
    ]
    assert not Contact.objects.exists()


def test_a_tag_is_missing_beside_other_faults_but_not_where_it_is_the_fault() -> None:
    make_template(is_default=True, system_prompt="{{amount}} {{due}} {{email}}")
    tags = {"amount": 5}
    found = refusal(FIRST | {"email": "x", "promptTags": tags}, SECOND | {"promptTags": []})
    assert [loc[2:] for loc, _ in found] == [
        [0, "email"],
        [0, "promptTags", "amount"],
        [0, "promptTags", "due"],
        [1, "promptTags"],
    ]


def test_what_is_stored_of_the_contact_gives_tags_and_prompt_tags_win() -> None:
    make_template(is_default=True, system_prompt="{{firstName}} {{lastName}} {{numberToCall}}")
    make_contact(phone_number="+966500000001", first_name="Ahmed", last_name="Old")
    tags = {"lastName": "From tags"}
    call = launch(FIRST | {"firstName": "Ignored", "promptTags": tags}).calls[0]
    assert call.prompt_tags == {
        "firstName": "Ahmed",
        "lastName": "From tags",
        "numberToCall": "+966500000001",
    }


def test_update_existing_changes_the_contact_before_its_names_become_tags() -> None:
    make_template(is_default=True, system_prompt="{{firstName}}")
    make_contact(phone_number="+966500000001", first_name="Old")
    call = launch(FIRST | {"firstName": "New"}, updateExisting=True).calls[0]
    assert call.prompt_tags["firstName"] == "New"
    assert Contact.objects.get().first_name == "New"


def test_an_empty_name_is_no_value_for_a_tag() -> None:
    make_template(is_default=True, system_prompt="{{firstName}}")
    found = refusal(FIRST | {"firstName": ""})
    assert found == [(["body", "contacts", 0, "promptTags", "firstName"], "missing")]


def test_a_worker_is_woken_for_each_batch_on_commit(
    django_capture_on_commit_callbacks, monkeypatch
) -> None:
    woken = []
    monkeypatch.setattr("calls.queue.async_task", lambda *args, **_: woken.append(args))
    make_template(is_default=True)
    contacts = [{"numberToCall": f"+9665000000{i:02d}"} for i in range(25)]
    with django_capture_on_commit_callbacks(execute=True):
        launch(*contacts, batchSize=10)
        assert woken == []
    ids = Batch.objects.order_by("number").values_list("pk", flat=True)
    assert woken == [("calls.tasks.place_batch", pk) for pk in ids]


def test_the_number_of_statements_does_not_grow_with_the_contacts(
    django_assert_max_num_queries,
) -> None:
    """But by chunks: of 500 contacts, and on SQLite by its limit on parameters."""
    make_template(is_default=True)
    with django_assert_max_num_queries(50):
        launch(*({"numberToCall": f"+96650{i:07d}"} for i in range(500)), batchSize=100)
