"""How a campaign comes to run: at once, at its time, or when somebody starts it."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from calls.control import NotAllowed
from calls.dispatch import dispatch_on_commit
from campaigns.clock import database_now
from campaigns.models import UNSTARTED_CAMPAIGN, Campaign, CampaignStatus

# A start further away than this is a slip of the pen, such as a wrong year.
LATEST_START = timedelta(days=366)
STARTED_AT_ONCE = 100


@transaction.atomic
def start_campaign(campaign: Campaign) -> None:
    """Begin a draft or scheduled campaign now. Raises `NotAllowed`."""
    if _move(campaign, CampaignStatus.RUNNING, starts_at=None):
        dispatch_on_commit()


def schedule_campaign(campaign: Campaign, at: datetime) -> None:
    """Have a draft begin at this time, or a scheduled campaign at another. Raises `NotAllowed`."""
    check_start(at)
    _move(campaign, CampaignStatus.SCHEDULED, starts_at=at)


def unschedule_campaign(campaign: Campaign) -> None:
    """Make a scheduled campaign a draft. Raises `NotAllowed`."""
    _move(campaign, CampaignStatus.DRAFT, starts_at=None)


def start_due_campaigns() -> int:
    """Begin scheduled campaigns whose time has come, a bounded number; return how many.

    Safe to run anywhere, any number of times.
    """
    now = database_now()
    due = Campaign.objects.filter(status=CampaignStatus.SCHEDULED, starts_at__lte=now)
    if not due.exists():  # mostly: then no transaction, which on SQLite would lock all others out
        return 0
    with transaction.atomic():
        # What another worker begins just now is locked or begun.
        locked = due.order_by("starts_at", "pk").select_for_update(skip_locked=True, no_key=True)
        ids = list(locked.values_list("pk", flat=True)[:STARTED_AT_ONCE])
        Campaign.objects.filter(pk__in=ids).update(status=CampaignStatus.RUNNING)
        dispatch_on_commit()
    return len(ids)


def check_start(at: datetime) -> None:
    """Raise `NotAllowed` unless a campaign may be scheduled for this time."""
    now = database_now()
    if at <= now:
        raise NotAllowed(_("The time to start has passed."))
    if at > now + LATEST_START:
        raise NotAllowed(_("The time to start is more than a year away."))


@transaction.atomic
def _move(campaign: Campaign, new: CampaignStatus, **changes: Any) -> bool:
    """Change a campaign that has not begun; False if nothing had to be changed."""
    unstarted = Campaign.objects.filter(pk=campaign.pk, status__in=UNSTARTED_CAMPAIGN)
    is_changed = bool(unstarted.exclude(status=new, **changes).update(status=new, **changes))
    campaign.refresh_from_db(fields=["status", "starts_at"])
    if campaign.status != new:
        raise NotAllowed(f"The campaign is {campaign.status}.")
    return is_changed
