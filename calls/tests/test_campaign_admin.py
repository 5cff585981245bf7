from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.models import CallLog, ProviderAccount
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch, make_campaign
from contacts.models import Contact
from contacts.tests.factories import make_contact
from templates.models import AISettingsTemplate
from templates.tests.factories import make_template

CAMPAIGNS = reverse("admin:campaigns_campaign_changelist")
ADD = reverse("admin:campaigns_campaign_add")
EXAMPLE = (
    "numberToCall,firstName,lastName,promptTags.amount,promptTags.due_date,metadata.invoiceNumber\n"
    '+966500000001,Ahmed,Al-Rashid,"5,000 SAR","January 15, 2026",INV-001\n'
    '0500000002,سارة,محمد,"3,200 SAR","January 20, 2026",INV-002\n'
)

pytestmark = pytest.mark.django_db


def launch(
    client: Client, content: str | bytes, of: AISettingsTemplate | None = None, **fields: Any
) -> Any:
    of = of or make_template(system_prompt="{{amount}} by {{due_date}}")
    raw = content.encode() if isinstance(content, str) else content
    data: dict[str, Any] = {
        "name": "January",
        "template": str(of.pk),
        "country_code": "sa",
        "batch_size": 50,
        "file": SimpleUploadedFile("people.csv", raw),
        "start": "now",
        "token": str(uuid4()),
    }
    return client.post(ADD, data | fields, follow=True)


def staff_client(*permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def page_of(campaign: Campaign) -> str:
    return reverse("admin:campaigns_campaign_change", args=[campaign.pk])


def progress_of(campaign: Campaign) -> str:
    return reverse("admin:campaigns_campaign_progress", args=[campaign.pk])


def errors(response: Any, field: str) -> str:
    return str(response.context["form"].errors.get(field, ""))


def test_a_file_becomes_a_campaign(admin_client: Client, admin_user: User) -> None:
    response = launch(admin_client, EXAMPLE)
    campaign = Campaign.objects.get()
    assert response.redirect_chain == [(page_of(campaign), 302)]
    assert "The campaign was launched: 2 calls." in response.content.decode()
    assert (campaign.name, campaign.source, campaign.created_by) == ("January", "admin", admin_user)
    assert (campaign.country_code, campaign.batch_size) == ("SA", 50)
    calls = list(campaign.calls.order_by("position"))
    assert [call.phone_number for call in calls] == ["+966500000001", "+966500000002"]
    assert calls[0].prompt_tags == {"amount": "5,000 SAR", "due_date": "January 15, 2026"}
    assert calls[0].metadata == {"invoiceNumber": "INV-001"}
    assert calls[1].contact.full_name == "سارة محمد"


def test_existing_contacts_are_changed_only_when_asked_to(admin_client: Client) -> None:
    contact = make_contact(phone_number="+966500000001", first_name="Old")
    launch(admin_client, EXAMPLE)
    contact.refresh_from_db()
    assert contact.first_name == "Old"
    launch(admin_client, EXAMPLE, update_existing="on")
    contact.refresh_from_db()
    assert contact.first_name == "Ahmed"


def test_bad_rows_are_named_by_their_lines_and_nothing_is_stored(admin_client: Client) -> None:
    bad = (
        "12,Short,,a,b,\n"
        "\n"
        "+966500000003,Without,,,b,\n"
        "+966500000004,Fine,,a,b,\n"
        f"+966500000005,{'x' * 300},,a,b,\n"
    )
    response = launch(admin_client, EXAMPLE + bad)
    faults = response.context["form"].faults
    assert [fault.split(":")[0] for fault in faults] == [
        "Line 4, numberToCall",
        "Line 6, promptTags, amount",
        "Line 8, firstName",
    ]
    text = response.content.decode()
    assert "3 errors in the file. Nothing was stored." in text
    assert all(fault in text for fault in faults)
    assert "Short" not in text
    assert "+966500000003" not in text
    assert not Campaign.objects.exists()
    assert not Contact.objects.exists()


def test_a_long_list_of_errors_is_cut_and_says_how_many_there_are(admin_client: Client) -> None:
    response = launch(admin_client, "numberToCall\n" + "12\n" * 250)
    text = response.content.decode()
    assert "250 errors in the file" in text
    assert "The first 200 of 250 errors are shown." in text
    assert "Line 201," in text
    assert "Line 202," not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (EXAMPLE.encode("utf-16"), "not UTF-8"),
        ("+966500000001,Ahmed\n", "The first line must name the columns"),
        ("numberToCall,phone\n", "unknown columns: phone"),
        ("numberToCall\n", "at least 1 item"),
        ("numberToCall,metadata\n+966500000001,x\n", "3 errors in the file"),
        (b"x" * 2000, "larger than"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    content: str | bytes, message: str, admin_client: Client, settings: Any
) -> None:
    settings.BULK_MAX_BODY_BYTES = 1900
    response = launch(admin_client, content)
    assert message in errors(response, "file")
    assert not Campaign.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("country_code", "XX", "No country has this code"),
        ("country_code", "1", "valid value"),
        ("batch_size", "5", "greater than or equal to 10"),
        ("template", "", "required"),
        ("file", "", "required"),
    ],
)
def test_a_wrong_setting_is_told_at_its_field(
    field: str, value: str, message: str, admin_client: Client
) -> None:
    settings: dict[str, Any] = {field: value}
    response = launch(admin_client, EXAMPLE, **settings)
    assert message in errors(response, field)
    assert not Campaign.objects.exists()


def test_the_form_offers_the_default_template_and_batch_size(
    admin_client: Client, settings: Any
) -> None:
    settings.CALL_BATCH_SIZE = 70
    make_template()
    default = make_template(is_default=True)
    response = admin_client.get(ADD)
    assert response.context["form"]["template"].value() == default.pk
    assert response.context["form"]["batch_size"].value() == 70
    assert "promptTags.amount" in response.content.decode()
    assert "nobody will really be called" in response.content.decode()


def test_a_new_version_of_the_template_leaves_an_old_campaign_its_own(
    admin_client: Client,
) -> None:
    template = make_template(system_prompt="{{amount}} by {{due_date}}")
    launch(admin_client, EXAMPLE, template)
    template.revise(system_prompt="New: {{amount}}")
    launch(admin_client, EXAMPLE, template)
    numbers = Campaign.objects.order_by("created_at").values_list(
        "template_version__number", flat=True
    )
    assert list(numbers) == [1, 2]


def test_the_page_and_its_progress_count_each_call_once(admin_client: Client) -> None:
    batch = make_batch()
    for outcome in ("PROMISE_TO_PAY", "PROMISE_TO_PAY", "DISPUTE"):
        make_call(batch=batch, status=CallStatus.COMPLETED, outcome=outcome)
    make_call(batch=batch)
    answer = admin_client.get(progress_of(batch.campaign)).json()
    assert (answer["ended"], answer["total"], answer["isEnded"]) == (3, 4, False)
    numbers = {row["label"]: row["number"] for row in [*answer["statuses"], *answer["outcomes"]]}
    assert numbers == {"queued": 1, "completed": 3, "PROMISE_TO_PAY": 2, "DISPUTE": 1}
    for row in [*answer["statuses"], *answer["outcomes"]]:
        calls = admin_client.get(row["url"]).context["cl"].queryset
        assert calls.count() == row["number"]

    text = admin_client.get(page_of(batch.campaign)).content.decode()
    assert progress_of(batch.campaign) in text
    assert "PROMISE_TO_PAY" in text
    assert "Simulated: nobody was really called." in text


def test_the_list_shows_how_many_calls_ended(admin_client: Client) -> None:
    batch = make_batch(campaign=make_campaign(name="تذكير"))
    make_call(batch=batch, status=CallStatus.BUSY)
    make_call(batch=batch)
    text = admin_client.get(CAMPAIGNS).content.decode()
    assert "تذكير" in text
    assert "1 of 2" in text


def test_the_list_needs_the_same_queries_for_3_rows_and_for_30(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        make_call()
    with django_assert_max_num_queries(10) as few:
        admin_client.get(CAMPAIGNS)
    for _ in range(27):
        make_call()
    with django_assert_max_num_queries(len(few)):
        admin_client.get(CAMPAIGNS)


def test_a_campaign_is_found_by_id_and_name(admin_client: Client) -> None:
    campaign = make_campaign(name="January")
    make_campaign(name="February")
    for term in ("janu", str(campaign.pk)):
        found = admin_client.get(CAMPAIGNS, {"q": term}).context["cl"].queryset
        assert list(found) == [campaign]


def test_a_campaign_is_neither_changed_nor_deleted(admin_client: Client) -> None:
    campaign = make_campaign(name="January")
    assert admin_client.post(page_of(campaign), {"name": "x"}).status_code == 403
    delete = reverse("admin:campaigns_campaign_delete", args=[campaign.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert admin_client.get(CAMPAIGNS).context["action_form"] is None


def test_launching_asks_for_the_permission_to_add() -> None:
    client = staff_client("view_campaign")
    assert client.get(ADD).status_code == 403
    assert launch(client, EXAMPLE).status_code == 403
    assert not CallLog.objects.exists()


def test_who_may_add_launches() -> None:
    client = staff_client("view_campaign", "add_campaign")
    assert launch(client, EXAMPLE).status_code == 200
    assert CallLog.objects.count() == 2


def test_progress_asks_for_the_permission_to_view(client: Client) -> None:
    campaign = make_campaign()
    assert client.get(progress_of(campaign)).status_code == 302
    assert staff_client("view_contact").get(progress_of(campaign)).status_code == 403


def test_the_progress_of_no_campaign_is_not_found(admin_client: Client) -> None:
    page = reverse("admin:campaigns_campaign_progress", args=[uuid4()])
    assert admin_client.get(page).status_code == 404


def make_account(**fields: Any) -> ProviderAccount:
    return ProviderAccount.objects.create(**{"name": "Riyadh", "provider": "http"} | fields)


def test_a_campaign_is_launched_with_the_account_that_was_chosen(admin_client: Client) -> None:
    account = make_account()
    launch(admin_client, EXAMPLE, account=account.pk)
    campaign = Campaign.objects.get()
    assert campaign.account == account
    assert "Riyadh" in admin_client.get(page_of(campaign)).content.decode()


def test_a_campaign_page_tells_whose_account_places_its_calls(admin_client: Client) -> None:
    template = make_template()
    campaign = make_campaign(template_version=template.current)
    make_account(name="Jeddah", is_default=True)
    assert "Jeddah (the default)" in admin_client.get(page_of(campaign)).content.decode()
    template.account = make_account()
    template.save()
    text = admin_client.get(page_of(campaign)).content.decode()
    assert "Riyadh" in text
    assert "Jeddah" not in text


def test_a_campaign_page_tells_of_the_hold_of_its_own_account_only(admin_client: Client) -> None:
    now = timezone.now()
    held = {"held_since": now, "held_until": now, "held_reason": "provider: closed"}
    own = make_campaign(account=make_account(**held))
    other = make_campaign()
    assert "No call is placed" in admin_client.get(page_of(own)).content.decode()
    assert "No call is placed" not in admin_client.get(page_of(other)).content.decode()


def test_accounts_that_reach_nobody_are_no_choice_where_that_is_not_allowed(
    admin_client: Client, settings: Any
) -> None:
    settings.ALLOW_SIMULATED = False
    playing = make_account(name="playing", provider="simulated")
    response = launch(admin_client, EXAMPLE, account=playing.pk)
    assert errors(response, "account")
    assert not Campaign.objects.exists()
