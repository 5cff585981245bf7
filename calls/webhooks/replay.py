"""Sending again what was not taken, or what a receiver has lost."""

from django.db import transaction
from django.utils import timezone

from calls.models import DeliveryStatus
from calls.models.webhook import WebhookDeliveryQuerySet
from calls.queue import wake


@transaction.atomic
def replay(deliveries: WebhookDeliveryQuerySet) -> int:
    """Make these deliveries due now, under their old ids and with all their tries before them;
    return how many. Those of a disabled endpoint wait until it is enabled.
    """
    number = deliveries.order_by().update(
        status=DeliveryStatus.PENDING,
        tries=0,
        next_attempt_at=timezone.now(),
        delivered_at=None,
    )
    if number:
        wake("deliver_webhooks")
    return number
