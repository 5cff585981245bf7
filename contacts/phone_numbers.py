"""Telephone numbers as people write them, turned into E.164."""

import re
import unicodedata

import phonenumbers
from phonenumbers import PhoneNumberFormat, ValidationResult

REGIONS = phonenumbers.SUPPORTED_REGIONS
MAX_WRITTEN_LENGTH = 64
LEADING_DOUBLE_ZERO = re.compile(r"^[\s(]*0[\s-]?0[\s)]*")


class UnusableNumber(ValueError):
    """The text is no number that could be dialled; the message says why, without the number."""


def to_e164(text: str, region: str | None) -> str:
    """The E.164 form of `text`.

    `region` (ISO 3166-1 alpha-2) reads numbers written without a country code. The region's own
    international prefix is tried first; where it does not apply, a leading `00` reads as `+`.
    Digits of every script, spaces and dashes are understood. Raises `UnusableNumber`.
    """
    if len(text) > MAX_WRITTEN_LENGTH:
        raise UnusableNumber(f"is longer than {MAX_WRITTEN_LENGTH} characters")
    number = _parse(text, region)
    if number is None or not _is_possible(number):
        with_plus = LEADING_DOUBLE_ZERO.sub("+", _with_ascii_digits(text))
        if with_plus.startswith("+"):
            number = _parse(with_plus, None)
    if number is None:
        raise UnusableNumber(_why_not_parsed(text, region))
    if number.extension:
        raise UnusableNumber("has an extension: give the number without it")
    match phonenumbers.is_possible_number_with_reason(number):
        case ValidationResult.IS_POSSIBLE:
            return phonenumbers.format_number(number, PhoneNumberFormat.E164)
        case ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            raise UnusableNumber("lacks its area code: it can only be dialled locally")
        case ValidationResult.TOO_SHORT:
            raise UnusableNumber("is too short for its country")
        case ValidationResult.TOO_LONG:
            raise UnusableNumber("is too long for its country")
        case _:
            raise UnusableNumber("has a length that its country does not use")


def _parse(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _is_possible(number: phonenumbers.PhoneNumber) -> bool:
    reason = phonenumbers.is_possible_number_with_reason(number)
    return bool(reason == ValidationResult.IS_POSSIBLE)


def _with_ascii_digits(text: str) -> str:
    return "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in text)


def _why_not_parsed(text: str, region: str | None) -> str:
    if region is None and text.strip()[:1].isdecimal():
        return "has no country code: write it as +966500000001, or set countryCode"
    return "is not a telephone number that can be dialled"
