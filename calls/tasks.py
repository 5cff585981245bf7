"""The tasks that django-q2 runs. Any number of copies may run at any time: the rows decide."""

from calls import control, dialling, polling
from calls.webhooks import delivery


def place_batch(batch_id: int) -> None:
    """Place calls of a batch for a while."""
    dialling.place_batch(batch_id)


def poll_calls() -> None:
    """Ask the providers about live calls whose time to be asked about has come."""
    polling.poll_calls()


def cancel_calls() -> None:
    """End the calls of campaigns that are being cancelled."""
    control.cancel_calls()


def deliver_webhooks() -> None:
    """Send the webhooks that are due."""
    delivery.deliver_webhooks()
