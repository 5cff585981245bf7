"""What a caller may say about a person."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import validate_email
from django.utils import timezone
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from contacts.models import ContactRow
from contacts.phone_numbers import UnusableNumber, to_e164
from contacts.validation import ErrorDetail, Location, error_detail


def without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "A NUL character cannot be stored")
    return text


def _is_email(text: str) -> str:
    try:
        if text:
            validate_email(text)
    except DjangoValidationError:
        raise PydanticCustomError("email", "Input should be a valid email address") from None
    return text


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _is_time_zone(text: str) -> str:
    if text and text not in _time_zones():
        raise PydanticCustomError(
            "time_zone", "Input should be an IANA time zone, such as Asia/Riyadh"
        )
    return text


# pydantic's own constraints come before ours, or their messages speak of items, not characters.
Text = Annotated[str, AfterValidator(without_nul)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=255), AfterValidator(without_nul)
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=254),
    AfterValidator(_is_email),
    Field(json_schema_extra={"format": "email"}),
]
TimeZone = Annotated[
    str, AfterValidator(_is_time_zone), Field(json_schema_extra={"format": "time-zone"})
]
Region = Annotated[str, StringConstraints(pattern=r"^([A-Z]{2}-[A-Z0-9]{1,3})?$")]


class ContactIn(BaseModel):
    """One person as a caller describes them; unknown fields are ignored, null equals absent."""

    model_config = ConfigDict(extra="ignore")

    number_to_call: Text = Field(
        alias="numberToCall",
        description="E.164, or as written in the country of `countryCode`; no extension",
        examples=["+966500000001"],
        json_schema_extra={"format": "phone"},
    )
    first_name: Name | None = Field(None, alias="firstName")
    last_name: Name | None = Field(None, alias="lastName")
    email: Email | None = None
    time_zone: TimeZone | None = Field(
        None, alias="timeZone", description="IANA time zone", examples=["Asia/Riyadh"]
    )
    region: Region | None = Field(None, description="ISO 3166-2 subdivision", examples=["US-CA"])

    def to_row(self, country_code: str | None) -> ContactRow:
        """Raises `UnusableNumber`."""
        return ContactRow(
            phone_number=to_e164(self.number_to_call, country_code),
            first_name=self.first_name or "",
            last_name=self.last_name or "",
            email=self.email or "",
            time_zone=self.time_zone or "",
            region=self.region or "",
        )


def _is_to_come(time: datetime) -> datetime:
    """In UTC: PostgreSQL takes no offset of 16 hours or more, and the year 9999 ends in it."""
    try:
        in_utc = time.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("future", "Input should be a time before the year 9999") from None
    if in_utc <= timezone.now():
        raise PydanticCustomError("future", "Input should be a time to come")
    return in_utc


class SuppressionIn(BaseModel):
    """Why a person is not to be called, and until when."""

    reason: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
        AfterValidator(without_nul),
        Field(examples=["do_not_call"]),
    ]
    until: Annotated[AwareDatetime, AfterValidator(_is_to_come)] | None = None


def number_error(loc: Location, error: UnusableNumber) -> ErrorDetail:
    return error_detail((*loc, "numberToCall"), f"The number {error}", "phone_number")
