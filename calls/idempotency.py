"""The same request under the same key is carried out once and answered alike every time.

draft-ietf-httpapi-idempotency-key-header-07; keys belong to a client and a path.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from calls.models import CallLog, IdempotencyKey
from calls.services import Launch
from campaigns.models import Campaign
from contacts.validation import InvalidInput, error_detail

HEADER = "Idempotency-Key"
VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
KEPT_FOR = timedelta(hours=48)
PRUNED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request as its key knows it: who asks, where, under which key, and for what."""

    api_client_id: UUID
    path: str
    key: str
    digest: str


def read_attempt(
    api_client_id: UUID, path: str, key: str | None, body: bytes, prefer: str
) -> Attempt | None:
    """The request under its key; None if it has none. Raises `InvalidInput`."""
    if key is None:
        return None
    if not VISIBLE.fullmatch(key):
        raise _refusal("The key must be 1 to 255 visible ASCII characters", "idempotency_key")
    asked = hashlib.sha256(prefer.encode() + b"\0" + body)
    return Attempt(api_client_id, path, key, asked.hexdigest())


@transaction.atomic
def launch_once(attempt: Attempt | None, launch: Callable[[], Launch]) -> Launch:
    """`launch()`, or what came of it when the key was used first.

    Waits for a first that still runs. Raises `InvalidInput` where the key was used for another
    request, and whatever `launch` raises; then nothing is kept, the key neither.
    """
    if attempt is None:
        return launch()
    row = IdempotencyKey(
        api_client_id=attempt.api_client_id,
        path=attempt.path,
        key=attempt.key,
        request_digest=attempt.digest,
    )
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        return _replay(attempt)
    done = launch()
    row.campaign, row.rejected = done.campaign, done.rejected
    row.save(update_fields=["campaign", "rejected"])
    return done


def _replay(attempt: Attempt) -> Launch:
    first = IdempotencyKey.objects.select_related("campaign").get(
        api_client=attempt.api_client_id, path=attempt.path, key=attempt.key
    )
    if first.request_digest != attempt.digest:
        raise _refusal("The key was used for another request", "idempotency_key_reused")
    campaign: Campaign = first.campaign  # type: ignore[assignment]  # committed with its campaign
    calls = CallLog.objects.filter(campaign=campaign, attempt=1).order_by("position")
    return Launch(campaign, campaign.batches.count(), list(calls), first.rejected)


def prune_keys() -> None:
    """Forget keys that are older than `KEPT_FOR`, a bounded number at a time."""
    old = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT_FOR)
    if ids := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        IdempotencyKey.objects.filter(pk__in=ids).delete()


def _refusal(message: str, kind: str) -> InvalidInput:
    return InvalidInput([error_detail(["header", HEADER], message, kind)])
