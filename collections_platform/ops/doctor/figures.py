"""How much there is of everything."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from calls.models import CallLog, WebhookDelivery
from collections_platform.ops.doctor.facts import Facts, QueueFacts


def figures(facts: Facts, queue: QueueFacts | None) -> dict[str, Any]:
    """In numbers, strings and lists of them; ages in seconds, None where there is nothing."""

    def age(time: datetime | None) -> int | None:
        return None if time is None else max(0, int((facts.now - time).total_seconds()))

    enabled = [endpoint.pk for endpoint in facts.endpoints if not endpoint.disabled_at]
    due = [time for pk in enabled if (time := facts.deliveries.get(pk))]
    oldest = min(due, default=facts.now)
    return {
        "calls": CallLog.objects.counts()["status"],
        "oldestDueCallSeconds": age(facts.batches.oldest_due),
        "accounts": [
            {"name": a.name, "live": facts.live.get(a.pk, 0), "maximum": a.max_live}
            for a in facts.accounts
        ],
        "queue": queue and {"length": queue.length, "oldestSeconds": age(queue.oldest)},
        "deliveries": {
            "due": WebhookDelivery.objects.due(facts.now).count(),
            "oldestDueSeconds": age(oldest) if oldest < facts.now else None,
        },
        "workers": [
            {"host": w.host, "pid": w.pid, "queue": w.queue, "seenSecondsAgo": age(w.seen_at)}
            for w in facts.workers
        ],
    }


def in_words(known: dict[str, Any]) -> Iterator[str]:
    """A line per figure."""
    calls = ", ".join(f"{number} {status}" for status, number in sorted(known["calls"].items()))
    oldest = _since(known, "oldestDueCallSeconds")
    yield f"Calls: {calls or 'none'}; the oldest that is due: {oldest}"
    for account in known["accounts"]:
        limit = account["maximum"] or "any number"
        yield f"Account “{account['name']}”: {account['live']} live calls, at most {limit}"
    if queue := known["queue"]:
        yield f"Queue: {queue['length']} tasks; the oldest: {_since(queue, 'oldestSeconds')}"
    deliveries = known["deliveries"]
    oldest = _since(deliveries, "oldestDueSeconds")
    yield f"Deliveries due: {deliveries['due']}; the oldest: {oldest}"
    for worker in known["workers"]:
        yield f"Worker on {worker['host']} ({worker['pid']}): seen {worker['seenSecondsAgo']} s ago"


def _since(known: dict[str, Any], name: str) -> str:
    return "none" if known[name] is None else f"for {known[name]} s"
