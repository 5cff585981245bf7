"""A check that cannot fail is none: each promise is broken here once, and each is noticed."""

from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checks import Evidence, Row, Webhook, figures, violations
from tests.chaos.far_side import Exchange, dice_of

A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
CAMPAIGN = "00000000-0000-0000-0000-0000000000cc"
NUMBERS = {A: "+966500000001", B: "+966500000002"}
NOW = 1_800_000_000.0


def exchange_with(*placed: tuple[str, str, float]) -> Exchange:
    """The far side after these calls: id, number and second of each."""
    exchange = Exchange()
    for call_id, number, second in placed:
        exchange.place({"callId": call_id, "to": number}, NOW + second, dice_of(number))
    return exchange


def good(*placed: tuple[str, str, float]) -> Evidence:
    """A run of two calls in which everything went well, unless others were `placed`."""
    record = exchange_with(*(placed or ((A, NUMBERS[A], 0), (B, NUMBERS[B], 0)))).as_json()
    endings = {line["callId"]: line["endings"][0] for line in record["placements"]}
    rows = [
        Row(pk, pk, 1, CAMPAIGN, number, endings.get(pk, "skipped"), "", "far", True)
        for pk, number in NUMBERS.items()
    ]
    webhooks = [
        Webhook(f"msg {r.call_id}", "phone_call.ended", r.call_id, True, r.told) for r in rows
    ]
    return Evidence(
        accepted=NUMBERS,
        campaigns=[campaign("completed", 2)],
        rows=rows,
        record=record,
        webhooks=[*webhooks, Webhook("msg c", "campaign.completed", CAMPAIGN, True, "")],
        deliveries={"delivered": 3},
        max_live=2,
        expected_campaigns=1,
    )


def campaign(status: str, count: int) -> dict[str, Any]:
    return {"campaignId": CAMPAIGN, "status": status, "counts": {"status": {"completed": count}}}


def kinds(evidence: Evidence) -> set[str]:
    return {violation.kind for violation in violations(evidence)}


def with_row(evidence: Evidence, **changes: Any) -> Evidence:
    return replace(evidence, rows=[replace(evidence.rows[0], **changes), *evidence.rows[1:]])


def with_webhook(evidence: Evidence, **changes: Any) -> Evidence:
    first, *others = evidence.webhooks
    return replace(evidence, webhooks=[replace(first, **changes), *others])


def with_record(evidence: Evidence, **changes: Any) -> Evidence:
    return replace(evidence, record={**evidence.record, **changes})


def test_a_run_in_which_all_went_well_breaks_no_promise() -> None:
    evidence = good()

    assert violations(evidence) == []
    told = figures(evidence)
    assert (told["accepted"], told["ended"], told["lost"], told["double"]) == (2, 2, 0, 0)


def test_two_placements_of_one_call_are_noticed() -> None:
    twice = good((A, NUMBERS[A], 0), (A, NUMBERS[A], 10), (B, NUMBERS[B], 0))

    assert {"double", "double number"} <= kinds(twice)
    assert figures(twice)["double"] >= 1
    assert figures(twice)["overlaps"] == 0


def test_a_request_for_a_call_that_is_placed_already_is_noticed() -> None:
    exchange = exchange_with((A, NUMBERS[A], 0), (B, NUMBERS[B], 0))
    exchange.repeat(A, NOW + 70)

    evidence = replace(good(), record=exchange.as_json())

    assert "repeat" in kinds(evidence)
    assert figures(evidence)["repeats"] == 1


def test_a_placement_under_another_id_is_noticed() -> None:
    other = "00000000-0000-0000-0000-00000000000e"
    evidence = good((A, NUMBERS[A], 0), (other, NUMBERS[A], 10), (B, NUMBERS[B], 0))

    assert {"double number", "stranger"} <= kinds(evidence)


def test_two_live_calls_to_one_number_are_noticed() -> None:
    evidence = good((A, NUMBERS[A], 0), (B, NUMBERS[A], 0.01))

    assert "overlap" in kinds(evidence)
    assert figures(evidence)["overlaps"] == 1


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (replace(good(), rows=good().rows[1:]), "lost"),
        (replace(good(), accepted={A: NUMBERS[A]}), "unasked"),
        (with_row(good(), is_ended=False, status="in_progress"), "stuck"),
        (with_row(good(), attempt=2), "double"),
        (with_row(good(), status="skipped"), "untrue"),
        (with_row(good((B, NUMBERS[B], 0)), status="completed"), "lost"),
        (with_row(good((B, NUMBERS[B], 0)), status="failed"), "lost"),
        (with_record(good(), mostLive=3), "too many live"),
        (replace(good(), webhooks=good().webhooks[1:]), "webhook missing"),
        (replace(good(), webhooks=good().webhooks[:-1]), "webhook missing"),
        (with_webhook(good(), about=CAMPAIGN), "webhook untrue"),
        (with_webhook(good(), told="DISPUTE"), "webhook untrue"),
        (with_webhook(good(), is_signed=False), "webhook unsigned"),
        (with_webhook(good(), webhook_id=f"msg {B}"), "webhook ids"),
        (replace(good(), campaigns=[campaign("running", 2)]), "campaign open"),
        (replace(good(), campaigns=[campaign("completed", 1)]), "campaign counts"),
        (replace(good(), campaigns=[campaign("completed", 1)] * 2), "campaigns"),
        (replace(good(), leases=["batch 1"]), "lease held"),
        (replace(good(), deliveries={"pending": 1}), "deliveries pending"),
        (replace(good(), deliveries={"dead": 1}), "deliveries dead"),
        (with_record(good(), counts={"refused: unsigned": 1}), "bad signatures"),
        (with_record(good(), counts={"wrong key": 1}), "wrong keys"),
    ],
)
def test_a_broken_promise_is_noticed(broken: Evidence, kind: str) -> None:
    assert kind in kinds(broken)


def test_one_ending_told_under_two_ids_is_noticed_and_one_told_twice_is_not() -> None:
    evidence = good()
    first = evidence.webhooks[0]

    two_ids = replace(evidence, webhooks=[*evidence.webhooks, replace(first, webhook_id="other")])
    again = replace(evidence, webhooks=[*evidence.webhooks, first])

    assert kinds(two_ids) == {"webhook ids"}
    assert violations(again) == []
    assert figures(again)["webhooks repeated"] == 1


def test_webhooks_that_still_wait_may_be_missing_but_no_others() -> None:
    evidence = replace(good(), webhooks=good().webhooks[1:], deliveries_may_wait=True)

    assert violations(replace(evidence, deliveries={"pending": 1})) == []
    assert kinds(replace(evidence, deliveries={})) == {"webhook missing"}


def test_what_the_far_side_refused_may_end_without_a_placement() -> None:
    evidence = good((B, NUMBERS[B], 0))
    refused = {"refused": [{"callId": A, "number": NUMBERS[A]}]}

    refused_one = with_record(with_row(evidence, status="invalid_number"), **refused)

    assert "lost" not in kinds(refused_one)
