"""The evaluator that needs no other: fixed words, in English and Arabic. It says so."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

from django.utils.translation import gettext as _

from calls.evaluation.amounts import HALF, amounts_owed, currencies_said, currency_owed, money_said
from calls.evaluation.base import Answer, Evaluator, Promise, Question
from calls.evaluation.numerals import in_digits
from calls.evaluation.phrases import (
    ABOUT_PAYING,
    ASKED,
    FOR_GOOD,
    NO,
    NOTHING_OWED,
    OFFER,
    PHRASES,
    RUDE,
    SOME_TIME_ONLY,
    TO_THE_MACHINE,
    UNLESS,
    VAGUE,
    YES,
    Kind,
)
from calls.evaluation.times import days_said, moment_said
from calls.evaluation.wording import normalise, read_conversation, sentences
from calls.statuses import Sentiment

Value = TypeVar("Value", date, Decimal)
LANGUAGES = ("en", "ar")
# A question of the customer's neither promises nor claims anything.
ASSERTED = {Kind.PROMISE_TO_PAY, Kind.ALREADY_PAID}
# What a day alone can answer.
DATED = {Kind.PROMISE_TO_PAY, Kind.CALL_BACK}
WHOLE = re.compile(r"\b(?:all of it|everything|in full|the (?:full|whole))\b|كامل|كل المبلغ")
# Words between quotation marks in a reasoning are cut at this length.
MAX_QUOTE = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """By which words of the customer's a kind is shown; `context` is the sentence, with the
    agent's question before it where it is an answer.
    """

    kind: Kind
    words: str
    context: str
    is_answer: bool = False


class RulesEvaluator(Evaluator):
    def evaluate(self, question: Question) -> Answer:
        conversation = read_conversation(question.transcript)
        found = findings(question)
        kind = decide(found)
        if not conversation.turns or (not found and not _reads(question)):
            return _nothing_read(question, is_empty=not conversation.turns)
        promise = _promise(question, found) if kind is Kind.PROMISE_TO_PAY else Promise()
        doubts = list(_doubts(found, kind, conversation.is_marked))
        return Answer(
            outcome=question.listed(kind),
            reasoning=" ".join([_decided_by(found, kind), *_unlisted(question, kind), *doubts]),
            sentiment=_sentiment(kind, conversation.customers_text),
            sentiment_reasoning=_("Decided by rules, from the outcome and from rude words."),
            summary=_summary(kind, promise),
            call_back_at=_call_back_at(question, found) if kind is Kind.CALL_BACK else None,
            promise=promise,
            evidence=next((finding.words for finding in found if finding.kind is kind), ""),
        )


def findings(question: Question) -> list[Finding]:
    """Everything that the customer's own words show, in their order."""
    found: list[Finding] = []
    asked = ""
    for turn in read_conversation(question.transcript).turns:
        said = sentences(normalise(turn.text))
        if turn.is_customer:
            found += _of_turn(said, asked, question)
            asked = ""
        else:
            asked = said[-1] if said else ""
    return _weighed(found)


def decide(found: list[Finding]) -> Kind:
    """The most protective kind that was found."""
    kinds = {finding.kind for finding in found}
    return next((kind for kind in Kind if kind in kinds), Kind.NO_COMMITMENT)


def is_addressed_to_machine(sentence: str, question: Question) -> bool:
    """Is a normalised sentence meant for whoever evaluates, not for the agent?"""
    words = (word.lower() for word in question.words)
    return bool(TO_THE_MACHINE.search(sentence)) or any("_" in w and w in sentence for w in words)


def _of_turn(said: list[str], asked: str, question: Question) -> Iterator[Finding]:
    for position, sentence in enumerate(said):
        if is_addressed_to_machine(sentence, question):
            # Only what restricts is taken from it: nobody is called for such words.
            yield from _stated(sentence, question, {Kind.DO_NOT_CALL})
            continue
        yield from _stated(sentence, question, set(PHRASES))
        if position == 0 or days_said(in_digits(sentence), question.today):
            yield from _answered(sentence, asked, question, is_first=position == 0)


def _stated(sentence: str, question: Question, kinds: set[Kind]) -> Iterator[Finding]:
    is_question = sentence.endswith("?")
    for kind, pattern in PHRASES.items():
        if kind not in kinds or (is_question and kind in ASSERTED):
            continue
        if UNLESS[kind].search(sentence):
            continue
        if kind is Kind.PROMISE_TO_PAY:
            if words := _promised(sentence, question):
                yield Finding(kind, words, sentence)
        elif match := pattern.search(sentence):
            yield Finding(kind, match[0].strip(), sentence)


def _promised(sentence: str, question: Question) -> str:
    """The words of a promise: clear ones, or a payment that is offered with a day."""
    has_day = bool(days_said(in_digits(sentence), question.today))
    clear = PHRASES[Kind.PROMISE_TO_PAY].search(sentence)
    if clear and (has_day or not VAGUE.search(sentence)):
        return clear[0].strip()
    offer = OFFER.search(sentence)
    return offer[0].strip() if offer and has_day else ""


def _answered(sentence: str, asked: str, question: Question, is_first: bool) -> Iterator[Finding]:
    """What a “yes”, or a day, means as an answer to the agent's question."""
    kinds = [kind for kind, pattern in ASKED.items() if pattern.search(asked)]
    if len(kinds) != 1 or sentence.endswith("?"):
        return
    [kind] = kinds
    context = f"{asked} {sentence}"
    if is_first and YES.match(sentence) and not NO.search(sentence):
        yield Finding(kind, _quoted(sentence), context, is_answer=True)
    elif kind in DATED and _is_day_for(kind, sentence, question):
        yield Finding(kind, _quoted(sentence), sentence, is_answer=True)


def _is_day_for(kind: Kind, sentence: str, question: Question) -> bool:
    has_day = bool(days_said(in_digits(sentence), question.today))
    return has_day and not UNLESS[kind].search(sentence) and not NO.search(sentence)


def _quoted(sentence: str) -> str:
    return sentence.strip(" .!,;")[:MAX_QUOTE]


def _weighed(found: list[Finding]) -> list[Finding]:
    """Without what other words of the customer's set right."""
    kinds = {finding.kind for finding in found}
    kept = []
    for finding in found:
        is_soft_dispute = finding.kind is Kind.DISPUTE and NOTHING_OWED.match(finding.words)
        if is_soft_dispute and Kind.ALREADY_PAID in kinds:
            continue
        is_for_now = (
            finding.kind is Kind.DO_NOT_CALL
            and SOME_TIME_ONLY.search(finding.context)
            and not FOR_GOOD.search(finding.context)
        )
        if is_for_now and Kind.CALL_BACK in kinds:
            continue
        kept.append(finding)
    return kept


def _reads(question: Question) -> bool:
    return question.language.split("-")[0].lower() in LANGUAGES


def _nothing_read(question: Question, *, is_empty: bool) -> Answer:
    reason = (
        _("Decided by rules: nothing was said.")
        if is_empty
        else _(
            "Decided by rules, which read English and Arabic only: no outcome was found in this"
            " language."
        )
    )
    return Answer("", reason, sentiment_reasoning=_("Decided by rules: nothing was read."))


# --- What is told -------------------------------------------------------------------------------


def _decided_by(found: list[Finding], kind: Kind) -> str:
    if kind is Kind.NO_COMMITMENT:
        return _("Decided by rules: none of the words they know was said by the customer.")
    quotes = dict.fromkeys(finding.words[:MAX_QUOTE] for finding in found if finding.kind is kind)
    words = ", ".join(f"“{quote}”" for quote in list(quotes)[:3])
    return _("Decided by rules, by the customer's words: %(words)s.") % {"words": words}


def _unlisted(question: Question, kind: Kind) -> Iterator[str]:
    if kind not in question.words:
        yield _("The template lists no %(word)s.") % {"word": kind.value}


def _doubts(found: list[Finding], kind: Kind, is_marked: bool) -> Iterator[str]:
    if not is_marked:
        yield _("Low confidence: the transcript does not say who speaks.")
    if kind is Kind.NO_COMMITMENT:
        yield _("Low confidence: it may have been said in other words.")
    elif all(finding.is_answer for finding in found if finding.kind is kind):
        yield _("Low confidence: it is only an answer to the agent's question.")
    others = dict.fromkeys(finding.kind.value for finding in found if finding.kind is not kind)
    if others:
        yield _("Low confidence: other words were said too, for %(words)s.") % {
            "words": ", ".join(others)
        }


def _sentiment(kind: Kind, customers_text: str) -> Sentiment:
    is_rude = bool(RUDE.search(normalise(customers_text)))
    if is_rude or kind in {Kind.DO_NOT_CALL, Kind.DISPUTE, Kind.REFUSED}:
        return Sentiment.NEGATIVE
    return Sentiment.POSITIVE if kind is Kind.PROMISE_TO_PAY else Sentiment.NEUTRAL


def _summary(kind: Kind, promise: Promise) -> str:
    said = {
        Kind.DO_NOT_CALL: _("The customer asks not to be called again."),
        Kind.WRONG_NUMBER: _("The number belongs to someone else."),
        Kind.DISPUTE: _("The customer disputes the debt or its amount."),
        Kind.ALREADY_PAID: _("The customer says that it has been paid."),
        Kind.REFUSED: _("The customer refuses to pay."),
        Kind.PROMISE_TO_PAY: _("The customer promises to pay."),
        Kind.CALL_BACK: _("The customer asks to be called at another time."),
        Kind.NO_COMMITMENT: _("The customer commits to nothing."),
    }[kind]
    if promise.date:
        day = _("The day named is %(day)s.") % {"day": promise.date.isoformat()}
        return f"{said} {day}"
    return said


# --- What was promised --------------------------------------------------------------------------


def _promise(question: Question, found: list[Finding]) -> Promise:
    """The last promise counts; what it leaves out or leaves open is left out here."""
    contexts = [finding.context for finding in found if finding.kind is Kind.PROMISE_TO_PAY]
    days = _last(_day(context, question) for context in contexts)
    amount = _last(_amount(context, question) for context in contexts)
    currency = ""
    if amount:
        said = currencies_said("\n".join(contexts))
        currency = said.pop() if len(said) == 1 else currency_owed(question)
    return Promise(amount, currency, days)


def _last(values: Iterator[Value | None]) -> Value | None:
    told = [value for value in values if value]
    return told[-1] if told else None


def _day(context: str, question: Question) -> date | None:
    days = {day for said in days_said(in_digits(context), question.today) for day in said.days}
    return days.pop() if len(days) == 1 else None


def _amount(context: str, question: Question) -> Decimal | None:
    owed = amounts_owed(question)
    amounts = money_said(context)
    if not amounts and len(owed) == 1:
        whole = next(iter(owed))
        if HALF.search(context):
            amounts = {whole / 2}
        elif WHOLE.search(context):
            amounts = {whole}
    return amounts.pop() if len(amounts) == 1 else None


def _call_back_at(question: Question, found: list[Finding]) -> datetime | None:
    at = question.started_at.astimezone(question.zone)
    contexts = [finding.context for finding in found if finding.kind is Kind.CALL_BACK]
    moments = (moment_said(in_digits(context), at) for context in reversed(contexts))
    return next((moment for moment in moments if moment), None)


def speaks_of_paying(sentence: str, question: Question) -> bool:
    """Does a normalised sentence name a payment, a day or money, without denying it?"""
    is_about = bool(
        ABOUT_PAYING.search(sentence)
        or money_said(sentence)
        or days_said(in_digits(sentence), question.today)
    )
    return is_about and not PHRASES[Kind.REFUSED].search(sentence)
