"""Acting on what runs: pausing, resuming and cancelling campaigns, cancelling a call."""

from uuid import UUID

from django.db import transaction

from calls.dispatch import call_for
from calls.endings import end_calls
from calls.models import CallLog, SingletonTask
from calls.providers.base import Ending
from calls.queue import wake
from calls.statuses import UNANSWERED, CallStatus
from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignStatus

CANCELLED_AT_ONCE = 500
LEASE_SECONDS = 60


class NotAllowed(Exception):
    """The status of the campaign or the call does not allow this."""


def pause_campaign(campaign: Campaign) -> None:
    """Dial nobody more until it is resumed; calls that ring or are answered go on."""
    _change(campaign, CampaignStatus.PAUSED, {CampaignStatus.RUNNING})


@transaction.atomic
def resume_campaign(campaign: Campaign) -> None:
    """Go on dialling."""
    if _change(campaign, CampaignStatus.RUNNING, {CampaignStatus.PAUSED}):
        now = database_now()
        due = CallLog.objects.due(now).filter(campaign=campaign)
        call_for(due.values_list("batch_id", flat=True).distinct())


@transaction.atomic
def cancel_campaign(campaign: Campaign) -> None:
    """End what is queued and what rings; conversations go on to their end.

    The campaign is `cancelling` until a worker has done so.
    """
    open_statuses = {
        CampaignStatus.DRAFT,
        CampaignStatus.SCHEDULED,
        CampaignStatus.RUNNING,
        CampaignStatus.PAUSED,
    }
    if campaign.status == CampaignStatus.CANCELLED:
        return
    if _change(campaign, CampaignStatus.CANCELLING, open_statuses):
        wake("cancel_calls")


@transaction.atomic
def _change(campaign: Campaign, new: str, allowed_from: set[CampaignStatus]) -> bool:
    """Change the status; False if it is so already. Raises `NotAllowed`."""
    if Campaign.objects.filter(pk=campaign.pk, status__in=allowed_from).update(status=new):
        campaign.status = new
        return True
    campaign.refresh_from_db(fields=["status"])
    if campaign.status == new:
        return False
    raise NotAllowed(f"The campaign is {campaign.status}.")


def cancel_calls() -> None:
    """End the calls of campaigns that are being cancelled; one worker at a time does."""
    SingletonTask.repeat("cancel_calls", LEASE_SECONDS, _cancel_some)


def _cancel_some() -> bool:
    with transaction.atomic():
        calls = list(
            CallLog.objects.to_cancel()
            .with_context()
            .order_by("pk")
            .select_for_update(of=("self",), skip_locked=True)[:CANCELLED_AT_ONCE]
        )
        _end_cancelled(calls)
    return bool(calls)


def cancel_call(call_id: UUID) -> CallLog:
    """End a call that is queued, waits for another attempt, or rings; return its last attempt.

    Raises `CallLog.DoesNotExist`, and `NotAllowed` once the person has answered or it has ended.
    """
    while True:
        with transaction.atomic():
            unanswered = CallLog.objects.unanswered().with_context().filter(call_id=call_id)
            if call := unanswered.select_for_update(of=("self",)).first():
                _end_cancelled([call])
                return call
        last = CallLog.objects.with_context().get(call_id=call_id, is_last_attempt=True)
        if last.status == CallStatus.CANCELLED:
            return last
        if last.status not in UNANSWERED:
            raise NotAllowed(f"The call is {last.status}.")
        # While we waited for its row, the attempt ended and another was granted.


def _end_cancelled(calls: list[CallLog]) -> None:
    """End the calls; the lines of those that the provider may have are closed next."""
    now = database_now()
    for call in calls:
        call.hang_up_at = None if call.status == CallStatus.QUEUED else now
    end_calls([(c, Ending(CallStatus.CANCELLED, "cancelled", is_final=True), now) for c in calls])
