"""The simulated provider: the same call everywhere, and nobody reached."""

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pytest_django.fixtures import Settings

from calls.providers.base import CallRequest, Ending, Event, EventKind
from calls.providers.simulated import SimulatedProvider
from calls.providers.simulated.arabic import ARABIC
from calls.providers.simulated.conversations import debt_sentence
from calls.providers.simulated.english import ENGLISH
from calls.providers.simulated.language import Language
from calls.providers.simulated.personas import TRAITS, Persona, persona_for
from calls.statuses import TERMINAL, CallStatus, Sentiment
from templates.models import DEFAULT_OUTCOMES

STARTED = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
LONG_AFTER = STARTED + timedelta(hours=2)
OUTCOMES = tuple((outcome["word"], outcome["description"]) for outcome in DEFAULT_OUTCOMES)
DEBT = "The customer owes 5,000.50 SAR due by January 15, 2026."
PROMPT = f"You are a polite collections agent.\n\n{DEBT} Never threaten anybody."
ARABIC_DEBT = "على العميل مبلغ 5,000 ريال مستحق في 15 يناير 2026."
ARABIC_PROMPT = f"أنت وكيل تحصيل مهذب. {ARABIC_DEBT} لا تهدد أحدًا."
TALKERS = [persona for persona, traits in TRAITS.items() if traits.word]
SILENT = [persona for persona in Persona if persona not in TALKERS]


@pytest.fixture(autouse=True)
def simulation(settings: Settings) -> None:
    settings.SIMULATED_SEED = "demo"
    settings.SIMULATED_TIME_SCALE = 1.0


def make_request(**what_matters: Any) -> CallRequest:
    values: dict[str, Any] = {
        "attempt_id": UUID(int=7),
        "attempt": 1,
        "number_to": "+966500000001",
        "system_prompt": PROMPT,
        "first_message": "Hello, this is Sara of Example Bank.",
        "voice": "",
        "language": "en",
        "max_duration_seconds": 300,
        "outcomes": OUTCOMES,
        "started_at": STARTED,
    }
    return CallRequest(**(values | what_matters))


def numbers_of(persona: Persona, count: int = 12) -> list[str]:
    numbers = (f"+9665{number:08d}" for number in range(20_000))
    matching = (n for n in numbers if persona_for(n, 1, "demo") is persona)
    return [next(matching) for _ in range(count)]


def make_request_to(persona: Persona, **what_matters: Any) -> CallRequest:
    return make_request(number_to=numbers_of(persona, 1)[0], **what_matters)


def events_at(request: CallRequest, now: datetime) -> tuple[Event, ...]:
    return SimulatedProvider().poll([request], now)[0].events


def ending_of(request: CallRequest) -> Ending:
    (event,) = events_at(request, LONG_AFTER)
    assert event.ending is not None
    return event.ending


def walk(request: CallRequest) -> list[Event]:
    """Every event that is seen by asking exactly when the provider says."""
    seen: dict[str, Event] = {}
    poll_at = SimulatedProvider().place(request).poll_at
    for _ in range(4):
        if poll_at is None:
            break
        (poll,) = SimulatedProvider().poll([request], poll_at)
        assert poll.events
        assert poll.poll_at is None or poll.poll_at > poll_at
        seen |= {event.event_id: event for event in poll.events}
        poll_at = poll.poll_at
    assert poll_at is None
    return list(seen.values())


def test_a_placement_says_that_it_is_simulated() -> None:
    request = make_request()
    placement = SimulatedProvider().place(request)
    assert placement.provider_call_id == f"sim_{request.attempt_id.hex}"
    assert placement.number_from.startswith("+120255501")
    assert not SimulatedProvider.capabilities.reaches_people


def test_the_same_request_always_meets_the_same_call() -> None:
    for persona in Persona:
        request, again = make_request_to(persona), make_request_to(persona)
        assert SimulatedProvider().place(request) == SimulatedProvider().place(again)
        assert walk(request) == walk(again)


def test_personas_do_not_depend_on_the_process() -> None:
    numbers = [f"+9665{number:08d}" for number in range(50)]
    code = (
        "import sys, django; django.setup()\n"
        "from calls.providers.simulated.personas import persona_for\n"
        "print(*(persona_for(number, 2, 'other') for number in sys.argv[1:]))"
    )
    for hash_seed in ("1", "2"):
        answer = subprocess.run(
            [sys.executable, "-c", code, *numbers],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.split() == [persona_for(number, 2, "other") for number in numbers]


def test_number_attempt_and_seed_each_change_who_is_met() -> None:
    def people(attempt: int, seed: str) -> list[Persona]:
        return [persona_for(f"+9665{number:08d}", attempt, seed) for number in range(50)]

    assert len(set(people(1, "demo"))) > 5
    assert people(1, "demo") != people(2, "demo")
    assert people(1, "demo") != people(1, "other")


def test_the_example_numbers_are_answered_with_the_default_seed() -> None:
    assert persona_for("+966500000001", 1, "demo") is Persona.AGREES_TO_PAY
    assert persona_for("+966500000002", 1, "demo") in (
        Persona.CALL_BACK,
        Persona.HAS_PAID,
        Persona.DISPUTES,
    )


def test_weights_are_percent() -> None:
    assert sum(traits.weight for traits in TRAITS.values()) == 100
    assert set(TRAITS) == set(Persona)


def test_two_thousand_numbers_meet_a_plausible_mix() -> None:
    met = Counter(persona_for(f"+9665{number:08d}", 1, "demo") for number in range(2000))
    assert set(met) == set(Persona)
    assert 0.58 < sum(met[persona] for persona in TALKERS) / 2000 < 0.70
    assert 0.11 < met[Persona.NO_ANSWER] / 2000 < 0.19
    assert 0.05 < met[Persona.VOICEMAIL] / 2000 < 0.11
    assert 0.03 < met[Persona.BUSY] / 2000 < 0.09
    assert 0.02 < met[Persona.REJECTS] / 2000 < 0.06
    assert 0.005 < met[Persona.INVALID_NUMBER] / 2000 < 0.035


@pytest.mark.parametrize(
    ("persona", "status", "reason", "word", "sentiment"),
    [
        ("agrees_to_pay", "completed", "customer_ended_call", "PROMISE_TO_PAY", "POSITIVE"),
        ("has_paid", "completed", "agent_ended_call", "ALREADY_PAID", "NEUTRAL"),
        ("disputes", "completed", "customer_ended_call", "DISPUTE", "NEGATIVE"),
        ("call_back", "completed", "agent_ended_call", "CALL_BACK", "NEUTRAL"),
        ("refuses", "completed", "customer_ended_call", "REFUSED", "NEGATIVE"),
        ("stop_calling", "completed", "customer_ended_call", "DO_NOT_CALL", "NEGATIVE"),
        ("wrong_number", "completed", "customer_ended_call", "WRONG_NUMBER", "NEUTRAL"),
        ("no_commitment", "completed", "agent_ended_call", "NO_COMMITMENT", "NEUTRAL"),
        ("voicemail", "voicemail", "voicemail", "", ""),
        ("busy", "busy", "busy", "", ""),
        ("no_answer", "no_answer", "no_answer", "", ""),
        ("rejects", "rejected", "rejected", "", ""),
        ("invalid_number", "invalid_number", "invalid_number", "", ""),
    ],
)
def test_an_ending_fits_its_persona(
    persona: str, status: str, reason: str, word: str, sentiment: str
) -> None:
    for number in numbers_of(Persona(persona)):
        ending = ending_of(make_request(number_to=number))
        assert (ending.status, ending.reason) == (status, reason)
        assert (ending.outcome, ending.sentiment) == (word, sentiment)


@pytest.mark.parametrize("persona", TALKERS)
@pytest.mark.parametrize("language", ["en-GB", "ar-SA"])
def test_a_conversation_comes_with_every_text(persona: Persona, language: str) -> None:
    ending = ending_of(make_request_to(persona, language=language))
    assert ending.status is CallStatus.COMPLETED
    assert ending.sentiment in Sentiment
    assert ending.outcome_reasoning
    assert ending.sentiment_reasoning
    assert ending.summary.startswith(
        "مكالمة تجريبية: " if language == "ar-SA" else "Simulated call: "
    )
    assert "{" not in ending.summary + ending.transcript


@pytest.mark.parametrize("persona", SILENT)
def test_without_a_conversation_there_are_no_texts(persona: Persona) -> None:
    ending = ending_of(make_request_to(persona))
    assert ending.status in TERMINAL
    assert (ending.summary, ending.transcript, ending.outcome_reasoning) == ("", "", "")
    assert (ending.answered_at is None) == (persona is not Persona.VOICEMAIL)
    assert (ending.duration_seconds == 0) == (persona is not Persona.VOICEMAIL)


@pytest.mark.parametrize("persona", Persona)
@pytest.mark.parametrize("time_scale", [0.05, 1.0])
def test_asking_when_told_to_finds_every_event_in_order(
    settings: Settings, persona: Persona, time_scale: float
) -> None:
    settings.SIMULATED_TIME_SCALE = time_scale
    events = walk(make_request_to(persona))
    times = [event.occurred_at for event in events]
    assert times == sorted(set(times))
    assert times[0] > STARTED
    rings = persona not in (Persona.BUSY, Persona.INVALID_NUMBER)
    answered = persona in (*TALKERS, Persona.VOICEMAIL)
    assert [event.kind for event in events] == [
        *([EventKind.RINGING] if rings else []),
        *([EventKind.ANSWERED] if answered else []),
        EventKind.ENDED,
    ]


def test_events_carry_both_ids_and_keep_theirs() -> None:
    request = make_request()
    events = walk(request)
    assert [event.event_id for event in events] == [
        f"{request.attempt_id}:{kind}" for kind in ("ringing", "answered", "ended")
    ]
    for event in events:
        assert event.attempt_id == request.attempt_id
        assert event.provider_call_id == SimulatedProvider().place(request).provider_call_id
        assert event in events_at(request, event.occurred_at)
        assert event not in events_at(request, event.occurred_at - timedelta(microseconds=1))


def test_nothing_has_happened_when_the_call_starts() -> None:
    request = make_request()
    (poll,) = SimulatedProvider().poll([request], STARTED)
    assert poll.events == ()
    assert poll.poll_at == SimulatedProvider().place(request).poll_at


def test_a_call_that_is_over_answers_with_its_end_alone() -> None:
    (poll,) = SimulatedProvider().poll([make_request()], LONG_AFTER)
    (event,) = poll.events
    assert event.kind is EventKind.ENDED
    assert event.ending is not None
    assert event.ending.answered_at is not None
    assert STARTED < event.ending.answered_at < event.occurred_at
    assert poll.poll_at is None


def test_each_request_gets_its_own_answer() -> None:
    requests = [
        make_request_to(persona, attempt_id=UUID(int=n)) for n, persona in enumerate(Persona)
    ]
    polls = SimulatedProvider().poll(requests, LONG_AFTER)
    assert [poll.attempt_id for poll in polls] == [request.attempt_id for request in requests]
    assert SimulatedProvider().poll([], LONG_AFTER) == []


@pytest.mark.parametrize(
    ("persona", "low", "high"),
    [
        (Persona.REJECTS, 2, 6),
        (Persona.NO_ANSWER, 30, 30),
        (Persona.VOICEMAIL, 20, 25),
        (Persona.AGREES_TO_PAY, 3, 12),
    ],
)
def test_it_rings_as_long_as_a_telephone_would(persona: Persona, low: int, high: int) -> None:
    for number in numbers_of(persona):
        ringing, after, *_ = walk(make_request(number_to=number))
        waited = (after.occurred_at - ringing.occurred_at).total_seconds()
        assert low - 1e-5 <= waited <= high + 1e-5


@pytest.mark.parametrize("persona", [Persona.BUSY, Persona.INVALID_NUMBER])
def test_a_line_that_does_not_ring_is_reported_soon(persona: Persona) -> None:
    for number in numbers_of(persona):
        (ended,) = walk(make_request(number_to=number))
        assert 1 <= (ended.occurred_at - STARTED).total_seconds() <= 3


@pytest.mark.parametrize("persona", Persona)
def test_the_time_scale_shrinks_waiting_but_not_the_duration(
    settings: Settings, persona: Persona
) -> None:
    request = make_request_to(persona)
    (real,) = events_at(request, LONG_AFTER)
    settings.SIMULATED_TIME_SCALE = 0.05
    (fast,) = events_at(request, LONG_AFTER)
    assert real.ending is not None
    assert fast.ending is not None
    assert real.ending.duration_seconds == fast.ending.duration_seconds
    assert (fast.occurred_at - STARTED).total_seconds() == pytest.approx(
        0.05 * (real.occurred_at - STARTED).total_seconds(), abs=1e-5
    )


@pytest.mark.parametrize("persona", Persona)
def test_time_scale_zero_is_instant(settings: Settings, persona: Persona) -> None:
    settings.SIMULATED_TIME_SCALE = 0
    request = make_request_to(persona)
    assert SimulatedProvider().place(request).poll_at == STARTED
    (poll,) = SimulatedProvider().poll([request], STARTED)
    assert [event.kind for event in poll.events] == [EventKind.ENDED]
    assert poll.events[0].occurred_at == STARTED
    assert poll.poll_at is None


@pytest.mark.parametrize("max_duration", [10, 25, 3600])
def test_a_conversation_keeps_within_the_maximum(max_duration: int) -> None:
    for persona in TALKERS:
        for number in numbers_of(persona):
            request = make_request(number_to=number, max_duration_seconds=max_duration)
            _, answered, ended = walk(request)
            duration = ending_of(request).duration_seconds
            assert min(20, max_duration) <= duration <= min(180, max_duration)
            assert ended.occurred_at - answered.occurred_at == pytest.approx(
                timedelta(seconds=duration), abs=timedelta(milliseconds=1)
            )


@pytest.mark.parametrize("persona", TALKERS)
@pytest.mark.parametrize("language", [ENGLISH, ARABIC])
@pytest.mark.parametrize("first_message", ["", "Hello {you},\nthis is Sara."])
def test_a_transcript_has_six_to_twelve_lines_each_with_its_speaker(
    persona: Persona, language: Language, first_message: str
) -> None:
    labels = tuple(f"{label}: " for label in language.speakers.values())
    for number in numbers_of(persona):
        request = make_request(
            number_to=number, language=language.code, first_message=first_message
        )
        lines = ending_of(request).transcript.split("\n")
        assert 6 <= len(lines) <= 12
        assert all(line.startswith(labels) for line in lines)
        if first_message:
            assert lines[0] == labels[0] + "Hello {you}, this is Sara."


@pytest.mark.parametrize("persona", [p for p in TALKERS if p is not Persona.WRONG_NUMBER])
@pytest.mark.parametrize(
    ("language", "prompt", "debt"),
    [
        ("en", PROMPT, DEBT),
        ("ar", ARABIC_PROMPT, ARABIC_DEBT),
    ],
)
def test_the_debt_is_quoted_after_the_customer_has_confirmed_who_they_are(
    persona: Persona, language: str, prompt: str, debt: str
) -> None:
    lines = ending_of(
        make_request_to(persona, language=language, system_prompt=prompt)
    ).transcript.split("\n")
    confirmed = {"en": ENGLISH, "ar": ARABIC}[language].confirm.variants
    assert lines[3].endswith(confirmed)
    assert debt in lines[4]
    assert not any(digit.isdigit() for line in lines[:4] for digit in line)


def test_no_figure_is_invented() -> None:
    for persona in set(TALKERS) - {Persona.AGREES_TO_PAY}:
        for number in numbers_of(persona):
            transcript = ending_of(make_request(number_to=number)).transcript
            assert not re.search(r"\d", transcript.replace(DEBT, ""))


@pytest.mark.parametrize("language", ["en", "ar"])
def test_a_stranger_learns_nothing_of_the_debt(language: str) -> None:
    for number in numbers_of(Persona.WRONG_NUMBER):
        for first_message in ("", "Hello."):
            request = make_request(number_to=number, language=language, first_message=first_message)
            ending = ending_of(request)
            assert not re.search(r"\d", ending.transcript + ending.summary)
            for word in ("owe", "debt", "pay", "balance", "مبلغ", "سداد", "مستحق", "دين"):
                assert word not in ending.transcript


def test_a_prompt_without_figures_is_talked_about_without_figures() -> None:
    request = make_request_to(Persona.HAS_PAID, system_prompt="Be polite.\n1. Be brief.")
    transcript = ending_of(request).transcript
    assert "your open balance" in transcript
    assert not re.search(r"\d", transcript)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (PROMPT, DEBT),
        (ARABIC_PROMPT, ARABIC_DEBT),
        ("Rules:\n1. Be kind.\n2. Amount: 10 EUR\n", "Amount: 10 EUR"),
        ("- It is {x} 3 USD, invoice no. 17. Be kind.", "It is {x} 3 USD, invoice no. 17."),
        ("على العميل ٥٠٠ ريال. كن مهذبًا.", "على العميل ٥٠٠ ريال."),
        ("Be kind.", ""),
        ("", ""),
    ],
)
def test_the_debt_is_the_first_sentence_with_a_figure(prompt: str, sentence: str) -> None:
    assert debt_sentence(prompt) == sentence


@pytest.mark.parametrize(
    ("language", "days"),
    [
        ("en", r"\w+day, January \d{1,2}, 2026"),
        ("ar", r"يوم \w+ \d{1,2} يناير 2026"),
    ],
)
def test_the_promised_day_lies_a_few_days_ahead(language: str, days: str) -> None:
    for number in numbers_of(Persona.AGREES_TO_PAY):
        ending = ending_of(
            make_request(number_to=number, language=language, system_prompt="Be kind.")
        )
        promised = set(re.findall(days, ending.transcript))
        assert len(promised) == 1
        (day,) = promised
        assert day in ending.summary
        number_of_day = int(re.findall(r"\d{1,2}", day)[0])
        assert STARTED.day + 3 <= number_of_day <= STARTED.day + 10


@pytest.mark.parametrize("zone", ["UTC", "Asia/Riyadh", "America/New_York"])
@pytest.mark.parametrize("first_message", ["", "Hello."])
@pytest.mark.parametrize(
    ("language", "times"),
    [
        (
            "en",
            {
                "Tomorrow evening, please.": (1, 18),
                "Tomorrow morning would be better.": (1, 10),
                "Some time later this week.": (2, 11),
            },
        ),
        (
            "ar",
            {
                "مساء الغد من فضلكم.": (1, 18),
                "صباح الغد أنسب لي.": (1, 10),
                "في وقت لاحق من هذا الأسبوع.": (2, 11),
            },
        ),
    ],
)
def test_the_time_to_call_back_is_the_one_that_the_customer_names(
    settings: Settings,
    language: str,
    times: dict[str, tuple[int, int]],
    first_message: str,
    zone: str,
) -> None:
    settings.TIME_ZONE = zone
    late = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)  # in Riyadh it is the next day already
    today = late.astimezone(ZoneInfo(zone)).date()
    named = set()
    for number in numbers_of(Persona.CALL_BACK):
        request = make_request(
            number_to=number, language=language, first_message=first_message, started_at=late
        )
        (event,) = events_at(request, late + timedelta(hours=2))
        assert event.ending is not None
        (said,) = (said for said in times if f": {said}\n" in event.ending.transcript)
        wish = event.ending.call_back_at
        assert wish is not None
        local = wish.astimezone(ZoneInfo(zone))
        assert ((local.date() - today).days, local.hour, local.minute) == (*times[said], 0)
        named.add(said)
    assert named == set(times)


@pytest.mark.parametrize("persona", [p for p in Persona if p is not Persona.CALL_BACK])
def test_nobody_else_is_to_be_called_back(persona: Persona) -> None:
    assert ending_of(make_request_to(persona)).call_back_at is None


@pytest.mark.parametrize("persona", TALKERS)
def test_an_arabic_conversation_is_arabic_throughout(persona: Persona) -> None:
    for number in numbers_of(persona):
        ending = ending_of(
            make_request(
                number_to=number, language="ar-SA", system_prompt=ARABIC_PROMPT, first_message=""
            )
        )
        texts = (ending.outcome_reasoning, ending.sentiment_reasoning, ending.summary)
        for text in (*texts, *ending.transcript.split("\n")):
            assert re.search(r"[\u0621-\u064a]", text)
            assert not re.search(r"[A-Za-z{}]", text)


def test_conversations_differ_from_number_to_number() -> None:
    requests = [make_request(number_to=number) for number in numbers_of(Persona.AGREES_TO_PAY)]
    assert len({ending_of(request).transcript for request in requests}) > 6


@pytest.mark.parametrize("persona", TALKERS)
@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("listed", ["NO_COMMITMENT", "SOMETHING_ELSE"])
def test_no_outcome_is_reported_that_the_template_does_not_list(
    persona: Persona, language: str, listed: str
) -> None:
    request = make_request_to(persona, language=language, outcomes=((listed, "…"),))
    ending = ending_of(request)
    assert ending.outcome == ("NO_COMMITMENT" if listed == "NO_COMMITMENT" else "")
    says_so = "lists no word" if language == "en" else "لا تتضمن قائمة القالب"
    assert (says_so in ending.outcome_reasoning) == (persona.traits.word != listed)
