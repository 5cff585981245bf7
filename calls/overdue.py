"""What is due beside the placing of calls, and in no worker's hands."""

from collections.abc import Iterator

from django.db.models import QuerySet
from django.db.models.functions import Now

from calls.models import CallLog, Recording, SingletonTask, WebhookDelivery
from campaigns.clock import database_now


def overdue_tasks() -> Iterator[str]:
    """The tasks for which something is due while no worker is at them, most urgent first."""
    now = database_now()
    due: dict[str, QuerySet] = {
        "cancel_calls": CallLog.objects.to_cancel(),
        "hang_up": CallLog.objects.to_hang_up(now),
        "poll_calls": CallLog.objects.to_poll(now),
        "evaluate_calls": CallLog.objects.to_evaluate(now),
        "deliver_webhooks": WebhookDelivery.objects.due(now),
        "copy_recordings": Recording.objects.due(now),
    }
    busy = SingletonTask.objects.filter(lease_until__gte=Now()).values_list("name", flat=True)
    idle = due.keys() - set(busy)
    return (name for name, rows in due.items() if name in idle and rows.exists())


def overdue_task() -> str | None:
    """The most urgent of the overdue tasks that calls under way wait for."""
    return next((task for task in overdue_tasks() if task != "copy_recordings"), None)
