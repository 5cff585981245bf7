"""Amounts of money that are said in a text, and those of a call's tags."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from calls.evaluation.base import Question
from calls.evaluation.numerals import in_digits
from calls.evaluation.wording import normalise

NUMBER = re.compile(r"(?<![\w.,])\d{1,12}(?:[., ]\d{3})*(?:[.,]\d{1,2})?k?(?![\d])")
GROUPED = re.compile(r"\d{1,3}(?:[., ]\d{3})+")
CURRENCIES = {
    "SAR": r"saudi riyals?|ريال سعودي|ر\.?س",
    "AED": r"dirhams?|درهم\w*|دراهم",
    "EGP": r"egyptian pounds?|جنيه\w*",
    "USD": r"(?:us )?dollars?|\$|دولار\w*",
    "EUR": r"euros?|€|يورو",
    "GBP": r"pounds? sterling|£|استرليني",
    "KWD": r"kuwaiti dinars?|دينار كويتي",
    "BHD": r"bahraini dinars?|دينار بحريني",
    "JOD": r"jordanian dinars?|دينار اردني",
    "QAR": r"qatari riyals?|ريال قطري",
    "OMR": r"omani rials?|ريال عماني",
}
# Money, though of which country is not said.
UNNAMED = r"riyals?|rials?|ريال\w*|dinars?|دينار\w*|دنانير|pounds?|rupees?|ليره"
CODE = re.compile(r"(?<![a-z])(sar|aed|egp|usd|eur|gbp|kwd|bhd|jod|qar|omr|inr|pkr|try|mad|tnd)\b")
MONEY = "|".join([*CURRENCIES.values(), UNNAMED, CODE.pattern])
WITH_MONEY = re.compile(rf"{NUMBER.pattern} ?(?:{MONEY})|(?:{MONEY}) ?{NUMBER.pattern}")
AMOUNT_TAG = re.compile(
    r"amount|balance|total|sum|debt|owed|outstanding|principal|payment|fee|price|مبلغ|رصيد|دين",
    re.IGNORECASE,
)
NO_AMOUNT_TAG = re.compile(r"date|day|number|reference|phone|name|تاريخ|رقم", re.IGNORECASE)
HALF = re.compile(r"\bhalf\b(?! an hour)|(?<!\w)نصف(?! ساعه)|(?<!\w)نص(?!\w)")


def readings(number: str) -> Iterator[Decimal]:
    """What a number as written may mean: 5.000 is five, or five thousand."""
    scale = 1000 if number.endswith("k") else 1
    plain = number.rstrip("k").replace(" ", "")
    if GROUPED.match(number):
        whole, _, rest = re.sub(r"[., ](?=\d{3}(?!\d))", "", number.rstrip("k")).partition(".")
        whole, _, cents = whole.partition(",")
        yield Decimal(f"{whole}.{rest or cents or 0}") * scale
    if re.fullmatch(r"\d+(?:\.\d+|,\d{1,2})?", plain):
        yield Decimal(plain.replace(",", ".")) * scale


def numbers_said(text: str) -> set[Decimal]:
    """Every number of a text, in figures or words, each in all its readings."""
    spelled = in_digits(normalise(text))
    return {value for found in NUMBER.findall(spelled) for value in readings(found)}


def money_said(text: str) -> set[Decimal]:
    """The numbers of a text that stand beside a currency."""
    spelled = in_digits(normalise(text))
    numbers = (NUMBER.search(found[0]) for found in WITH_MONEY.finditer(spelled))
    return {value for number in numbers if number for value in list(readings(number[0]))[:1]}


def currencies_said(text: str) -> set[str]:
    """The currencies that a text names without a doubt, as ISO 4217 codes."""
    said = normalise(text)
    named = {
        code for code, words in CURRENCIES.items() if re.search(rf"(?<!\w)(?:{words})(?!\w)", said)
    }
    return named | {found.upper() for found in CODE.findall(said)}


def amount_tags(tags: Mapping[str, str]) -> list[str]:
    """The values of the tags that state an amount."""
    return [
        value
        for name, value in tags.items()
        if (AMOUNT_TAG.search(name) and not NO_AMOUNT_TAG.search(name)) or money_said(value)
    ]


def amounts_owed(question: Question) -> set[Decimal]:
    """The amounts that the tags state."""
    return {
        amount for value in amount_tags(question.tags) for amount in numbers_said(value) if amount
    }


def currency_owed(question: Question) -> str:
    """The one currency that the tags name, or nothing."""
    named = set().union(*map(currencies_said, question.tags.values()))
    return named.pop() if len(named) == 1 else ""


def amounts_possible(question: Question) -> set[Decimal]:
    """The amounts that somebody may have promised: said in the call and no more than is owed, or
    owed; half of it where “half” is said.
    """
    owed = amounts_owed(question)
    said = numbers_said(question.transcript)
    if HALF.search(normalise(question.transcript)):
        said |= {amount / 2 for amount in owed}
    return owed | {amount for amount in said if amount > 0 and (not owed or amount <= max(owed))}
