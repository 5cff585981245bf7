"""How input is refused: every offending element is named, and no value is echoed."""

import re
from collections.abc import Iterable, Mapping
from typing import TypedDict, TypeVar
from uuid import UUID

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

Location = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class ErrorDetail(TypedDict):
    """One offending element: where it stands, what is wrong with it, and the kind of error."""

    loc: list[str | int]
    msg: str
    type: str


class InvalidInput(ValueError):
    """Input that was refused whole; `errors` names every offending element.

    No message holds any part of an offending value: it may be personal data.
    """

    def __init__(self, errors: list[ErrorDetail]) -> None:
        self.errors = errors
        super().__init__(f"{len(errors)} invalid elements")


def error_detail(loc: Iterable[str | int], msg: str, type: str) -> ErrorDetail:
    return {"loc": list(loc), "msg": msg, "type": type}


def raw_body(data: object) -> bytes:
    """The bytes of `request.data`; an empty body never reaches the parser, and is no bytes."""
    return data if isinstance(data, bytes) else b""


def read_uuid(name: str, text: str) -> UUID:
    """A UUID of the path. Raises `InvalidInput`."""
    try:
        uuid = UUID(text)
    except ValueError:
        uuid = None
    if uuid is None or str(uuid) != text.lower():  # braces, urn: and the like
        message = "Input should be a valid UUID"
        raise InvalidInput([error_detail(["path", name], message, "uuid_parsing")])
    return uuid


def read_body(model: type[Model], body: bytes) -> Model:
    """The JSON body as `model`. Raises `InvalidInput`."""
    try:
        return model.model_validate_json(body)
    except PydanticValidationError as error:
        raise InvalidInput(error_details(error, ("body",), body)) from None


def error_details(
    error: PydanticValidationError, prefix: Location, body: bytes = b""
) -> list[ErrorDetail]:
    """pydantic's errors, without what echoes the value that was refused."""
    details = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        loc: Location = (*prefix, *found["loc"])
        message = found["msg"]
        if found["type"] == "json_invalid":
            loc = (*prefix, _broken_json_offset(body, message))
        elif found["type"].endswith("_parsing"):
            message = message.split(",")[0]  # what follows quotes a character of the value
        details.append(error_detail(loc, message.removeprefix("Value error, "), found["type"]))
    return details


def _broken_json_offset(body: bytes, message: str) -> int:
    """The byte at which `body` stops being JSON, from the parser's `… at line 2 column 7`."""
    if "EOF while" in message:
        return len(body)
    if not (place := re.search(r"line (\d+) column (\d+)$", message)):
        return 0
    line, column = int(place[1]), int(place[2])
    lines_before = body.split(b"\n", line - 1)[: line - 1]
    return min(sum(len(text) + 1 for text in lines_before) + max(column - 1, 0), len(body))


def describe(error: ErrorDetail, rows: Mapping[int, str] | None = None) -> str:
    """An error as a line for people: `contacts 3, numberToCall: The number is too short …`."""
    loc = [part for part in error["loc"] if part != "body"]
    if loc[:1] == ["contacts"] and len(loc) > 1 and isinstance(loc[1], int):
        row = (rows or {}).get(loc[1], f"Contact {loc[1] + 1}")
        loc = [row, *loc[2:]]
    place = ", ".join(map(str, loc))
    return f"{place}: {error['msg']}" if place else error["msg"]
