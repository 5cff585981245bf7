"""What it means that Vapi did not take a call."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext

from calls.providers.base import AccountError, PermanentError, TemporaryError
from calls.providers.vapi.api import Answer, UnexpectedAnswer
from calls.statuses import CallStatus

# Of the person's number, in Vapi's own words or in those of the carrier that it asks.
BAD_NUMBER = re.compile(
    r"\bcustomer\.(number|sipuri)\b|\be\.164\b|invalid 'to'|not a valid phone number"
    r"|does not appear to be valid|\bunallocated number\b",
    re.IGNORECASE,
)
# Of our own.
OWN_NUMBER = re.compile(r"\bphone ?number(id)?\b.*\b(not found|does not exist)", re.IGNORECASE)
FULL = re.compile(r"concurren|rate.?limit|too many requests", re.IGNORECASE)
DAILY_LIMIT = re.compile(r"daily.*limit", re.IGNORECASE)
NO_CREDIT = re.compile(
    r"wallet|credit|balance|billing|payment|subscription|upgrade|frozen", re.IGNORECASE
)
INTERNATIONAL = re.compile(r"international", re.IGNORECASE)
PATH = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)*")


def refusal(answer: Answer, asked: Mapping[str, Any]) -> Exception:
    """The error that an answer other than 2xx stands for; `asked` is the body that was sent.

    What staff read names fields of it, and never what stood in them.
    """
    status = answer.status
    if status in {400, 422}:
        return _of_body(answer, asked)
    if error := account_error(status):
        return error
    if status == 429:
        return TemporaryError("vapi_answered_429")
    if status == 408 or not 400 <= status < 500:
        return UnexpectedAnswer(status)
    return PermanentError(f"vapi_answered_{status}")


def account_error(status: int) -> AccountError | None:
    """The error of a status that is the account's fault, whatever was asked."""
    match status:
        case 401:
            return AccountError(gettext("Vapi refuses the private key (401)."))
        case 402:
            return AccountError(gettext("Vapi asks for payment (402): top up the wallet."))
        case 403:
            return AccountError(
                gettext("Vapi does not allow it with this key or subscription (403).")
            )
        case 404 | 405:
            text = gettext("Vapi's API, or what the account names, is not there (%(status)s).")
            return AccountError(text % {"status": status})
    return None


def _of_body(answer: Answer, asked: Mapping[str, Any]) -> Exception:
    """A refused body is the account's fault, unless the person's number is: every call has the
    same settings, so the next would be refused as well.
    """
    words = " ".join(_messages(answer))
    if BAD_NUMBER.search(words) and not OWN_NUMBER.search(words):
        return PermanentError("invalid_number", CallStatus.INVALID_NUMBER)
    if DAILY_LIMIT.search(words):
        return AccountError(
            gettext("The number bought from Vapi has reached its daily limit; import one.")
        )
    if FULL.search(words):
        return TemporaryError("vapi_concurrency_limit")
    if INTERNATIONAL.search(words):
        return AccountError(gettext("Vapi's number calls nobody abroad; import one that does."))
    if NO_CREDIT.search(words):
        return AccountError(gettext("Vapi refuses the subscription, or the wallet is empty (400)."))
    if fields := _fields_in(words, asked):
        text = gettext("Vapi refuses what the account or the template sets: %(fields)s.")
        return AccountError(text % {"fields": ", ".join(fields)})
    return AccountError(
        gettext("Vapi refuses what the account or the template sets (%(status)s).")
        % {"status": answer.status}
    )


def _messages(answer: Answer) -> list[str]:
    try:
        told = answer.told()
    except UnexpectedAnswer:
        return []
    if not isinstance(told, dict):
        return []
    found: list[Any] = []
    for name in ("message", "error", "errors"):
        said = told.get(name)
        found += said if isinstance(said, list) else [said]
    return [line for line in found if isinstance(line, str)]


def _fields_in(words: str, asked: Mapping[str, Any]) -> list[str]:
    """The first few fields of the body that the words name, by their paths."""
    known = set(_names(asked))
    paths = (path for path in PATH.findall(words) if "." in path or path in asked)
    ours = [path for path in paths if all(s in known or s.isdigit() for s in path.split("."))]
    return list(dict.fromkeys(ours))[:3]


def _names(told: Any) -> Iterable[str]:
    if isinstance(told, Mapping):
        for name, value in told.items():
            yield name
            yield from _names(value)
    elif isinstance(told, list):
        for value in told:
            yield from _names(value)
