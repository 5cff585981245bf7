"""What is said in a simulated conversation, and how it is reported.

The debt is stated only to somebody who has confirmed being the right person, and only in the
words of the system prompt. What the template's own first message gives away is the template's.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from django.utils import dateformat, timezone, translation

from calls.providers.base import CallRequest, Ending
from calls.providers.simulated.arabic import ARABIC
from calls.providers.simulated.course import Course
from calls.providers.simulated.english import ENGLISH
from calls.providers.simulated.language import WISHES, Language, Turn, agent
from calls.providers.simulated.personas import Dice, Persona

FALLBACK_WORD = "NO_COMMITMENT"
PROMISED_DAYS = (3, 10)  # from the call to the promised payment, at least and at most
SENTENCE_END = re.compile(r"\n+|(?<=[.!?؟])\s+(?=\D)")
DIGIT_AND_LETTER = re.compile(r"(?=.*\d).*[^\W\d_]")


def add_conversation(ending: Ending, request: CallRequest, course: Course) -> Ending:
    """The ending with its texts; as it was where the persona does not talk."""
    traits = course.persona.traits
    if not traits.word:
        return ending
    language = language_of(request)
    scene = language.scenes[course.persona]
    date = promised_date(request, course.dice, language)
    outcome, reasoning = report_outcome(request, traits.word, scene.outcome_reasoning, language)
    return replace(
        ending,
        outcome=outcome,
        outcome_reasoning=reasoning,
        sentiment=traits.sentiment,
        sentiment_reasoning=scene.sentiment_reasoning,
        summary=language.summary.format(summary=scene.summary.format(date=date)),
        transcript=write_transcript(request, course, language, date),
        call_back_at=wished_time(request, course, language),
    )


def language_of(request: CallRequest) -> Language:
    return ARABIC if request.language.split("-")[0].lower() == "ar" else ENGLISH


def promised_date(request: CallRequest, dice: Dice, language: Language) -> str:
    """The day as the customer would say it, in the time zone of the settings."""
    days = dice.whole(*PROMISED_DAYS, "promise")
    day = timezone.localdate(request.started_at) + timedelta(days=days)
    with translation.override(language.code):
        return dateformat.format(day, language.date_format)


def report_outcome(
    request: CallRequest, word: str, reasoning: str, language: Language
) -> tuple[str, str]:
    """Outcome word and reasoning: the word if the template lists it, else `FALLBACK_WORD` if it
    lists that, else empty; the reasoning says when the fitting word was missing.
    """
    listed = {known for known, _ in request.outcomes}
    if word in listed:
        return word, reasoning
    fallback = FALLBACK_WORD if FALLBACK_WORD in listed else ""
    return fallback, language.no_word.format(reasoning=reasoning)


def write_transcript(request: CallRequest, course: Course, language: Language, date: str) -> str:
    quote = debt_sentence(request.system_prompt)
    lines = []
    for position, turn in enumerate(turns_of(request, course.persona, language, quote)):
        text = course.dice.pick(turn.variants, f"turn {position}")
        lines.append(f"{language.speakers[turn.speaker]}: {text.format(quote=quote, date=date)}")
    return "\n".join(lines)


def wished_time(request: CallRequest, course: Course, language: Language) -> datetime | None:
    """When the customer asks in the transcript to be called again, in the time zone of the
    settings; None if they do not.
    """
    for position, turn in enumerate(turns_of(request, course.persona, language, quote="")):
        if turn.is_wish:
            days, at = course.dice.pick(WISHES, f"turn {position}")
            zone = timezone.get_default_timezone()
            day = timezone.localdate(request.started_at, zone) + timedelta(days=days)
            return datetime.combine(day, at, zone)
    return None


def turns_of(
    request: CallRequest, persona: Persona, language: Language, quote: str
) -> Iterator[Turn]:
    if first_message := " ".join(request.first_message.split()):
        yield agent(first_message.replace("{", "{{").replace("}", "}}"))
    else:
        yield language.pick_up
        yield language.greeting
    yield language.ask
    yield language.verify
    if persona is not Persona.WRONG_NUMBER:
        yield language.confirm
        yield language.debt if quote else language.debt_unstated
    yield from language.scenes[persona].turns


def debt_sentence(system_prompt: str) -> str:
    """The prompt's first sentence with a figure in it, literally; empty if there is none."""
    sentences = (part.strip(" \t\r-*•") for part in SENTENCE_END.split(system_prompt))
    return next((sentence for sentence in sentences if DIGIT_AND_LETTER.match(sentence)), "")
