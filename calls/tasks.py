"""The tasks that django-q2 runs. Any number of copies may run at any time: the rows decide."""

import logging

from calls import analysis, control, dialling, lines, polling, sweeper
from calls.overdue import overdue_task
from calls.queue import wake
from calls.recordings import copying, retention
from calls.webhooks import delivery

logger = logging.getLogger(__name__)


def place_batch(batch_id: int) -> None:
    """Place calls of a batch for a while.

    A large campaign fills the queue with batches. What would have to wait behind them all, the
    polls and the webhooks of calls that are under way, is done first.
    """
    if task := overdue_task():
        try:
            FIRST[task]()
        except Exception:
            logger.exception("%s failed before batch %s was placed", task, batch_id)
        else:
            wake("place_batch", [batch_id])
            return
    dialling.place_batch(batch_id)


def poll_calls() -> None:
    """Ask the providers about live calls whose time to be asked about has come."""
    polling.poll_calls()


def cancel_calls() -> None:
    """End the calls of campaigns that are being cancelled."""
    control.cancel_calls()


def hang_up() -> None:
    """Have the providers close the lines of calls that have ended for us."""
    lines.hang_up()


def evaluate_calls() -> None:
    """Find the outcomes of conversations whose providers did not tell them."""
    analysis.evaluate_calls()


def deliver_webhooks() -> None:
    """Send the webhooks that are due."""
    delivery.deliver_webhooks()


def copy_recordings() -> None:
    """Copy the recordings that are due into our storage."""
    copying.copy_recordings()


def prune_recordings() -> None:
    """Delete the recordings that have been kept for long enough."""
    retention.prune_recordings()


def sweep() -> None:
    """Sweep where no `run_worker` does: scheduled, so that a plain `qcluster` heals too."""
    sweeper.sweep()


FIRST = {
    "cancel_calls": cancel_calls,
    "hang_up": hang_up,
    "poll_calls": poll_calls,
    "evaluate_calls": evaluate_calls,
    "deliver_webhooks": deliver_webhooks,
}
