"""Retries: when the next attempt is due, who gets one, and what stops it."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from calls import providers
from calls.control import cancel_calls, cancel_campaign, pause_campaign
from calls.dialling import place_batch
from calls.events import record_event, record_events
from calls.models import CallLog, ProviderAccount
from calls.providers.base import CallRequest, Capabilities, Placement, Provider
from calls.retries import DAY_PARTS, next_attempt_at, write_retries, zone_named
from calls.statuses import CallStatus
from calls.tests.factories import make_call
from calls.tests.test_concurrency import at_once
from calls.tests.test_events import NOW, ended, event
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch, make_campaign
from contacts.models import Contact, ContactRow, Suppression
from contacts.tests.factories import make_contact
from templates.models import DEFAULT_OUTCOMES
from templates.retry_rules import recommended_rule
from templates.tests.factories import make_template

ZONES = ["UTC", "Asia/Riyadh", "Asia/Kathmandu", "Australia/Sydney", "America/New_York"]
RULE = {"no_answer": {"after_minutes": 240, "times": 2}}


# --- When ---------------------------------------------------------------------------------------


def local(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def next_time(when: str, after_minutes: int, started: str, zone: str = "UTC") -> str:
    """The next attempt on the person's clock, after an attempt of a minute."""
    started_at = local(started, zone).astimezone(UTC)
    rule = {"after_minutes": after_minutes, "times": 1, "when": when}
    ended_at = started_at + timedelta(minutes=1)
    at = next_attempt_at(rule, started_at, ended_at, ZoneInfo(zone))
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("started", "after_minutes", "expected"),
    [
        ("2026-01-05 10:00", 240, "2026-01-05 14:01"),  # a morning, then in the afternoon
        ("2026-01-05 13:30", 240, "2026-01-05 17:31"),
        ("2026-01-05 18:00", 240, "2026-01-06 09:00"),  # never at night
        ("2026-01-05 10:00", 30, "2026-01-05 12:00"),  # not twice in one morning
        ("2026-01-05 12:10", 240, "2026-01-05 17:00"),
        ("2026-01-05 19:00", 30, "2026-01-06 09:00"),
        ("2026-01-05 09:30", 600, "2026-01-05 19:31"),
        ("2026-01-05 08:59", 30, "2026-01-05 09:30"),  # a night has no part to avoid
        ("2026-01-05 21:00", 30, "2026-01-06 09:00"),
        ("2026-01-05 10:00", 1440, "2026-01-06 12:00"),
    ],
)
def test_another_part_of_the_day_is_the_next_one_that_is_not_night(
    started: str, after_minutes: int, expected: str, zone: str
) -> None:
    assert next_time("other_day_part", after_minutes, started, zone) == expected


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    ("started", "after_minutes", "expected"),
    [
        ("2026-01-05 10:00", 1440, "2026-01-06 12:00"),  # a day later is a morning again
        ("2026-01-05 14:00", 1440, "2026-01-06 17:00"),
        ("2026-01-05 14:00", 60, "2026-01-06 09:00"),
        ("2026-01-05 10:00", 60, "2026-01-06 12:00"),
        ("2026-01-05 18:00", 60, "2026-01-06 09:00"),
        ("2026-01-05 18:00", 1440, "2026-01-06 18:01"),  # that day has no other part left
        ("2026-01-05 21:00", 1440, "2026-01-07 09:00"),
        ("2026-01-05 10:00", 2880, "2026-01-07 12:00"),
    ],
)
def test_the_next_day_begins_at_nine_and_prefers_another_part(
    started: str, after_minutes: int, expected: str, zone: str
) -> None:
    assert next_time("next_day", after_minutes, started, zone) == expected


def test_at_any_time_is_the_delay_and_nothing_else() -> None:
    assert next_time("any", 240, "2026-01-05 21:00") == "2026-01-06 01:01"
    old_rule = {"after_minutes": 240, "times": 1}
    assert next_attempt_at(old_rule, NOW, NOW, UTC) == NOW + timedelta(hours=4)


@pytest.mark.parametrize(
    ("zone", "started", "expected"),
    [
        ("Europe/Berlin", "2026-03-28 18:00", "2026-03-29T07:00:00+00:00"),  # spring forward
        ("Europe/Berlin", "2026-10-24 18:00", "2026-10-25T08:00:00+00:00"),  # fall back
        ("Australia/Sydney", "2026-10-03 18:00", "2026-10-03T22:00:00+00:00"),
        ("Australia/Sydney", "2026-04-04 18:00", "2026-04-04T23:00:00+00:00"),
        ("America/New_York", "2026-03-07 18:00", "2026-03-08T13:00:00+00:00"),
        ("Asia/Kathmandu", "2026-03-28 18:00", "2026-03-29T03:15:00+00:00"),
        ("Asia/Riyadh", "2026-03-28 18:00", "2026-03-29T06:00:00+00:00"),
    ],
)
@pytest.mark.parametrize("when", ["other_day_part", "next_day"])
def test_nine_is_nine_on_the_persons_clock_when_the_clocks_change(
    zone: str, started: str, expected: str, when: str
) -> None:
    started_at = local(started, zone)
    rule = {"after_minutes": 240, "times": 1, "when": when}
    at = next_attempt_at(rule, started_at, started_at + timedelta(minutes=1), ZoneInfo(zone))
    assert at.isoformat() == expected


def test_a_delay_across_a_change_of_the_clocks_lasts_as_long_as_any_other() -> None:
    zone = ZoneInfo("Europe/Berlin")
    ended_at = datetime(2026, 3, 29, 1, 30, tzinfo=zone)
    at = next_attempt_at({"after_minutes": 60, "times": 1}, ended_at, ended_at, zone)
    assert at - ended_at.astimezone(UTC) == timedelta(hours=1)


MOMENTS = st.datetimes(
    datetime(2024, 1, 1),  # noqa: DTZ001  the strategy adds the zone
    datetime(2032, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
DELAYS = st.integers(1, 30 * 24 * 60)
LASTING = st.integers(0, 3600)


def part_of(at: datetime, zone: ZoneInfo) -> Any:
    clock = at.astimezone(zone).time()
    return next((part for part in DAY_PARTS if part[0] <= clock < part[1]), None)


@given(MOMENTS, LASTING, DELAYS, st.sampled_from(ZONES))
def test_another_part_is_never_early_never_at_night_and_never_the_same(
    started_at: datetime, seconds: int, minutes: int, name: str
) -> None:
    zone, ended_at = ZoneInfo(name), started_at + timedelta(seconds=seconds)
    rule = {"after_minutes": minutes, "times": 1, "when": "other_day_part"}
    at = next_attempt_at(rule, started_at, ended_at, zone)
    earliest = ended_at + timedelta(minutes=minutes)
    assert earliest <= at <= earliest + timedelta(hours=25)
    assert part_of(at, zone) not in {None, part_of(started_at, zone)}


@given(MOMENTS, LASTING, DELAYS, st.sampled_from(ZONES))
def test_the_next_day_is_never_early_never_at_night_and_the_same_part_only_in_need(
    started_at: datetime, seconds: int, minutes: int, name: str
) -> None:
    zone, ended_at = ZoneInfo(name), started_at + timedelta(seconds=seconds)
    rule = {"after_minutes": minutes, "times": 1, "when": "next_day"}
    at = next_attempt_at(rule, started_at, ended_at, zone)
    assert at >= ended_at + timedelta(minutes=minutes)
    assert at.astimezone(zone).date() > ended_at.astimezone(zone).date()
    assert part_of(at, zone) is not None
    if part_of(at, zone) == part_of(started_at, zone):
        assert part_of(at, zone) == DAY_PARTS[-1]


@given(MOMENTS, DELAYS, st.sampled_from(["any", "other_day_part", "next_day"]))
def test_a_scale_shortens_the_whole_wait(ended_at: datetime, minutes: int, when: str) -> None:
    rule = {"after_minutes": minutes, "times": 1, "when": when}
    whole = next_attempt_at(rule, ended_at, ended_at, UTC) - ended_at
    assert next_attempt_at(rule, ended_at, ended_at, UTC, 0) == ended_at
    short = next_attempt_at(rule, ended_at, ended_at, UTC, 0.01) - ended_at
    assert abs(short - whole * 0.01) <= timedelta(microseconds=1)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc", "America", "\0"])
def test_a_zone_that_is_not_known_is_that_of_the_settings(name: str, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Riyadh"
    assert zone_named(name) == ZoneInfo("Asia/Riyadh")
    assert zone_named("Asia/Kathmandu") == ZoneInfo("Asia/Kathmandu")


# --- Who ----------------------------------------------------------------------------------------


class RealTime(Provider):
    """A provider that does not shorten waits."""

    capabilities = Capabilities(placements_at_once=1)

    def place(self, request: CallRequest) -> Placement:
        raise AssertionError("not asked here")

    def cancel(self, request: CallRequest) -> None:
        raise AssertionError("not asked here")

    def poll(self, requests: object, now: object) -> list[Any]:
        raise AssertionError("not asked here")


@pytest.fixture
def account(db: None, monkeypatch: pytest.MonkeyPatch) -> ProviderAccount:
    monkeypatch.setitem(providers.PROVIDERS, "real_time", RealTime)
    return ProviderAccount.objects.create(name="real", provider="real_time")


def campaign_with(rule: dict[str, Any], **content: Any) -> Campaign:
    return make_campaign(template_version=make_template(retry_rule=rule, **content).current)


def call_with(rule: dict[str, Any], account: ProviderAccount, **fields: Any) -> CallLog:
    batch = make_batch(campaign=campaign_with(rule))
    return make_call(batch=batch, **{"status": CallStatus.DIALING, "account": account} | fields)


def end(call: CallLog, status: CallStatus = CallStatus.COMPLETED, **ending: Any) -> CallLog | None:
    """End an attempt; return the next one, made live so that it can be ended too."""
    assert call.account
    record_event(call.account, ended(call, status, **ending))
    queued = CallLog.objects.queued().filter(call_id=call.call_id)
    queued.update(status=CallStatus.DIALING, account=call.account, started_at=NOW)
    return CallLog.objects.live().filter(call_id=call.call_id).first()


def times_retried(call: CallLog, *endings: str) -> int:
    """How many of the endings, one after the other, bring another attempt."""
    attempt: CallLog | None = call
    for number, word in enumerate(endings):
        assert attempt
        is_status = word in CallStatus.values
        attempt = end(attempt, CallStatus(word)) if is_status else end(attempt, outcome=word)
        if attempt is None:
            return number
    return len(endings)


@pytest.mark.parametrize(
    ("endings", "retries"),
    [
        (["no_answer"] * 3, 2),
        (["busy"] * 3, 1),
        (["busy", "no_answer", "no_answer", "busy"], 3),  # each key has its own times
        (["no_answer", "busy", "no_answer", "CALL_BACK", "no_answer"], 4),
        (["CALL_BACK", "CALL_BACK"], 1),
        (["NO_COMMITMENT"], 0),
        (["completed"], 0),
        (["rejected"], 0),
        (["invalid_number"], 0),
        (["failed"], 0),
    ],
)
def test_each_kind_of_ending_is_retried_as_often_as_its_own_rule_says(
    account: ProviderAccount, endings: list[str], retries: int
) -> None:
    one = {"after_minutes": 1, "times": 1}
    rule = {"no_answer": {**one, "times": 2}, "busy": one, "CALL_BACK": one}
    assert times_retried(call_with(rule, account), *endings) == retries


def test_another_call_of_the_person_has_times_of_its_own_but_shares_the_budget(
    account: ProviderAccount,
) -> None:
    batch = make_batch(campaign=campaign_with(RULE, retry_budget=3))
    contact = make_contact()
    first, second = (
        make_call(batch=batch, contact=contact, status=status, account=account)
        for status in (CallStatus.DIALING, CallStatus.QUEUED)
    )
    assert times_retried(first, *["no_answer"] * 3) == 2
    second.status, second.started_at = CallStatus.DIALING, NOW
    second.save()
    assert times_retried(second, *["no_answer"] * 2) == 1


def test_the_budget_of_another_campaign_is_another(account: ProviderAccount) -> None:
    first = call_with(RULE, account)
    assert times_retried(first, *["no_answer"] * 3) == 2
    other = call_with(RULE, account, contact=first.contact)
    assert times_retried(other, *["no_answer"] * 3) == 2


def test_calls_of_one_person_that_end_together_share_the_budget(account: ProviderAccount) -> None:
    batch = make_batch(campaign=campaign_with(RULE, retry_budget=1))
    first = make_call(batch=batch, status=CallStatus.DIALING, account=account)
    second = make_call(batch=batch, contact=first.contact)
    record_events(account, [ended(call, CallStatus.NO_ANSWER) for call in (first, second)])
    assert CallLog.objects.filter(attempt=2).count() == 1
    assert CallLog.objects.filter(is_last_attempt=True).count() == 2


def test_an_ending_that_is_final_is_not_retried(account: ProviderAccount) -> None:
    rule = {"failed": {"after_minutes": 60, "times": 3}}
    assert end(call_with(rule, account), CallStatus.FAILED, is_final=True) is None
    assert end(call_with(rule, account), CallStatus.FAILED) is not None


@pytest.mark.parametrize("outcome", ["REFUSED", "WRONG_NUMBER", "DO_NOT_CALL", "DISPUTE"])
def test_the_recommended_table_calls_nobody_again_who_has_said_no(
    account: ProviderAccount, outcome: str
) -> None:
    rule = recommended_rule([outcome["word"] for outcome in DEFAULT_OUTCOMES])
    assert end(call_with(rule, account), outcome=outcome) is None


@pytest.mark.parametrize(
    ("status", "delay"), [("cancelling", None), ("paused", timedelta(hours=4))]
)
def test_a_campaign_that_is_cancelled_grants_no_retry_and_a_paused_one_does(
    account: ProviderAccount, status: str, delay: timedelta | None
) -> None:
    call = call_with(RULE, account)
    Campaign.objects.update(status=status)
    retry = end(call, CallStatus.NO_ANSWER)
    call.refresh_from_db()
    assert call.ended_at
    assert (retry and retry.not_before - call.ended_at) == delay


# --- At what time -------------------------------------------------------------------------------


def event_at(call: CallLog, at: datetime, status: CallStatus, **ending: Any) -> Any:
    told = ended(call, status, **ending)
    return event(call, told.kind, 0, occurred_at=at, ending=told.ending)


STARTED = datetime(2026, 1, 5, 7, 30, tzinfo=UTC)  # 10:30 in Riyadh, 13:15 in Kathmandu
ENDED = STARTED + timedelta(minutes=1)


def due_after(account: ProviderAccount, rule: Any, zone: str, status: str, **ending: Any) -> Any:
    call = call_with(rule, account, contact=make_contact(time_zone=zone), started_at=STARTED)
    record_event(account, event_at(call, ENDED, CallStatus(status), **ending))
    return CallLog.objects.get(attempt=2).not_before.isoformat()


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Asia/Riyadh", "2026-01-05T11:31:00+00:00"),  # 14:31, an afternoon
        ("Asia/Kathmandu", "2026-01-05T11:31:00+00:00"),  # 17:16, an evening
        ("Australia/Sydney", "2026-01-05T22:00:00+00:00"),  # 09:00 the next day
        ("", "2026-01-05T11:31:00+00:00"),
    ],
)
def test_the_parts_of_the_day_are_those_where_the_person_lives(
    account: ProviderAccount, zone: str, expected: str
) -> None:
    rule = {"no_answer": RULE["no_answer"] | {"when": "other_day_part"}}
    assert due_after(account, rule, zone, "no_answer") == expected


def test_without_a_zone_of_their_own_the_settings_have_one(
    account: ProviderAccount, settings: Any
) -> None:
    settings.TIME_ZONE = "Australia/Sydney"
    rule = {"no_answer": RULE["no_answer"] | {"when": "other_day_part"}}
    assert due_after(account, rule, "", "no_answer") == "2026-01-05T22:00:00+00:00"


CALL_BACK = {"CALL_BACK": {"after_minutes": 1440, "times": 1, "when": "any"}}
IN_A_DAY = (ENDED + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("wish", "is_granted"),
    [
        (timedelta(minutes=20), True),
        (timedelta(days=30), True),
        (timedelta(days=30, seconds=1), False),
        (timedelta(0), False),
        (timedelta(days=-1), False),
    ],
)
def test_the_time_that_a_person_asked_for_wins_if_it_lies_in_the_next_30_days(
    account: ProviderAccount, wish: timedelta, is_granted: bool
) -> None:
    at = ENDED + wish
    due = due_after(account, CALL_BACK, "", "completed", outcome="CALL_BACK", call_back_at=at)
    assert due == (at.isoformat() if is_granted else IN_A_DAY)
    assert CallLog.objects.get(attempt=1).call_back_at == at


def test_a_time_that_a_person_asked_for_needs_a_rule_and_uses_it_up(
    account: ProviderAccount,
) -> None:
    wish: dict[str, Any] = {"call_back_at": NOW + timedelta(days=1)}
    assert end(call_with(RULE, account), outcome="CALL_BACK", **wish) is None
    retry = end(call_with(CALL_BACK, account), outcome="CALL_BACK", **wish)
    assert retry
    assert end(retry, outcome="CALL_BACK", **wish) is None


def test_a_time_to_call_back_needs_a_conversation(account: ProviderAccount) -> None:
    call = call_with(RULE, account)
    end(call, CallStatus.NO_ANSWER, call_back_at=NOW + timedelta(days=1))
    call.refresh_from_db()
    assert call.call_back_at is None


def test_simulated_time_shortens_the_wait_for_the_time_asked_for(settings: Any, db: None) -> None:
    settings.SIMULATED_TIME_SCALE = 0.5
    account = ProviderAccount.objects.default()
    at = ENDED + timedelta(hours=10)
    due = due_after(account, CALL_BACK, "", "completed", outcome="CALL_BACK", call_back_at=at)
    assert due == (ENDED + timedelta(hours=5)).isoformat()


# --- What a retry meets -------------------------------------------------------------------------


def retry_of(call: CallLog) -> CallLog:
    record_event(ProviderAccount.objects.default(), ended(call, CallStatus.NO_ANSWER))
    retry = CallLog.objects.get(call_id=call.call_id, attempt=2)
    CallLog.objects.filter(pk=retry.pk).update(not_before=timezone.now())
    return retry


@pytest.fixture
def waiting(db: None) -> CallLog:
    """A retry whose time has come."""
    return retry_of(call_with(RULE, ProviderAccount.objects.default()))


def test_a_pause_holds_a_retry_back(waiting: CallLog) -> None:
    pause_campaign(waiting.campaign)
    place_batch(waiting.batch_id)
    waiting.refresh_from_db()
    assert waiting.status == "queued"


def test_a_cancellation_ends_a_retry(waiting: CallLog) -> None:
    cancel_campaign(waiting.campaign)
    cancel_calls()
    waiting.refresh_from_db()
    assert (waiting.status, waiting.is_last_attempt) == ("cancelled", True)


def test_a_suppression_ends_a_retry(waiting: CallLog) -> None:
    Suppression.objects.create(contact=waiting.contact, reason="staff")
    place_batch(waiting.batch_id)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.ended_reason) == ("skipped", "suppressed")
    assert waiting.is_last_attempt


# --- Batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (None, timedelta(hours=4)),
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=9), timedelta(hours=4)),
    ],
)
def test_the_batch_is_told_of_its_earliest_retry(
    account: ProviderAccount, hint: timedelta | None, expected: timedelta
) -> None:
    rule = RULE | {"voicemail": {"after_minutes": 600, "times": 1}}
    batch = make_batch(campaign=campaign_with(rule), due_at=hint and ENDED + hint)
    other = make_batch(campaign=batch.campaign, due_at=None)
    live = {"status": CallStatus.DIALING, "account": account, "started_at": STARTED}
    calls = [make_call(batch=batch, **live) for _ in range(2)]
    endings = zip(calls, (CallStatus.VOICEMAIL, CallStatus.NO_ANSWER), strict=True)
    record_events(account, [event_at(call, ENDED, status) for call, status in endings])
    batch.refresh_from_db()
    other.refresh_from_db()
    assert batch.due_at == ENDED + expected
    assert other.due_at is None


def ended_calls(number: int, account: ProviderAccount, campaign: Campaign) -> list[CallLog]:
    """Second attempts that have just ended, all in one batch."""
    batch, calls = make_batch(campaign=campaign), []
    for _ in range(number):
        first = make_call(batch=batch, status=CallStatus.NO_ANSWER, is_last_attempt=False)
        fields = {"id": uuid4(), "call_id": first.call_id, "attempt": 2, "account": account}
        calls.append(
            make_call(batch=batch, contact=first.contact, status=CallStatus.NO_ANSWER, **fields)
        )
    return calls


def test_many_endings_cost_as_many_statements_as_one(
    account: ProviderAccount, django_assert_num_queries: Any
) -> None:
    campaign = campaign_with(RULE)
    for number in (1, 20):
        calls = ended_calls(number, account, campaign)
        with transaction.atomic(), django_assert_num_queries(6):
            write_retries(calls)
        assert CallLog.objects.filter(attempt=3, batch=calls[0].batch).count() == number


def test_a_template_without_rules_costs_no_statement(
    account: ProviderAccount, django_assert_num_queries: Any
) -> None:
    calls = ended_calls(2, account, campaign_with({}))
    with django_assert_num_queries(0):
        write_retries(calls)


# --- At once ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_two_calls_of_a_person_that_end_in_two_transactions_keep_to_the_budget() -> None:
    account = ProviderAccount.objects.default()
    batch = make_batch(campaign=campaign_with(RULE, retry_budget=1))
    first = make_call(batch=batch, status=CallStatus.DIALING)
    second = make_call(batch=batch, contact=first.contact)  # rings, though it was queued again
    recorded, other_is_over = threading.Event(), threading.Event()

    def end_first() -> None:
        with transaction.atomic():
            record_event(account, ended(first, CallStatus.NO_ANSWER))
            recorded.set()
            other_is_over.wait(0.5)  # it waits for this transaction: its time runs out

    def end_second() -> None:
        recorded.wait(10)
        record_event(account, ended(second, CallStatus.NO_ANSWER))
        other_is_over.set()

    at_once(end_first, end_second)
    assert set(CallLog.objects.filter(attempt=1).values_list("status", flat=True)) == {"no_answer"}
    assert CallLog.objects.filter(attempt=2).count() == 1


@pytest.mark.django_db(transaction=True)
def test_endings_and_a_launch_that_lock_the_same_people_wait_for_each_other_in_no_circle() -> None:
    account = ProviderAccount.objects.default()
    batch = make_batch(campaign=campaign_with(RULE))
    # By number the first is the lower, by key the second.
    people = [make_contact(pk=UUID(int=2 - number)) for number in range(2)]
    calls = [make_call(batch=batch, contact=person, status=CallStatus.DIALING) for person in people]
    is_locked, are_ended = threading.Event(), threading.Event()

    def update_contacts() -> None:
        rows = [ContactRow(person.phone_number, first_name="Sara") for person in people]
        with transaction.atomic():
            Contact.objects.upsert(rows[:1], update_existing=True)
            is_locked.set()
            are_ended.wait(0.5)  # the endings wait for this transaction by now
            Contact.objects.upsert(rows[1:], update_existing=True)

    def end_calls() -> None:
        is_locked.wait(10)
        record_events(account, [ended(call, CallStatus.NO_ANSWER) for call in calls])
        are_ended.set()

    at_once(update_contacts, end_calls)
    assert CallLog.objects.filter(attempt=2).count() == 2
    assert Contact.objects.filter(first_name="Sara").count() == 2
