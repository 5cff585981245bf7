import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from calls import control, copies, lifecycle
from calls.management.times import read_time
from calls.payloads import campaign_data
from campaigns.models import Campaign, CampaignStatus

ACTIONS = {
    "start": lifecycle.start_campaign,
    "unschedule": lifecycle.unschedule_campaign,
    "pause": control.pause_campaign,
    "resume": control.resume_campaign,
    "cancel": control.cancel_campaign,
}
COPIES = {"retry-failed": copies.retry_failed, "clone": copies.clone_campaign}
HELP = {
    "show": "where a campaign stands, as JSON",
    "start": "begin a draft or scheduled campaign now",
    "schedule": "begin a draft or scheduled campaign at a time",
    "unschedule": "make a scheduled campaign a draft",
    "pause": "dial nobody more until it is resumed",
    "resume": "go on dialling",
    "cancel": "end what is queued and what rings",
    "retry-failed": "make a draft of the calls of an ended campaign that reached nobody or failed; "
    "print its id",
    "clone": "make a draft of all calls, with the template's newest version; print its id",
}
LISTED = 20


class Command(BaseCommand):
    help = "List campaigns, show one, or start, schedule, pause, resume, cancel or copy it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = commands.add_parser("list", help="the newest campaigns")
        listing.add_argument("--last", type=int, default=LISTED, metavar="N")
        for action, text in HELP.items():
            command = commands.add_parser(action, help=text, description=text)
            command.add_argument("campaign", metavar="ID")
            if action == "schedule":
                command.add_argument(
                    "--at",
                    type=read_time,
                    required=True,
                    metavar="TIME",
                    help="ISO 8601 such as 2026-01-15T09:30, in TIME_ZONE where it names no zone",
                )
            if action in COPIES:
                command.add_argument("--name", default="", help="the name of the new campaign")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            self.list_campaigns(options["last"])
            return
        campaign = find_campaign(options["campaign"])
        try:
            if action in COPIES:
                self.copy(action, campaign, options["name"])
            elif action == "show":
                self.stdout.write(json.dumps(campaign_data(campaign)))
            else:
                if action == "schedule":
                    lifecycle.schedule_campaign(campaign, options["at"])
                else:
                    ACTIONS[action](campaign)
                self.stdout.write(f"The campaign is {campaign.status}{start_of(campaign)}.")
        except control.NotAllowed as refused:
            raise CommandError(str(refused)) from None

    def list_campaigns(self, number: int) -> None:
        for campaign in Campaign.objects.order_by("-created_at")[:number]:
            self.stdout.write(
                f"{campaign.pk}  {campaign.status:<10}  {campaign}{start_of(campaign)}"
            )

    def copy(self, action: str, campaign: Campaign, name: str) -> None:
        """Print the id to stdout, and what was done to stderr."""
        if len(name) > copies.MAX_NAME:
            raise CommandError(f"The name is longer than {copies.MAX_NAME} characters.")
        copy = COPIES[action](campaign, name=name)
        self.stdout.write(str(copy.campaign.pk))
        text = ngettext("A draft of %d call was made.", "A draft of %d calls was made.", copy.calls)
        self.stderr.write(" ".join([text % copy.calls, *copy.left_out]))


def start_of(campaign: Campaign) -> str:
    """When a scheduled campaign starts, as a clause."""
    if campaign.status != CampaignStatus.SCHEDULED or campaign.starts_at is None:
        return ""
    return f", starts at {timezone.localtime(campaign.starts_at).isoformat(timespec='seconds')}"


def find_campaign(text: str) -> Campaign:
    try:
        return Campaign.objects.get(pk=UUID(text))
    except (ValueError, Campaign.DoesNotExist):
        raise CommandError("There is no campaign of this id.") from None
