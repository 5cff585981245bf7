from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.models import Contact, Suppression, SuppressionReason
from contacts.tests.factories import make_contact

pytestmark = pytest.mark.django_db

CONTACTS = reverse("admin:contacts_contact_changelist")
ADD_CONTACT = reverse("admin:contacts_contact_add")
SUPPRESSIONS = reverse("admin:contacts_suppression_changelist")
NO_SUPPRESSION = {"suppressions-TOTAL_FORMS": 0, "suppressions-INITIAL_FORMS": 0}


def make_suppression(**what_matters: Any) -> Suppression:
    contact = what_matters.pop("contact", None) or make_contact()
    return Suppression.objects.create(
        contact=contact, **{"reason": SuppressionReason.DO_NOT_CALL} | what_matters
    )


def staff_client(*permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def contact_page(contact: Contact) -> str:
    return reverse("admin:contacts_contact_change", args=[contact.pk])


def test_list_and_pages_show_arabic_names(admin_client: Client) -> None:
    contact = make_contact(first_name="أحمد", last_name="الراشد")
    suppression = make_suppression(contact=contact)
    pages = [
        CONTACTS,
        contact_page(contact),
        SUPPRESSIONS,
        reverse("admin:contacts_suppression_change", args=[suppression.pk]),
    ]
    for page in pages:
        response = admin_client.get(page)
        assert response.status_code == 200
        assert "أحمد الراشد" in response.content.decode()
    assert admin_client.get(ADD_CONTACT).status_code == 200
    assert admin_client.get(reverse("admin:contacts_suppression_add")).status_code == 200


@pytest.mark.parametrize("page", [CONTACTS, SUPPRESSIONS])
def test_a_list_needs_the_same_queries_for_3_rows_and_for_30(
    page: str, admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        make_suppression()
    with django_assert_max_num_queries(6) as few:
        admin_client.get(page)
    for _ in range(27):
        make_suppression()
    with django_assert_max_num_queries(len(few)):
        admin_client.get(page)


def test_a_contact_is_found_by_number_name_email_and_id(admin_client: Client) -> None:
    contact = make_contact(phone_number="+966500000001", last_name="Rashid", email="a@b.example")
    make_contact(first_name="Sara")
    for term in ("0500000001"[1:], "rashid", "a@b.example", str(contact.pk)):
        found = admin_client.get(CONTACTS, {"q": term}).context["cl"].queryset
        assert list(found) == [contact], term


def test_a_number_is_stored_as_e164(admin_client: Client) -> None:
    data = {"phone_number": "00966 50-000 0001", "first_name": "Ahmed"} | NO_SUPPRESSION
    assert admin_client.post(ADD_CONTACT, data).status_code == 302
    assert Contact.objects.get().phone_number == "+966500000001"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("phone_number", "+96650", "The number is too short for its country."),
        ("phone_number", "+966 500 000 001", "already exists"),
        ("time_zone", "Riyadh", "IANA time zone"),
        ("region", "Texas", "ISO 3166-2"),
    ],
)
def test_a_contact_that_is_wrong_is_refused_at_its_field(
    field: str, value: str, message: str, admin_client: Client
) -> None:
    make_contact(phone_number="+966500000001")
    data = {"phone_number": "+966500000002"} | NO_SUPPRESSION | {field: value}
    response = admin_client.post(ADD_CONTACT, data)
    assert message in str(response.context["adminform"].form.errors[field])
    assert Contact.objects.count() == 1


def test_the_number_of_a_contact_cannot_be_changed(admin_client: Client) -> None:
    contact = make_contact(phone_number="+966500000001")
    data = {"phone_number": "+966500000002", "first_name": "Sara"} | NO_SUPPRESSION
    assert admin_client.post(contact_page(contact), data).status_code == 302
    before = contact.updated_at
    contact.refresh_from_db()
    assert (contact.phone_number, contact.first_name) == ("+966500000001", "Sara")
    assert contact.updated_at > before


def test_a_suppression_is_added_on_the_contacts_page(admin_client: Client) -> None:
    contact = make_contact()
    data = {
        "suppressions-TOTAL_FORMS": 1,
        "suppressions-INITIAL_FORMS": 0,
        "suppressions-0-contact": str(contact.pk),
        "suppressions-0-reason": "staff",
        "suppressions-0-note": "Asked by letter",
    }
    assert admin_client.post(contact_page(contact), data).status_code == 302
    assert contact.suppressions.in_force().get().note == "Asked by letter"


def test_a_suppression_is_added_on_its_own_page(admin_client: Client) -> None:
    contact = make_contact()
    data = {"contact": str(contact.pk), "reason": "staff"}
    page = reverse("admin:contacts_suppression_add")
    assert admin_client.post(page, data).status_code == 302
    assert contact.suppressions.in_force().count() == 1


def test_suppressions_are_told_apart_by_being_in_force(admin_client: Client) -> None:
    in_force = make_suppression()
    ended = make_suppression(ends_at=timezone.now() - timedelta(days=1))
    lifted = make_suppression(lifted_at=timezone.now())
    for choice, expected in (("yes", {in_force}), ("no", {ended, lifted})):
        response = admin_client.get(SUPPRESSIONS, {"in_force": choice})
        assert set(response.context["cl"].queryset) == expected


def test_a_suppression_is_lifted_after_a_confirmation(admin_client: Client) -> None:
    suppression = make_suppression()
    data = {"action": "lift", "_selected_action": suppression.pk}
    asked = admin_client.post(SUPPRESSIONS, data)
    assert "may be called again" in asked.content.decode()
    assert Suppression.objects.in_force().count() == 1

    assert admin_client.post(SUPPRESSIONS, data | {"confirmed": "yes"}).status_code == 302
    suppression.refresh_from_db()
    assert suppression.lifted_at is not None
    assert LogEntry.objects.get().object_id == str(suppression.pk)


def test_lifting_asks_for_the_permission_to_change() -> None:
    suppression = make_suppression()
    data = {"action": "lift", "_selected_action": suppression.pk, "confirmed": "yes"}
    page = reverse("admin:contacts_suppression_change", args=[suppression.pk])
    client = staff_client("view_suppression")
    client.post(SUPPRESSIONS, data)
    assert Suppression.objects.in_force().count() == 1
    assert "Lift this" not in client.get(page).content.decode()


def test_contacts_and_suppressions_cannot_be_deleted(admin_client: Client) -> None:
    suppression = make_suppression()
    pages = {
        "contacts_contact_delete": suppression.contact_id,
        "contacts_suppression_delete": suppression.pk,
    }
    for name, pk in pages.items():
        page = reverse(f"admin:{name}", args=[pk])
        assert admin_client.post(page, {"post": "yes"}).status_code == 403
    change = reverse("admin:contacts_suppression_change", args=[suppression.pk])
    assert admin_client.post(change, {"reason": "staff"}).status_code == 403
