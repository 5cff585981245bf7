import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from calls.models import WebhookEndpoint
from calls.models.webhook import SUBSCRIBABLE, PayloadForm, default_events
from calls.webhooks.addresses import validate_destination
from calls.webhooks.signing import validate_secret


class Command(BaseCommand):
    help = "Add an address that is told of events; print its signing secret, once, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="where to POST, such as https://example.com/hooks")
        parser.add_argument("--description", default="")
        parser.add_argument(
            "--event",
            action="append",
            choices=[event.value for event in SUBSCRIBABLE],
            dest="events",
            help="what it is told, phone_call.ended if left out; repeat it for several",
        )
        parser.add_argument(
            "--form",
            choices=PayloadForm.values,
            default=PayloadForm.ENVELOPE,
            help="flat sends the data alone",
        )
        parser.add_argument(
            "--secret",
            metavar="whsec_…",
            help="the secret that your receiver checks with already; made up if left out",
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        events = dict.fromkeys(options["events"] or default_events())
        endpoint = WebhookEndpoint(
            url=options["url"],
            description=options["description"],
            events=list(events),
            form=options["form"],
        )
        secret = options["secret"]
        try:
            endpoint.full_clean()
            validate_destination(endpoint.url)
            if secret is not None:
                validate_secret(secret)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        endpoint.save()
        answer = {
            "id": str(endpoint.pk),
            "url": endpoint.url,
            "secret": endpoint.add_secret(secret or ""),
        }
        self.stdout.write(json.dumps(answer))
