"""What must hold once quiet has returned, whatever went wrong before."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Statuses of a call that nobody has placed; a placed one ends as its line did.
UNPLACED = {"invalid_number", "skipped", "failed"}


@dataclass(frozen=True, slots=True)
class Row:
    """An attempt as the platform has it."""

    attempt_id: str
    call_id: str
    attempt: int
    campaign_id: str
    number: str
    status: str
    outcome: str
    ended_reason: str
    is_ended: bool

    @property
    def told(self) -> str:
        """How a webhook tells of it."""
        return self.outcome or self.status.upper()


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it was received. `about`: the attempt's or the campaign's id."""

    webhook_id: str
    kind: str
    about: str
    is_signed: bool
    told: str  # what it says of the call, in one word


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is known of one run."""

    accepted: Mapping[str, str]  # number by call id, as the answers to the requests said
    campaigns: Sequence[Mapping[str, Any]]  # as the API tells of them
    rows: Sequence[Row]
    record: Mapping[str, Any]  # of the far side
    webhooks: Sequence[Webhook]
    leases: Sequence[str] = ()
    deliveries: Mapping[str, int] = field(default_factory=dict)  # by status
    max_live: int | None = None
    expected_campaigns: int | None = None
    deliveries_may_wait: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    kind: str
    ids: tuple[str, ...]
    hint: str

    def __str__(self) -> str:
        shown = ", ".join(self.ids[:5]) + (f" and {len(self.ids) - 5} more" if self.ids[5:] else "")
        return f"{self.kind}: {shown or '-'} ({self.hint})"


def figures(evidence: Evidence) -> dict[str, int]:
    """What a run is told by, in one line."""
    seen = Counter(webhook.webhook_id for webhook in evidence.webhooks)
    found = defaultdict(int, {v.kind: len(v.ids) for v in violations(evidence)})
    return {
        "accepted": len(evidence.accepted),
        "ended": sum(row.is_ended for row in evidence.rows),
        "lost": found["lost"],
        "double": found["double"] + found["double number"] + found["stranger"],
        "repeats": sum(len(line["repeats"]) for line in evidence.record["placements"]),
        "stuck": found["stuck"],
        "untrue": found["untrue"],
        "overlaps": len(evidence.record["overlaps"]),
        "most live": evidence.record["mostLive"],
        "webhooks missing": found["webhook missing"],
        "webhooks repeated": sum(number - 1 for number in seen.values()),
    }


def violations(evidence: Evidence) -> list[Violation]:
    """Every promise that is broken, with the ids it is broken for."""
    found = [
        *_of_calls(evidence),
        *_of_placements(evidence),
        *_of_endings(evidence),
        *_of_webhooks(evidence),
        *_of_campaigns(evidence),
        *_of_remains(evidence),
    ]
    return [violation for violation in found if violation.ids]


def _violation(kind: str, ids: Iterable[str], hint: str) -> Violation:
    return Violation(kind, tuple(sorted(ids)), hint)


def _of_calls(evidence: Evidence) -> Iterator[Violation]:
    rows = evidence.rows
    known = {row.call_id for row in rows}
    accepted = set(evidence.accepted)
    yield _violation("lost", accepted - known, "accepted with 201, and no row knows of it")
    yield _violation("unasked", known - accepted, "a row for a call that no answer told of")
    open_calls = [row.attempt_id for row in rows if not row.is_ended]
    yield _violation("stuck", open_calls, "it has not ended in time: read its row and the log")
    again = [row.attempt_id for row in rows if row.attempt > 1]
    yield _violation("double", again, "a further attempt, though no rule grants one")


def _of_placements(evidence: Evidence) -> Iterator[Violation]:
    placements = evidence.record["placements"]
    by_call = Counter(line["callId"] for line in placements)
    yield _violation(
        "double", [call for call, times in by_call.items() if times > 1], "placed more than once"
    )
    asked = Counter(evidence.accepted.values())
    by_number = Counter(line["number"] for line in placements)
    yield _violation(
        "double number",
        [number for number, times in by_number.items() if times > asked[number]],
        "called more often than was asked for",
    )
    repeated = [line["callId"] for line in placements if line["repeats"]]
    yield _violation("repeat", repeated, "asked for again, without asking whether it is known")
    numbers = {row.attempt_id: row.number for row in evidence.rows}
    yield _violation(
        "stranger",
        [line["callId"] for line in placements if numbers.get(line["callId"]) != line["number"]],
        "placed with an id or to a number that no row has",
    )
    yield _violation(
        "overlap",
        [call for overlap in evidence.record["overlaps"] for call in overlap["callIds"]],
        "two live calls to one number",
    )
    most = evidence.record["mostLive"]
    if evidence.max_live is not None and most > evidence.max_live:
        yield _violation("too many live", [str(most)], f"the account allows {evidence.max_live}")


def _of_endings(evidence: Evidence) -> Iterator[Violation]:
    lines = {line["callId"]: line for line in evidence.record["placements"]}
    untrue, unplaced = [], []
    for row in evidence.rows:
        line = lines.get(row.attempt_id)
        if line and row.is_ended and row.status not in line["endings"]:
            untrue.append(row.attempt_id)
        if not line and row.is_ended and row.status not in UNPLACED:
            unplaced.append(row.attempt_id)
    yield _violation("untrue", untrue, "it ended otherwise than its line did")
    yield _violation("lost", unplaced, "it is said to have ended, and was never placed")
    given_up = {
        row.attempt_id
        for row in evidence.rows
        if row.attempt_id not in lines and row.status in {"failed", "invalid_number"}
    }
    refused = {refusal["callId"] for refusal in evidence.record["refused"]}
    yield _violation("lost", given_up - refused, "given up, though the far side never refused it")


def _of_webhooks(evidence: Evidence) -> Iterator[Violation]:
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    subjects: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for webhook in evidence.webhooks:
        ids[webhook.kind, webhook.about].add(webhook.webhook_id)
        subjects[webhook.webhook_id].add((webhook.kind, webhook.about))
    ended = {("phone_call.ended", row.attempt_id) for row in evidence.rows if row.is_ended}
    ended |= {
        ("campaign.completed", campaign["campaignId"])
        for campaign in evidence.campaigns
        if campaign["status"] == "completed"
    }
    missing = ended - set(ids)
    if evidence.deliveries_may_wait and len(missing) <= evidence.deliveries.get("pending", 0):
        missing = set()
    yield _violation("webhook missing", (about for _, about in missing), "nobody was told")
    yield _violation("webhook untrue", (a for _, a in set(ids) - ended), "it tells of no ending")
    two_ids = [about for (_, about), known in ids.items() if len(known) > 1]
    yield _violation("webhook ids", two_ids, "one ending was told under two ids")
    reused = [webhook_id for webhook_id, about in subjects.items() if len(about) > 1]
    yield _violation("webhook ids", reused, "one id tells of two endings")
    unsigned = {webhook.webhook_id for webhook in evidence.webhooks if not webhook.is_signed}
    yield _violation("webhook unsigned", unsigned, "the signature is wrong")
    tellings = {row.attempt_id: row.told for row in evidence.rows}
    otherwise = {
        w.about
        for w in evidence.webhooks
        if w.kind == "phone_call.ended" and tellings.get(w.about) != w.told
    }
    yield _violation("webhook untrue", otherwise, "it tells of another ending than the row")


def _of_campaigns(evidence: Evidence) -> Iterator[Violation]:
    campaigns = evidence.campaigns
    unended = [c["campaignId"] for c in campaigns if c["status"] != "completed"]
    yield _violation("campaign open", unended, "it is not completed")
    counted = sum(sum(campaign["counts"]["status"].values()) for campaign in campaigns)
    if counted != len(evidence.accepted):
        ids = [campaign["campaignId"] for campaign in campaigns]
        hint = f"they count {counted} calls of {len(evidence.accepted)} accepted"
        yield _violation("campaign counts", ids or ["none"], hint)
    expected = evidence.expected_campaigns
    if expected is not None and len(campaigns) != expected:
        ids = [campaign["campaignId"] for campaign in campaigns]
        yield _violation("campaigns", ids or ["none"], f"{expected} were asked for")


def _of_remains(evidence: Evidence) -> Iterator[Violation]:
    waiting = evidence.deliveries.get("pending", 0)
    if not evidence.deliveries_may_wait:
        yield _violation("lease held", evidence.leases, "by nobody who works")
        yield _violation("deliveries pending", [str(waiting)] * bool(waiting), "still to be sent")
    if dead := evidence.deliveries.get("dead", 0):
        yield _violation("deliveries dead", [str(dead)], "given up")
    counts = evidence.record["counts"]
    refused = {what: n for what, n in counts.items() if what.startswith("refused: ")}
    yield _violation("bad signatures", (f"{what} {n}" for what, n in refused.items()), "at us")
    if keys := counts.get("wrong key", 0):
        yield _violation("wrong keys", [str(keys)], "the Idempotency-Key is not the call's id")
