from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from contacts.models import Contact, ContactRow, Suppression
from contacts.tests.factories import make_contact

pytestmark = pytest.mark.django_db
NUMBER = "+966500000001"


def upsert(*rows: ContactRow, update_existing: bool = False) -> dict[str, Contact]:
    return Contact.objects.upsert(rows, update_existing=update_existing)


def test_new_contacts_are_stored_and_returned_by_number() -> None:
    stored = upsert(ContactRow(NUMBER, "أحمد", "الراشد", "a@example.com", "Asia/Riyadh", "SA-01"))
    contact = Contact.objects.get()
    assert stored == {NUMBER: contact}
    assert (contact.full_name, contact.time_zone) == ("أحمد الراشد", "Asia/Riyadh")


def test_an_existing_contact_is_left_alone_without_update_existing() -> None:
    make_contact(phone_number=NUMBER, first_name="Ahmed")
    assert upsert(ContactRow(NUMBER, "Sara"))[NUMBER].first_name == "Ahmed"
    assert Contact.objects.get().first_name == "Ahmed"


def test_update_existing_takes_what_is_given_and_keeps_what_is_absent() -> None:
    before = make_contact(phone_number=NUMBER, first_name="Ahmed", email="a@example.com")
    upsert(ContactRow(NUMBER, "", "Al-Rashid"), update_existing=True)
    after = Contact.objects.get()
    assert (after.first_name, after.last_name, after.email) == (
        "Ahmed",
        "Al-Rashid",
        "a@example.com",
    )
    assert after.updated_at > before.updated_at


def test_an_update_that_changes_nothing_writes_nothing() -> None:
    before = make_contact(phone_number=NUMBER, first_name="Ahmed")
    upsert(ContactRow(NUMBER, "Ahmed"), update_existing=True)
    assert Contact.objects.get().updated_at == before.updated_at


def test_a_number_given_twice_is_one_contact_that_takes_the_first_values() -> None:
    stored = upsert(ContactRow(NUMBER, "", "First"), ContactRow(NUMBER, "Sara", "Second"))
    assert (stored[NUMBER].first_name, stored[NUMBER].last_name) == ("Sara", "First")
    assert Contact.objects.count() == 1


def test_with_update_existing_the_last_value_given_wins() -> None:
    make_contact(phone_number=NUMBER, first_name="Old")
    rows = [ContactRow(NUMBER, "A", "X"), ContactRow(NUMBER, "B", "")]
    stored = upsert(*rows, update_existing=True)
    assert (stored[NUMBER].first_name, stored[NUMBER].last_name) == ("B", "X")


@pytest.mark.parametrize("update_existing", [False, True])
def test_the_number_of_statements_does_not_grow_with_the_chunk(
    django_assert_max_num_queries, update_existing: bool
) -> None:
    """SQLite splits an insert of 500 rows by its limit on parameters; hence the margin."""
    rows = [ContactRow(f"+9665{i:08d}", "A") for i in range(500)]
    with django_assert_max_num_queries(10):
        upsert(*rows, update_existing=update_existing)
    changed = [ContactRow(row.phone_number, "B") for row in rows]
    with django_assert_max_num_queries(16):
        stored = upsert(*changed, update_existing=update_existing)
    assert {c.first_name for c in stored.values()} == {"B" if update_existing else "A"}


def test_the_database_refuses_a_number_that_is_no_e164() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_contact(phone_number="0500000001")


def test_a_suppression_is_in_force_until_it_ends_or_is_lifted() -> None:
    contact, now = make_contact(), timezone.now()
    day = timedelta(days=1)
    forever = contact.suppressions.create(reason="staff")
    until = contact.suppressions.create(reason="staff", ends_at=now + day)
    contact.suppressions.create(reason="staff", ends_at=now - day)
    contact.suppressions.create(reason="staff", lifted_at=now)
    assert set(Suppression.objects.in_force(now)) == {forever, until}
