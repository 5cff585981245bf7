"""CSV files of contacts: a header line with the names of the API's contact object.

`promptTags` and `metadata` take a JSON object, or a column per key: `promptTags.amount`.
"""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from contacts.validation import ErrorDetail, InvalidInput, Location, error_detail

COLUMNS = (
    "numberToCall",
    "firstName",
    "lastName",
    "email",
    "timeZone",
    "region",
    "debtReference",
    "metadata",
    "promptTags",
    "consent",
)
OBJECTS = ("metadata", "promptTags", "consent")


@dataclass(frozen=True, slots=True)
class ContactFile:
    """Rows as contact objects, for each its place in the file (`Line 2`), and the cells that could
    not be read: they are missing in the contacts.
    """

    contacts: list[dict[str, Any]]
    places: dict[int, str]
    errors: list[ErrorDetail]


def read_contacts(content: bytes) -> ContactFile:
    """Read a file: UTF-8, with or without a byte order mark; commas, semicolons or tabs. Empty
    cells and empty lines are left out. Raises `InvalidInput` where it is no such file.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refusal("The file is not UTF-8: save it as “CSV UTF-8”.") from None
    if "\0" in text:
        raise _refusal("The file holds NUL characters: it is no CSV file.")
    header_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        contacts: list[dict[str, Any]] = []
        places: dict[int, str] = {}
        errors: list[ErrorDetail] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            index = len(contacts)
            places[index] = f"Line {reader.line_num}"
            contact, faults = _read_row(header, cells, index)
            contacts.append(contact)
            errors += faults
    except csv.Error as error:
        raise _refusal(f"Line {reader.line_num}: {error}.") from None
    return ContactFile(contacts, places, errors)


def _refusal(message: str) -> InvalidInput:
    return InvalidInput([error_detail(["body", "contacts"], message, "csv")])


def _check_header(header: list[str]) -> None:
    if "numberToCall" not in header:
        raise _refusal("The first line must name the columns, numberToCall among them.")
    if repeated := {name for name in header if name and header.count(name) > 1}:
        raise _refusal(f"The first line names a column twice: {', '.join(sorted(repeated))}.")
    unknown = [name for name in header if name and not _is_known(name)]
    if unknown:
        raise _refusal(
            f"The first line names unknown columns: {', '.join(unknown)}. Known are"
            f" {', '.join(COLUMNS)}, promptTags.TAG and metadata.KEY."
        )


def _is_known(name: str) -> bool:
    parent, dot, key = name.partition(".")
    return (parent in OBJECTS and bool(key)) if dot else name in COLUMNS


def _read_row(
    header: list[str], cells: list[str], index: int
) -> tuple[dict[str, Any], list[ErrorDetail]]:
    contact: dict[str, Any] = {}
    errors: list[ErrorDetail] = []
    here: Location = ("body", "contacts", index)
    if len(cells) > len(header):
        errors.append(error_detail(here, "The line has more cells than the header", "csv"))
    for name, cell in zip(header, cells, strict=False):
        if not name or not cell.strip():
            continue
        parent, dot, key = name.partition(".")
        if dot:
            contact.setdefault(parent, {})[key] = cell
        elif name in OBJECTS:
            try:
                value = json.loads(cell)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict):
                errors.append(error_detail([*here, name], "Give a JSON object", "csv"))
                continue
            contact[name] = value | contact.get(name, {})
        else:
            contact[name] = cell
    return contact, errors
