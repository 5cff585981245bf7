"""Bringing people in from outside."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contacts.contact_csv import ContactFile
from contacts.models import Contact, ContactRow
from contacts.phone_numbers import UnusableNumber, to_e164
from contacts.schemas import ContactIn, number_error
from contacts.validation import ErrorDetail, InvalidInput, Location, error_details


def import_contacts(file: ContactFile, country_code: str | None, *, update_existing: bool) -> int:
    """Store the contacts of a file; return how many people they are.

    All or nothing: raises `InvalidInput` naming every offending element.
    """
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
    return len(Contact.objects.upsert(rows, update_existing=update_existing))


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
