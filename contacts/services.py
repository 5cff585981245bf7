"""Bringing people in from outside, and keeping calls from them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from pydantic import ValidationError

from contacts.contact_csv import ContactFile
from contacts.models import Contact, ContactRow, Suppression, SuppressionReason
from contacts.phone_numbers import UnusableNumber, to_e164
from contacts.schemas import ContactIn, number_error
from contacts.validation import ErrorDetail, InvalidInput, Location, error_details


def import_contacts(file: ContactFile, country_code: str | None, *, update_existing: bool) -> int:
    """Store the contacts of a file; return how many people they are.

    All or nothing: raises `InvalidInput` naming every offending element.
    """
    rows = _read_rows(file, country_code)
    return len(Contact.objects.upsert(rows, update_existing=update_existing))


def _read_rows(file: ContactFile, country_code: str | None) -> list[ContactRow]:
    rows: list[ContactRow] = []
    errors = list(file.errors)
    for index, contact in enumerate(file.contacts):
        here = ("body", "contacts", index)
        try:
            rows.append(ContactIn.model_validate(contact).to_row(country_code))
        except ValidationError as error:
            errors += error_details(error, here) + _number_errors(here, contact, country_code)
        except UnusableNumber as error:
            errors.append(number_error(here, error))
    if errors:
        raise InvalidInput(sorted(errors, key=lambda error: int(error["loc"][2])))
    return rows


def _number_errors(
    here: Location, contact: Mapping[str, Any], country_code: str | None
) -> list[ErrorDetail]:
    """What is wrong with the number of a contact that has other faults."""
    try:
        if "numberToCall" in contact:
            to_e164(contact["numberToCall"], country_code)
    except UnusableNumber as error:
        return [number_error(here, error)]
    return []


@transaction.atomic
def suppress_contact(contact: Contact, reason: str, until: datetime | None) -> None:
    """See to it that nobody calls this person until `until` (None: until it is lifted).

    `reason` is a word of `SuppressionReason` or any other text. The same again changes nothing.
    """
    Contact.objects.select_for_update(no_key=True).get(pk=contact.pk)
    known = reason in SuppressionReason.values
    same = {
        "reason": reason if known else SuppressionReason.OTHER,
        "note": "" if known else reason,
        "ends_at": until,
    }
    if not contact.suppressions.in_force().filter(**same).exists():
        contact.suppressions.create(**same)


def lift_suppressions(contact: Contact) -> None:
    """Let this person be called again."""
    contact.suppressions.in_force().update(lifted_at=timezone.now())


@transaction.atomic
def import_suppressions(file: ContactFile, country_code: str | None) -> int:
    """Suppress everyone in a file, for ever and whether known or not; return how many they are.

    All or nothing: raises `InvalidInput` naming every offending element.
    """
    numbers = _read_rows(file, country_code)
    contacts = Contact.objects.upsert(numbers, update_existing=False)
    suppressed = set(
        Suppression.objects.in_force().filter(ends_at=None).values_list("contact_id", flat=True)
    )
    Suppression.objects.bulk_create(
        Suppression(contact=contact, reason=SuppressionReason.DO_NOT_CALL, note="imported")
        for contact in contacts.values()
        if contact.pk not in suppressed
    )
    return len(contacts)
