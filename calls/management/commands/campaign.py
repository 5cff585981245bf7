import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from calls import control
from calls.payloads import campaign_data
from campaigns.models import Campaign

ACTIONS = {
    "pause": control.pause_campaign,
    "resume": control.resume_campaign,
    "cancel": control.cancel_campaign,
}
LISTED = 20


class Command(BaseCommand):
    help = "List campaigns, show one, or pause, resume or cancel it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listing = commands.add_parser("list", help="the newest campaigns")
        listing.add_argument("--last", type=int, default=LISTED, metavar="N")
        for action, text in {
            "show": "where a campaign stands, as JSON",
            "pause": "dial nobody more until it is resumed",
            "resume": "go on dialling",
            "cancel": "end what is queued and what rings",
        }.items():
            commands.add_parser(action, help=text).add_argument("campaign", metavar="ID")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            for campaign in Campaign.objects.order_by("-created_at")[: options["last"]]:
                self.stdout.write(f"{campaign.pk}  {campaign.status:<10}  {campaign}")
            return
        campaign = find_campaign(options["campaign"])
        if action in ACTIONS:
            try:
                ACTIONS[action](campaign)
            except control.NotAllowed as refused:
                raise CommandError(str(refused)) from None
            self.stdout.write(f"The campaign is {campaign.status}.")
        else:
            self.stdout.write(json.dumps(campaign_data(campaign)))


def find_campaign(text: str) -> Campaign:
    try:
        return Campaign.objects.get(pk=UUID(text))
    except (ValueError, Campaign.DoesNotExist):
        raise CommandError("There is no campaign of this id.") from None
