"""What `docs/provider-protocol.md` says is so."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest

from calls.polling import ASK_AGAIN_AFTER, over_by
from calls.providers.base import CallRequest
from calls.providers.http import AT_ONCE
from calls.providers.http.agent import AGENT_SECONDS, CONNECT_SECONDS
from calls.providers.http.messages import (
    EndingIn,
    EventIn,
    call_body,
    read_call,
    read_event,
    read_placement,
)
from calls.tests.factories import make_call
from calls.tests.far_side import FarSide
from calls.tests.test_http_provider import NOW, make_request, provider_at
from calls.webhooks.signing import TOLERANCE_SECONDS, sign

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "provider-protocol.md").read_text()
CALL_ID = UUID("66cf6c1b-01e1-41e0-87c9-915257005ef9")
PLACE, TAKEN, CALL, EVENT = (
    text.encode() for text in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def named(text: str) -> set[str]:
    """What stands in backticks in the first cells of the tables of a text."""
    cells = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def documented_request() -> CallRequest:
    return make_request(
        attempt_id=CALL_ID,
        number_from="+12025550100",
        system_prompt="You are a collections agent.",
        first_message="Hello, Ahmed.",
    )


def test_the_known_answers_are_those_that_we_compute() -> None:
    [secret] = set(re.findall(r"`(whsec_\w+)`", PAGE))
    stamps = re.findall(r"id `([\w-]+)`, timestamp `(\d+)`", section("Signatures"))
    answers = re.findall(r"gives `(v1,[^`]+)`", section("Signatures"))
    [body] = re.findall(r"^```\n(\{.*?\})\n```$", PAGE, re.MULTILINE)
    assert f"this body of {len(body)} bytes" in PAGE
    bodies = [body.encode(), b""]
    computed = [
        sign(secret, identity, int(timestamp), told)
        for (identity, timestamp), told in zip(stamps, bodies, strict=True)
    ]
    assert computed == answers
    assert read_event(body.encode()).attempt_id == CALL_ID


def test_the_request_of_the_page_is_the_one_that_is_sent() -> None:
    sent = json.loads(call_body(documented_request(), "https://calls.example.com/hooks/3"))
    assert json.loads(PLACE) == sent
    assert named(section("Placing a call").split("| answer |")[0]) == set(sent)


def test_the_answers_and_the_event_of_the_page_are_read() -> None:
    assert read_placement(TAKEN) == ("c_91ab", "+12025550100")
    assert [event.event_id for event in read_call(CALL, CALL_ID)] == ["evt_7f3a", "evt_7f3b"]
    event = read_event(EVENT)
    assert event.ending
    assert (event.ending.outcome, event.ending.duration_seconds) == ("PROMISE_TO_PAY", 61)


def aliases(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_fields_of_the_page_are_those_that_are_read() -> None:
    of_event, of_ending = section("Events").split("\nOf the ending:\n")
    assert named(of_event) == aliases(EventIn) == set(json.loads(EVENT))
    of_ending = of_ending.split("The platform answers")[0]
    assert named(of_ending) == aliases(EndingIn) == set(json.loads(EVENT)["ending"])
    statuses = get_args(EndingIn.model_fields["status"].annotation)
    [row] = re.findall(r"^\| `status` .*$", of_ending, re.MULTILINE)
    assert set(statuses) == set(re.findall(r"`(\w+)`", row)) - {"status"}


@pytest.fixture
def far_side() -> Iterator[FarSide]:
    with FarSide() as far_side:
        yield far_side


@pytest.mark.django_db
def test_every_status_of_the_table_does_what_the_table_says(far_side: FarSide) -> None:
    """The errors by name: what the engine makes of each stands in `docs/adding-a-provider.md`."""
    rows = section("Placing a call").split("| answer |")[1]
    words = {
        "ends the call as": "PermanentError",
        "the account is at fault": "AccountError",
        "nobody speaks this protocol": "AccountError",
        "not now": "TemporaryError",
        "nobody knows": "UnexpectedAnswer",
    }
    found = {}
    for row in rows.splitlines():
        for word, error in words.items():
            if word in row:
                for status in re.findall(r"\b[45]\d\d\b", row.split("|")[1]):
                    found[int(status)] = error
    assert set(found) == {401, 402, 403, 404, 405, 408, 422, 429, 503}
    for status, error in found.items():
        far_side.says(status, {"reason": "invalid_number"})
        with pytest.raises(Exception) as raised:  # noqa: PT011
            provider_at(far_side.url).place(documented_request())
        assert type(raised.value).__name__ == error


@pytest.mark.django_db
def test_the_times_of_the_page_are_those_that_are_kept() -> None:
    call = make_call(status="dialing", started_at=NOW)
    limit = call.campaign.template_version.max_duration_seconds
    assert over_by(call) - NOW == timedelta(seconds=180 + limit)
    assert "180 s and `maxDurationSeconds` after `startedAt`" in PAGE
    assert f"a look-up each {ASK_AGAIN_AFTER.seconds} s" in PAGE
    assert f"Up to {AT_ONCE} placements" in PAGE
    assert f"within {CONNECT_SECONDS} seconds and the whole" in PAGE
    assert f"over within {AGENT_SECONDS}," in PAGE
    assert f"more than {TOLERANCE_SECONDS} seconds off" in PAGE
