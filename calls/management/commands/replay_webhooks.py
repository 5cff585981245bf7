from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from calls.management.times import read_time
from calls.models import WebhookDelivery, WebhookEndpoint
from calls.webhooks.replay import replay


class Command(BaseCommand):
    help = (
        "Make webhook deliveries due again, under the same ids: dead ones, unless --all is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--endpoint", type=UUID, metavar="UUID", help="only this endpoint's")
        parser.add_argument("--call", type=UUID, metavar="UUID", help="only of this call (callId)")
        parser.add_argument(
            "--since", type=read_time, metavar="TIME", help="only of events from this time on"
        )
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--dead", action="store_true", help="only dead ones, as without it")
        which.add_argument(
            "--all",
            action="store_true",
            help="delivered ones too; needs --endpoint, --call or --since",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, **options: Any) -> None:
        filters = {
            "endpoint": options["endpoint"],
            "call__call_id": options["call"],
            "created_at__gte": options["since"],
        }
        given = {name: value for name, value in filters.items() if value is not None}
        if options["all"] and not given:
            raise CommandError("Say with --endpoint, --call or --since what --all is to replay.")
        endpoint = options["endpoint"]
        if endpoint and not WebhookEndpoint.objects.filter(pk=endpoint).exists():
            raise CommandError("There is no webhook endpoint with this id.")
        deliveries = WebhookDelivery.objects.filter(**given)
        if not options["all"]:
            deliveries = deliveries.dead()
        if options["dry_run"]:
            self.stdout.write(f"Deliveries that would be due again: {deliveries.count()}.")
        else:
            self.stdout.write(f"Deliveries due again: {replay(deliveries)}.")
