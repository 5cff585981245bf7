"""An evaluator's answer, held against what was said: nothing in it is invented."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

from django.utils.translation import gettext as _

from calls.evaluation.amounts import amounts_possible, currencies_said, currency_owed
from calls.evaluation.base import Answer, Promise, Question
from calls.evaluation.numerals import in_digits
from calls.evaluation.phrases import Kind
from calls.evaluation.rules import (
    LANGUAGES,
    findings,
    is_addressed_to_machine,
    speaks_of_paying,
)
from calls.evaluation.times import days_said, wait_said
from calls.evaluation.wording import normalise, read_conversation, sentences

PROMISED_WITHIN = timedelta(days=366)
CALL_BACK_WITHIN = timedelta(days=30)
# Words of outcomes that let the person off or believe them; a template may have others than ours.
PERMITTING = {
    Kind.PROMISE_TO_PAY: {"PROMISE", "PROMISED", "PROMISES", "PTP"},
    Kind.ALREADY_PAID: {"PAID"},
}
MIN_QUOTED_WORDS = 2  # in languages the rules do not read
# No telephone call says more words than these in one quotation that would still be a quotation.
MAX_EVIDENCE = 500


def check(question: Question, answer: Answer) -> Answer:
    """The answer without what the transcript does not bear out; its reasoning says what was left
    out. An outcome that restricts is kept as it is.
    """
    notes: list[str] = []
    outcome = _outcome(question, answer, notes)
    promise = Promise()
    if outcome == answer.outcome and _permitted_by(outcome) is Kind.PROMISE_TO_PAY:
        promise = _promise(question, answer.promise, notes)
    call_back_at = answer.call_back_at
    if call_back_at and not _is_said_moment(question, call_back_at):
        call_back_at = None
        notes.append(_("Left out: a time to call back that was not said, or is not near."))
    reasoning = " ".join([answer.reasoning, *notes]).strip()
    return replace(
        answer, outcome=outcome, reasoning=reasoning, promise=promise, call_back_at=call_back_at
    )


# --- The outcome --------------------------------------------------------------------------------


def _outcome(question: Question, answer: Answer, notes: list[str]) -> str:
    kind = _permitted_by(answer.outcome)
    if kind is None or _is_shown(kind, question, answer.evidence):
        return answer.outcome
    notes.append(
        _("%(word)s was not taken over: the customer's own words do not show it.")
        % {"word": answer.outcome}
    )
    return question.listed(Kind.NO_COMMITMENT)


def _permitted_by(word: str) -> Kind | None:
    parts = set(word.split("_"))
    if "NOT" in parts or "NO" in parts:
        return None
    return next((kind for kind, words in PERMITTING.items() if parts & words), None)


def _is_shown(kind: Kind, question: Question, evidence: str) -> bool:
    """By the rules; or by a quotation of the customer's, which in a language that the rules read
    speaks of paying.
    """
    if any(finding.kind is kind for finding in findings(question)):
        return True
    quoted = _flat(evidence[:MAX_EVIDENCE])
    if not quoted or is_addressed_to_machine(normalise(evidence), question):
        return False
    said = _quoted_sentences(quoted, question)
    if not said or any(is_addressed_to_machine(sentence, question) for sentence in said):
        return False
    if _language(question) in LANGUAGES:
        return any(speaks_of_paying(sentence, question) for sentence in said)
    return len(quoted.split()) >= MIN_QUOTED_WORDS


def _quoted_sentences(quoted: str, question: Question) -> list[str]:
    """The customer's sentences, normalised, that the quotation lies in; none if it is not theirs.

    Turns are looked at one by one: what two turns say together, nobody said.
    """
    for turn in read_conversation(question.transcript).turns:
        whole = _flat(turn.text)
        if turn.is_customer and f" {quoted} " in f" {whole} ":
            return [
                sentence
                for sentence in sentences(normalise(turn.text))
                if _flat(sentence) in quoted or quoted in _flat(sentence)
            ] or [normalise(turn.text)]
    return []


def _flat(text: str) -> str:
    return " ".join(re.findall(r"\w+", normalise(text)))


def _language(question: Question) -> str:
    return question.language.split("-")[0].lower()


# --- Promise and time ---------------------------------------------------------------------------


def _promise(question: Question, promise: Promise, notes: list[str]) -> Promise:
    amount, currency, day = promise.amount, promise.currency, promise.date
    if amount is not None and amount not in amounts_possible(question):
        amount = None
        notes.append(_("Left out: an amount that was not said, or is more than is owed."))
    if amount is None:
        currency = ""
    elif currency not in _currencies(question):
        currency = currency_owed(question)
    if day is not None and not _is_said_day(question, day):
        day = None
        notes.append(_("Left out: a day of payment that was not said, or is not within a year."))
    return Promise(amount, currency, day)


def _currencies(question: Question) -> set[str]:
    return {currency_owed(question), *currencies_said(question.transcript)}


def _is_said_day(question: Question, day: date) -> bool:
    in_time = question.today <= day <= question.today + PROMISED_WITHIN
    return in_time and day in set(_days(question))


def _is_said_moment(question: Question, at: datetime) -> bool:
    if not question.started_at < at <= question.started_at + CALL_BACK_WITHIN:
        return False
    if at.astimezone(question.zone).date() in set(_days(question)):
        return True
    text = in_digits(normalise(question.transcript))
    waits = (wait_said(sentence) for sentence in sentences(text))
    moments = [question.started_at + wait for wait in waits if wait]
    return any(abs(at - moment) <= timedelta(minutes=30) for moment in moments)


def _days(question: Question) -> Iterator[date]:
    """Every day that the transcript may mean, whoever said it; today is meant by no word, too."""
    for line in normalise(question.transcript).splitlines():
        for said in days_said(in_digits(line), question.today):
            yield from said.days
