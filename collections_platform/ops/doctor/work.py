"""Checks of what is to be done, and is not."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from django.db.models import Min

from calls.models import CallLog, WebhookDelivery, WebhookEndpoint
from calls.providers import PROVIDERS
from campaigns.models import Campaign, CampaignStatus
from collections_platform.ops.doctor.facts import PATIENCE, Facts, QueueFacts
from collections_platform.ops.doctor.problem import Problem, lasting
from templates.models import AISettingsTemplate

UNDELIVERED = timedelta(minutes=10)
UNSTARTED_TASK = timedelta(minutes=10)
RECENT = timedelta(days=7)
# To ring, and for the provider to tell of the end.
BEYOND_MAXIMUM = timedelta(minutes=5)
SEE_LOG = "See what the workers' log says; more workers or QUEUE_WORKERS help if it is too much."


def unattended_calls(facts: Facts) -> Iterator[Problem]:
    """Batches take turns, and wait for an account that is full or held: only where no worker is
    at any batch has something been forgotten.
    """
    batches = facts.batches
    due = batches.oldest_unheld
    is_paced = any(
        account.held_since or (account.max_live or 1e9) <= facts.live.get(account.pk, 0)
        for account in facts.accounts
    )
    if due and facts.running and not batches.held and not is_paced and facts.now - due > PATIENCE:
        yield Problem(
            f"Calls have been due for {lasting(facts.now - due)}, and no worker is at any of them.",
            SEE_LOG,
        )


def abandoned_batches(facts: Facts) -> Iterator[Problem]:
    if facts.batches.abandoned and facts.running:
        yield Problem(
            f"{facts.batches.abandoned} batches were left by a worker more than "
            f"{lasting(PATIENCE)} ago, and no other has taken them up.",
            SEE_LOG,
        )


def endless_calls(facts: Facts) -> Iterator[Problem]:
    """Calls under way for longer than their template allows, grouped by what it allows."""
    maximum = "campaign__template_version__max_duration_seconds"
    groups = CallLog.objects.live().order_by().values_list(maximum)
    for seconds, started_at in groups.annotate(first=Min("started_at")):
        limit = timedelta(seconds=seconds)
        if started_at and facts.now - started_at > limit + BEYOND_MAXIMUM:
            yield Problem(
                f"A call has been under way for {lasting(facts.now - started_at)}, though its "
                f"maximum is {lasting(limit)}.",
                "See under Calls what its provider says of it, and whether polls of the account "
                "fail in the workers' log.",
            )


def unstarted_campaigns(facts: Facts) -> Iterator[Problem]:
    late = Campaign.objects.filter(
        status=CampaignStatus.SCHEDULED, starts_at__lt=facts.now - PATIENCE
    )
    for pk, starts_at in late.order_by("starts_at").values_list("pk", "starts_at")[:10]:
        late_by = facts.now - (starts_at or facts.now)  # a constraint says that it has one
        yield Problem(
            f"Campaign {pk} was to start {lasting(late_by)} ago and has not.",
            "See whether a worker runs, and what its log says of the sweep.",
        )


def held_accounts(facts: Facts) -> Iterator[Problem]:
    for account in facts.accounts:
        if account.held_since:
            yield Problem(
                f"The provider account “{account.name}” has been held for "
                f"{lasting(facts.now - account.held_since)}: {account.held_reason}.",
                "See the account in the admin. A call is tried again by itself now and then, and "
                "the account goes on when one succeeds.",
            )


def unknown_providers(facts: Facts) -> Iterator[Problem]:
    for account in facts.accounts:
        if account.provider not in PROVIDERS:
            yield Problem(
                f"Nobody knows the provider “{account.provider}” of the account “{account.name}”.",
                f"Choose one of {', '.join(sorted(PROVIDERS))}, or install the code that knows it.",
            )


def default_template(facts: Facts) -> Iterator[Problem]:
    if AISettingsTemplate.objects.default() is None:
        yield Problem(
            "There is no default template: a request that names none is refused.",
            "Mark a template as default in the admin, or name one in every request.",
            is_note=True,
        )


def disabled_endpoints(facts: Facts) -> Iterator[Problem]:
    for endpoint in facts.endpoints:
        if endpoint.disabled_at and endpoint.failing_since:
            lasted = lasting(endpoint.disabled_at - endpoint.failing_since)
            yield Problem(
                f"{_name(endpoint)} was disabled after it had failed for {lasted}; its deliveries "
                "wait.",
                "When the receiver works again, enable the endpoint in the admin.",
            )


def failing_endpoints(facts: Facts) -> Iterator[Problem]:
    for endpoint in facts.endpoints:
        since = None if endpoint.disabled_at else endpoint.failing_since
        if since and facts.deliveries.get(endpoint.pk) and facts.now - since > UNDELIVERED:
            yield Problem(
                f"{_name(endpoint)} has failed for {lasting(facts.now - since)}; after 5 days it "
                "is disabled.",
                "See under Webhook deliveries how the receiver answers; `send_test_webhook` tries.",
            )


def overdue_deliveries(facts: Facts) -> Iterator[Problem]:
    for endpoint in facts.endpoints:
        due = None if endpoint.disabled_at else facts.deliveries.get(endpoint.pk)
        if due and facts.now - due > UNDELIVERED:
            yield Problem(
                f"A delivery for {_name(endpoint)} has been due for {lasting(facts.now - due)}.",
                SEE_LOG,
            )


def dead_deliveries(facts: Facts) -> Iterator[Problem]:
    recent = WebhookDelivery.objects.dead().filter(created_at__gte=facts.now - RECENT)
    if number := recent.count():
        yield Problem(
            f"{number} webhook deliveries of the last {lasting(RECENT)} were given up.",
            "When the receiver works again, `replay_webhooks` sends them once more.",
        )


def long_queue(queue: QueueFacts, facts: Facts) -> Iterator[Problem]:
    if queue.oldest and facts.now - queue.oldest > UNSTARTED_TASK:
        yield Problem(
            f"{queue.length} tasks wait in the queue, the first for "
            f"{lasting(facts.now - queue.oldest)}.",
            SEE_LOG,
        )


def _name(endpoint: WebhookEndpoint) -> str:
    return f"Webhook endpoint {endpoint.pk} ({urlsplit(endpoint.url).hostname})"
