"""Days and times of day that are said in a text, in English and Arabic.

All functions read text that was normalised and has its numbers in digits. A day without a year is
the next such day; one that has several readings (“next Friday”, 3/4) has them all.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan يناير كانون_الثاني",
            "february feb فبراير شباط",
            "march mar مارس اذار",
            "april apr ابريل نيسان",
            "may مايو ايار",
            "june jun يونيو حزيران",
            "july jul يوليو تموز",
            "august aug اغسطس اب",
            "september sept sep سبتمبر ايلول",
            "october oct اكتوبر تشرين_الاول",
            "november nov نوفمبر تشرين_الثاني",
            "december dec ديسمبر كانون_الاول",
        ),
        start=1,
    )
    for name in names.split()
}
WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "monday الاثنين الاتنين",
            "tuesday الثلاثا التلات",
            "wednesday الاربعا",
            "thursday الخميس",
            "friday الجمعه",
            "saturday السبت",
            "sunday الاحد",
        )
    )
    for name in names.split()
}
TWO_WORD_MONTHS = [
    (re.compile(rf"{first} (?:{second})(?!\w)"), f"{first}_{name}")
    for first in ("كانون", "تشرين")
    for second, name in (("الثاني|2th", "الثاني"), ("الاول|1th", "الاول"))
]
MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
WEEKDAY = "|".join(sorted(WEEKDAYS, key=len, reverse=True))
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
YEAR = r"(?:[ ,]*(?:of |عام |سنه )?(?P<year>20\d\d))?"
WITH_WEEKDAY = rf"(?:(?:{WEEKDAY})[ ,]+(?:the )?(?:الموافق )?)?"
COUNT = r"(?P<count>\d{1,3})"
IN = r"(?:in|within|after|بعد|خلال|في خلال)"
NEXT = r"القادم\w*|الجاي\w*|المقبل\w*"
SPAN_DAYS = {"day": 1, "week": 7, "يوم": 1, "ايام": 1, "اسبوع": 7, "اسابيع": 7}
DUAL = {"يومين": timedelta(days=2), "اسبوعين": timedelta(weeks=2), "اسبوع": timedelta(weeks=1)}
DUAL |= {"يوم": timedelta(days=1)}

Days = tuple[date, ...]
Reader = Callable[[re.Match[str], date], Days]


@dataclass(frozen=True, slots=True)
class DaySaid:
    """Where a day is said, and which it may be; several where the words leave it open."""

    start: int
    end: int
    days: Days


def _valid(year: int, month: int, day: int) -> Days:
    try:
        return (date(year, month, day),)
    except ValueError:
        return ()


def _coming(today: date, month: int, day: int) -> Days:
    """The next such day, today included."""
    for year in (today.year, today.year + 1):
        if (found := _valid(year, month, day)) and found[0] >= today:
            return found
    return ()


def _iso(found: re.Match[str], _: date) -> Days:
    return _valid(int(found[1]), int(found[2]), int(found[3]))


def _figures(found: re.Match[str], today: date) -> Days:
    """Day and month in either order."""
    first, second, year = int(found[1]), int(found[2]), found[3]
    orders = dict.fromkeys(((second, first), (first, second)))
    if not year:
        return tuple(day for month, n in orders for day in _coming(today, month, n))
    full = int(year) + (2000 if len(year) == 2 else 0)
    return tuple(day for month, n in orders for day in _valid(full, month, n))


def _named_month(found: re.Match[str], today: date) -> Days:
    month, day = MONTHS[found["month"]], int(found["day"])
    if found["year"]:
        return _valid(int(found["year"]), month, day)
    return _coming(today, month, day)


def _numbered_month(found: re.Match[str], today: date) -> Days:
    return _coming(today, int(found["number"]), int(found["day"]))


def _day_of_month(found: re.Match[str], today: date) -> Days:
    """The 15th: of this month, or of the next where that has passed or is said."""
    day = int(found["day"])
    of_this = _valid(today.year, today.month, day)
    if of_this and of_this[0] >= today and not found["next"]:
        return of_this
    following = _first_of_next_month(today)
    return _valid(following.year, following.month, day)


def _first_of_next_month(today: date) -> date:
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def _last_of(month: date) -> date:
    return month.replace(day=monthrange(month.year, month.month)[1])


def _end_of_month(found: re.Match[str], today: date) -> Days:
    return (_last_of(_first_of_next_month(today) if found["next"] else today),)


def _spans(found: re.Match[str], today: date) -> Days:
    count, unit = int(found["count"] or 1), found["unit"]
    if unit in {"month", "شهر", "اشهر", "شهور"}:
        return (_months_later(today, count),)
    return (today + timedelta(days=count * SPAN_DAYS[unit]),)


def _months_later(today: date, count: int) -> date:
    years, month = divmod(today.month - 1 + count, 12)
    first = date(today.year + years, month + 1, 1)
    return first.replace(day=min(today.day, _last_of(first).day))


def _dual(found: re.Match[str], today: date) -> Days:
    if found["unit"] in {"شهر", "شهرين"}:
        return (_months_later(today, 2 if found["unit"] == "شهرين" else 1),)
    return (today + DUAL[found["unit"]],)


def _weekday(found: re.Match[str], today: date) -> Days:
    ahead = (WEEKDAYS[found["weekday"]] - today.weekday()) % 7
    coming = today + timedelta(days=ahead or 7)
    if found["next"]:
        return (coming, coming + timedelta(days=7))
    is_certain = ahead or found["coming"] or found["after"]
    return (coming,) if is_certain else (today, coming)


def _next_week(_: re.Match[str], today: date) -> Days:
    """Any day of the week that follows, wherever weeks begin."""
    return tuple(today + timedelta(days=ahead) for ahead in range(1, 15))


def _this_week(_: re.Match[str], today: date) -> Days:
    return tuple(today + timedelta(days=ahead) for ahead in range(8))


def _next_month(_: re.Match[str], today: date) -> Days:
    first = _first_of_next_month(today)
    return tuple(first.replace(day=day) for day in range(1, _last_of(first).day + 1))


def _this_month(_: re.Match[str], today: date) -> Days:
    return tuple(today.replace(day=day) for day in range(today.day, _last_of(today).day + 1))


def _later(days: int) -> Reader:
    return lambda _, today: (today + timedelta(days=days),)


# The longer comes before what it contains: what was read is not read again.
READERS: list[tuple[re.Pattern[str], Reader]] = [
    (re.compile(pattern), reader)
    for pattern, reader in (
        (r"\b(20\d\d)-(\d{1,2})-(\d{1,2})\b", _iso),
        (r"\b(\d{1,2})[/.-](\d{1,2})[/.-](20\d\d|\d\d)\b", _figures),
        (r"\b(\d{1,2})/(\d{1,2})(?!\d|/)()", _figures),
        (
            rf"{WITH_WEEKDAY}\b{DAY} (?:of |من )?(?:شهر )?(?P<month>{MONTH})\b{YEAR}",
            _named_month,
        ),
        (rf"{WITH_WEEKDAY}\b(?P<month>{MONTH}) (?:the )?{DAY}\b{YEAR}", _named_month),
        (rf"\b{DAY} (?:من )?شهر (?P<number>\d{{1,2}})(?!\w)", _numbered_month),
        (r"\bday after tomorrow\b|(?<!\w)بعد (?:ال)?(?:غد|بكره|بكرا)(?!\w)", _later(2)),
        (
            r"\btomorrow\b|(?<!\w)(?:[وفبل]|ال|لل)?(?:غدا|غد|بكره|بكرا|باكر)(?!\w)",
            _later(1),
        ),
        (
            r"\b(?:today|tonight|this (?:morning|afternoon|evening))\b"
            r"|(?<!\w)(?:اليوم|الليله|النهارده)(?!\w)(?! \w*th\b)",
            _later(0),
        ),
        (
            r"\b(?:end of (?:the |this )?(?P<next>next )?month|(?:the )?month end)\b",
            _end_of_month,
        ),
        (
            rf"(?<!\w)(?:ب|في )?(?:نهايه|اخر|اواخر) (?:هذا )?الشهر(?P<next> (?:{NEXT}))?(?!\w)",
            _end_of_month,
        ),
        (
            rf"\b{IN} (?:{COUNT}|an?|the next {COUNT.replace('count', 'other')}) "
            r"(?P<unit>day|week|month)s?\b",
            _spans,
        ),
        (rf"\b{COUNT} (?P<unit>day|week|month)s? from (?:now|today)\b", _spans),
        (
            rf"(?<!\w){IN} {COUNT} (?P<unit>يوم|ايام|اسبوع|اسابيع|شهر|اشهر|شهور)ا?(?!\w)",
            _spans,
        ),
        (rf"(?<!\w){IN} (?P<unit>يومين|يوم|اسبوعين|اسبوع|شهرين|شهر)(?!\w)", _dual),
        (r"\bnext week\b|(?<!\w)ال[اأ]سبوع (?:" + NEXT + r")", _next_week),
        (r"\bnext month\b|(?<!\w)الشهر (?:" + NEXT + r")", _next_month),
        (r"\bthis week\b|(?<!\w)هذا الاسبوع(?!\w)", _this_week),
        (r"\bthis month\b|(?<!\w)هذا الشهر(?!\w)", _this_month),
        (
            rf"\b(?:(?P<next>next )|(?P<coming>(?:this |the )?coming |this ))?"
            rf"(?<!\w)(?P<weekday>{WEEKDAY})(?P<after> (?:{NEXT}))?(?!\w)",
            _weekday,
        ),
        (
            r"(?:\bthe |\bon |\bby |\bيوم )?\b(?P<day>\d{1,2})(?:st|nd|rd|th)\b"
            r"(?P<next> (?:of )?next month)?",
            _day_of_month,
        ),
        (
            r"(?<!\w)يوم (?P<day>\d{1,2})(?!\w|[/.:])(?P<next> الشهر (?:" + NEXT + "))?",
            _day_of_month,
        ),
    )
]


def days_said(text: str, today: date) -> list[DaySaid]:
    """The days said in the text, in its order, as they are counted from `today`."""
    return sorted(_read_days(text, today), key=lambda said: said.start)


def _read_days(text: str, today: date) -> Iterator[DaySaid]:
    for pattern, month in TWO_WORD_MONTHS:
        text = pattern.sub(month, text)
    for pattern, reader in READERS:
        for found in pattern.finditer(text):
            if days := tuple(sorted(set(reader(found, today)))):
                yield DaySaid(found.start(), found.end(), days)
                text = text[: found.start()] + "_" * len(found[0]) + text[found.end() :]


GREETING = re.compile(
    r"\bgood (?:morning|afternoon|evening|night|day)\b|(?:صباح|مسا) (?:الخير|النور|الورد)"
)
PARTS = [
    (re.compile(rf"\b(?:{english})\b|(?<!\w)(?:[وفبل]|ال|لل|بال)?(?:{arabic})(?!\w)"), at)
    for english, arabic, at in (
        ("after ?noon", "بعد الظهر|عصرا|عصر", time(15)),
        ("noon|midday|lunch ?time", "ظهرا|ظهر", time(12)),
        ("morning", "صباحا|صباح|صبح|صبحا", time(10)),
        ("evening|tonight", "مسا|مساي?ا|مغرب|مغربا", time(18)),
        ("night", "ليلا|ليل|ليله", time(19)),
    )
]
MORNING = r"صباحا|الصباح|الصبح|صبحا"
LATER = r"مسا|المسا|عصرا|العصر|ليلا|المغرب|ظهرا|الظهر|بعد الظهر"
CLOCK = re.compile(
    r"\b(?P<hour>\d{1,2})(?::(?P<minute>\d\d))? ?"
    r"(?:(?P<am>am\b|a\.m|in the morning)|(?P<pm>pm\b|p\.m|in the (?:afternoon|evening)|at night))"
    rf"|الساعه (?P<hour_ar>\d{{1,2}})(?:th)?(?::(?P<minute_ar>\d\d))? ?"
    rf"(?:في )?(?:(?P<am_ar>{MORNING})|(?P<pm_ar>{LATER}))(?!\w)"
    r"|\b(?P<hour_24>1[3-9]|2[0-3]|0\d):(?P<minute_24>\d\d)\b"
)
HOURS = re.compile(
    rf"\b(?:in|after) (?:(?P<half>half an)|(?P<one>an?)|{COUNT}) (?P<unit>hour|minute)s?\b"
    rf"|(?<!\w)بعد (?:(?P<half_ar>نصف ساعه)|(?P<two_ar>ساعتين)|(?P<one_ar>ساعه)"
    r"|(?P<count_ar>\d{1,2}) (?P<unit_ar>ساع|دق)\w*)(?!\w)"
)


def time_said(text: str) -> time | None:
    """The one time of day that is said: by the clock with morning or evening, or as a part of the
    day, of which a usual hour is taken. None where it is left open.
    """
    text = GREETING.sub(" ", text)
    clocks = {at for found in CLOCK.finditer(text) if (at := _clock(found))}
    if clocks:
        return clocks.pop() if len(clocks) == 1 else None
    parts = set()
    for pattern, at in PARTS:
        if pattern.search(text):
            parts.add(at)
            text = pattern.sub(" ", text)
    return parts.pop() if len(parts) == 1 else None


def _clock(found: re.Match[str]) -> time | None:
    told = found.groupdict()
    hour = int(told["hour"] or told["hour_ar"] or told["hour_24"])
    minute = int(told["minute"] or told["minute_ar"] or told["minute_24"] or 0)
    if told["pm"] or told["pm_ar"]:
        hour += 12 if hour < 12 else 0
    elif (told["am"] or told["am_ar"]) and hour == 12:
        hour = 0
    return time(hour, minute) if hour < 24 and minute < 60 else None


def wait_said(text: str) -> timedelta | None:
    """How long it is said to be until then, in hours or minutes: “in two hours”."""
    if not (found := HOURS.search(text)):
        return None
    if found["half"] or found["half_ar"]:
        return timedelta(minutes=30)
    if found["two_ar"]:
        return timedelta(hours=2)
    count = int(found["count"] or found["count_ar"] or 1)
    is_minutes = found["unit"] == "minute" or found["unit_ar"] == "دق"
    return timedelta(minutes=count) if is_minutes else timedelta(hours=count)


def moment_said(text: str, at: datetime) -> datetime | None:
    """The one moment after `at` (in the person's zone) that is said; None where day or time of day
    is left open.
    """
    if wait := wait_said(text):
        return at + wait
    said = days_said(text, at.date())
    days = {day for found in said for day in found.days}
    hour = time_said(text)
    if len(days) != 1 or hour is None:
        return None
    moment = datetime.combine(days.pop(), hour, at.tzinfo)
    return moment if moment > at else None
