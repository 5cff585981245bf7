from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from calls.evaluation.base import Answer, Promise
from calls.evaluation.check import check
from calls.evaluation.rules import RulesEvaluator
from calls.tests.test_evaluation_rules import ARABIC_DIALOGUES, ENGLISH_DIALOGUES, make_question

RIYADH = ZoneInfo("Asia/Riyadh")


def promised(said: str, promise: Promise, **question) -> tuple[Promise, str]:
    transcript = f"Agent: You owe 5,000 SAR.\nCustomer: I will pay. {said}"
    answer = check(
        make_question(transcript, **question), Answer("PROMISE_TO_PAY", "", promise=promise)
    )
    assert answer.outcome == "PROMISE_TO_PAY"
    return answer.promise, answer.reasoning


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("All of it.", "5000"),  # what the tags say
        ("2,500 of it.", "2500"),
        ("Two thousand five hundred.", "2500"),
        ("٢٬٥٠٠ ريال.", "2500"),
        ("ألفين وخمسمئة ريال.", "2500"),
        ("Half of it.", "2500"),
        ("2.5k.", "2500"),
        ("1,250.75 at first.", "1250.75"),
    ],
)
def test_an_amount_that_was_said_or_is_owed_is_kept(said: str, amount: str) -> None:
    promise, reasoning = promised(said, Promise(Decimal(amount)))
    assert (promise.amount, reasoning) == (Decimal(amount), "")


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("Some of it.", "2500"),  # less than is owed, and never said
        ("In full.", "5000.01"),
        ("I will pay 9,000.", "9000"),  # more than is owed
        ("On the 20th.", "2000"),
    ],
)
def test_an_amount_that_nobody_said_is_left_out_with_a_reason(said: str, amount: str) -> None:
    promise, reasoning = promised(said, Promise(Decimal(amount), "SAR"))
    assert (promise.amount, promise.currency) == (None, "")
    assert "an amount that was not said" in reasoning


def test_without_an_amount_in_the_tags_what_was_said_counts() -> None:
    promise, _ = promised("9,000 dollars.", Promise(Decimal(9000), "USD"), tags={})
    assert promise == Promise(Decimal(9000), "USD")


def test_figures_in_tags_that_are_no_amounts_are_none() -> None:
    tags = {"due_date": "January 15, 2026", "account_number": "777", "amount": "5,000 SAR"}
    for amount in (2026, 777, 15):
        assert promised("Yes.", Promise(Decimal(amount)), tags=tags)[0].amount is None


@pytest.mark.parametrize(
    ("said", "currency", "kept"),
    [("5,000.", "USD", "SAR"), ("5,000 dollars.", "USD", "USD"), ("5,000.", "", "SAR")],
)
def test_a_currency_that_was_not_named_is_that_of_the_tags(said, currency, kept) -> None:
    assert promised(said, Promise(Decimal(5000), currency))[0].currency == kept


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("Next Friday.", date(2026, 1, 16)),
        ("Next Friday.", date(2026, 1, 23)),
        ("On the twenty-first.", date(2026, 1, 21)),
        ("Today.", date(2026, 1, 15)),
        ("2026-03-01.", date(2026, 3, 1)),
        ("On 3/4.", date(2026, 4, 3)),
        ("في الخامس عشر من فبراير.", date(2026, 2, 15)),
        ("بعد أسبوع.", date(2026, 1, 22)),
        ("الشهر القادم.", date(2026, 2, 10)),
    ],
)
def test_a_day_that_was_said_is_kept(said: str, day: date) -> None:
    promise, reasoning = promised(said, Promise(date=day))
    assert (promise.date, reasoning) == (day, "")


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("Soon.", date(2026, 1, 20)),
        ("On Friday.", date(2026, 1, 20)),
        ("I was to pay on 2026-01-10.", date(2026, 1, 10)),  # past
        ("On 2027-06-01.", date(2027, 6, 1)),  # more than a year on
        ("I may 5.", date(2026, 3, 5)),
    ],
)
def test_a_day_that_was_not_said_or_is_not_near_is_left_out_with_a_reason(said, day) -> None:
    promise, reasoning = promised(said, Promise(date=day))
    assert promise.date is None
    assert "a day of payment" in reasoning


@pytest.mark.parametrize(
    ("said", "at", "is_kept"),
    [
        ("Call me tomorrow.", datetime(2026, 1, 16, 11, tzinfo=RIYADH), True),
        ("Call me in two hours.", datetime(2026, 1, 15, 14, 30, tzinfo=RIYADH), True),
        ("كلمني بكرة.", datetime(2026, 1, 16, 11, tzinfo=RIYADH), True),
        ("Call me tomorrow.", datetime(2026, 1, 17, 11, tzinfo=RIYADH), False),
        ("Call me today.", datetime(2026, 1, 15, 11, tzinfo=RIYADH), False),  # past
        ("Call me in March, on March 1.", datetime(2026, 3, 1, 11, tzinfo=RIYADH), False),
        ("Call me later.", datetime(2026, 1, 16, 11, tzinfo=RIYADH), False),
    ],
)
def test_a_time_to_call_back_is_kept_if_said_and_near(said, at, is_kept) -> None:
    question = make_question(f"Agent: Hello.\nCustomer: {said}")
    answer = check(question, Answer("CALL_BACK", "Because.", call_back_at=at))
    assert answer.outcome == "CALL_BACK"
    assert answer.call_back_at == (at if is_kept else None)
    assert ("Left out" in answer.reasoning) is not is_kept
    assert answer.reasoning.startswith("Because.")


@pytest.mark.parametrize("word", ["PROMISE_TO_PAY", "ALREADY_PAID", "PROMISED_PART", "BILL_PAID"])
def test_what_permits_needs_the_customers_own_words(word: str) -> None:
    question = make_question(
        "Agent: You will pay on Friday, or have you paid?\nCustomer: Hello?",
        words=(word, "NO_COMMITMENT"),
    )
    answer = check(question, Answer(word, "Because.", promise=Promise(date=date(2026, 1, 16))))
    assert answer.outcome == "NO_COMMITMENT"
    assert f"Because. {word} was not taken over" in answer.reasoning
    assert answer.promise == Promise()


def test_what_permits_becomes_nothing_where_no_commitment_is_not_listed() -> None:
    question = make_question("Customer: Hm.", words=("PROMISE_TO_PAY",))
    assert check(question, Answer("PROMISE_TO_PAY", "")).outcome == ""


@pytest.mark.parametrize(
    "word", ["DO_NOT_CALL", "WRONG_NUMBER", "DISPUTE", "REFUSED", "CALL_BACK", "NOT_PAID", ""]
)
def test_what_restricts_is_kept_as_it_is(word: str) -> None:
    question = make_question("Customer: Hm.", words=(word, "NO_COMMITMENT"))
    answer = Answer(word, "Because.")
    assert check(question, answer) == answer


@pytest.mark.parametrize(
    ("said", "evidence", "language", "is_believed"),
    [
        ("Sure thing, Thursday it is.", "sure thing Thursday it is", "en", True),
        ("The cash goes out tomorrow, no worries.", "The cash goes out tomorrow", "en", True),
        ("Nice weather.", "Nice weather.", "en", False),
        ("Nice weather.", "The cash goes out tomorrow", "en", False),
        ("No way I am not paying tomorrow.", "am not paying tomorrow", "en", False),
        ("Je paierai vendredi.", "Je paierai vendredi", "fr", True),
        ("Je paierai vendredi.", "vendredi", "fr", False),
        ("Bonjour. PROMISE_TO_PAY.", "Bonjour. PROMISE_TO_PAY", "fr", False),
        ("x" * 1000, "x" * 1000, "fr", False),
    ],
)
def test_a_quotation_of_the_customer_shows_a_promise(said, evidence, language, is_believed) -> None:
    question = make_question(f"Agent: Well?\nCustomer: {said}", language)
    answer = check(question, Answer("PROMISE_TO_PAY", "", evidence=evidence))
    assert (answer.outcome == "PROMISE_TO_PAY") is is_believed


def test_a_quotation_of_two_turns_is_nobodys() -> None:
    transcript = "Customer: I will\nAgent: hm\nCustomer: pay nothing, tomorrow."
    answer = Answer("PROMISE_TO_PAY", "", evidence="I will pay nothing, tomorrow")
    assert check(make_question(transcript), answer).outcome == "NO_COMMITMENT"


@pytest.mark.parametrize(("outcome", "said"), ENGLISH_DIALOGUES + ARABIC_DIALOGUES)
def test_the_rules_own_answers_pass(outcome: str, said: str) -> None:
    question = make_question(f"Agent: Hello.\nCustomer: {said}")
    answer = RulesEvaluator().evaluate(question)
    assert check(question, answer) == replace(answer, outcome=outcome)
