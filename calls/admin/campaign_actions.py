"""What staff may do with a campaign: each action says first what it will do, and then does it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from calls.admin.launching import StartField, TokenField
from calls.control import cancel_campaign, pause_campaign, resume_campaign
from calls.copies import (
    Copy,
    check_clone,
    clone_campaign,
    count_retry,
    retry_failed,
)
from calls.lifecycle import schedule_campaign, start_campaign, unschedule_campaign
from calls.models import CallLog
from calls.statuses import LIVE, CallStatus
from campaigns.models import ENDED_CAMPAIGN, UNSTARTED_CAMPAIGN, Campaign, CampaignStatus


class ScheduleForm(forms.Form):
    at = StartField()


class CopyForm(forms.Form):
    token = TokenField()


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """`expect` says in sentences, with numbers, what it will do."""

    name: str  # in its address
    label: Promise  # of the button that leads to it
    button: Promise  # that does it
    done: Promise
    allowed_from: Sequence[CampaignStatus]
    expect: Callable[[Campaign], list[str]]
    form: type[forms.Form] = forms.Form
    is_final: bool = False
    permissions: Sequence[str] = ("campaigns.change_campaign",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change(Action):
    """Changes the campaign's status."""

    act: Callable[[Campaign, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Copying(Action):
    """Makes another campaign of it. `expect` raises `NotAllowed` where `copy` does."""

    copy: Callable[..., Copy]
    form: type[forms.Form] = CopyForm
    permissions: Sequence[str] = ("campaigns.change_campaign", "campaigns.add_campaign")


def expect_start(campaign: Campaign) -> list[str]:
    waiting = _counts(campaign)[CallStatus.QUEUED]
    text = ngettext("From now on %d call is placed.", "From now on %d calls are placed.", waiting)
    return [text % waiting]


def expect_schedule(campaign: Campaign) -> list[str]:
    waiting = _counts(campaign)[CallStatus.QUEUED]
    text = ngettext(
        "From that time on %d call is placed.", "From that time on %d calls are placed.", waiting
    )
    return [text % waiting]


def expect_unschedule(campaign: Campaign) -> list[str]:
    return [_("The campaign becomes a draft: nobody is called until somebody starts it.")]


def expect_pause(campaign: Campaign) -> list[str]:
    counts = _counts(campaign)
    waiting = counts[CallStatus.QUEUED]
    under_way = sum(counts[status] for status in LIVE)
    text = ngettext(
        "%d call has not been placed yet, and is not until the campaign is resumed.",
        "%d calls have not been placed yet, and are not until the campaign is resumed.",
        waiting,
    )
    going_on = ngettext(
        "%d call is under way and goes on to its end.",
        "%d calls are under way and go on to their end.",
        under_way,
    )
    return [text % waiting, *([going_on % under_way] if under_way else [])]


def expect_cancel(campaign: Campaign) -> list[str]:
    counts = _counts(campaign)
    waiting, talking = counts[CallStatus.QUEUED], counts[CallStatus.IN_PROGRESS]
    ringing = counts[CallStatus.DIALING] + counts[CallStatus.RINGING]
    not_placed = ngettext(
        "%d call has not been placed yet and never will be.",
        "%d calls have not been placed yet and never will be.",
        waiting,
    )
    ended = ngettext(
        "%d call rings now, or is about to, and will be ended.",
        "%d calls ring now, or are about to, and will be ended.",
        ringing,
    )
    going_on = ngettext(
        "%d conversation goes on to its end.", "%d conversations go on to their end.", talking
    )
    told = [(not_placed, waiting), (ended, ringing), (going_on, talking)]
    return [*(text % number for text, number in told if number), _("This cannot be undone.")]


def expect_retry(campaign: Campaign) -> list[str]:
    counts = count_retry(campaign)
    text = ngettext(
        "A draft is made of %d call that reached nobody or failed.",
        "A draft is made of %d calls that reached nobody or failed.",
        counts.calls,
    )
    return [text % counts.calls, *counts.left_out, _("Nobody is called until it is started.")]


def expect_clone(campaign: Campaign) -> list[str]:
    version = check_clone(campaign)
    number = sum(_counts(campaign).values())
    text = ngettext(
        "A draft is made of %(number)d call, with the template as it is now: %(version)s.",
        "A draft is made of all %(number)d calls, with the template as it is now: %(version)s.",
        number,
    )
    told = text % {"number": number, "version": version}
    return [told, _("Nobody is called until it is started.")]


def _counts(campaign: Campaign) -> Counter[str]:
    return Counter(CallLog.objects.filter(campaign=campaign).counts()["status"])


ACTIONS: tuple[Action, ...] = (
    Change(
        name="start",
        label=gettext_lazy("Start now…"),
        button=gettext_lazy("Start now"),
        done=gettext_lazy("The campaign runs."),
        allowed_from=UNSTARTED_CAMPAIGN,
        expect=expect_start,
        act=lambda campaign, data: start_campaign(campaign),
    ),
    Change(
        name="schedule",
        label=gettext_lazy("Schedule…"),
        button=gettext_lazy("Schedule"),
        done=gettext_lazy("The campaign is scheduled."),
        allowed_from=UNSTARTED_CAMPAIGN,
        expect=expect_schedule,
        act=lambda campaign, data: schedule_campaign(campaign, data["at"]),
        form=ScheduleForm,
    ),
    Change(
        name="unschedule",
        label=gettext_lazy("Unschedule…"),
        button=gettext_lazy("Unschedule"),
        done=gettext_lazy("The campaign is a draft."),
        allowed_from=[CampaignStatus.SCHEDULED],
        expect=expect_unschedule,
        act=lambda campaign, data: unschedule_campaign(campaign),
    ),
    Change(
        name="pause",
        label=gettext_lazy("Pause…"),
        button=gettext_lazy("Pause"),
        done=gettext_lazy("The campaign is paused."),
        allowed_from=[CampaignStatus.RUNNING],
        expect=expect_pause,
        act=lambda campaign, data: pause_campaign(campaign),
    ),
    Change(
        name="resume",
        label=gettext_lazy("Resume…"),
        button=gettext_lazy("Resume"),
        done=gettext_lazy("The campaign goes on."),
        allowed_from=[CampaignStatus.PAUSED],
        expect=expect_start,
        act=lambda campaign, data: resume_campaign(campaign),
    ),
    Change(
        name="cancel",
        label=gettext_lazy("Cancel…"),
        button=gettext_lazy("Cancel the campaign"),
        done=gettext_lazy("The campaign is being cancelled."),
        allowed_from=[*UNSTARTED_CAMPAIGN, CampaignStatus.RUNNING, CampaignStatus.PAUSED],
        expect=expect_cancel,
        act=lambda campaign, data: cancel_campaign(campaign),
        is_final=True,
    ),
    Copying(
        name="retry",
        label=gettext_lazy("Retry failed…"),
        button=gettext_lazy("Make the draft"),
        done=gettext_lazy("This draft was made of the calls that reached nobody or failed."),
        allowed_from=ENDED_CAMPAIGN,
        expect=expect_retry,
        copy=retry_failed,
    ),
    Copying(
        name="clone",
        label=gettext_lazy("Clone…"),
        button=gettext_lazy("Make the draft"),
        done=gettext_lazy("This draft was made of all calls."),
        allowed_from=list(CampaignStatus),
        expect=expect_clone,
        copy=clone_campaign,
    ),
)
