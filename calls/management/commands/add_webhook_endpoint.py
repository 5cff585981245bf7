import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from calls.models import WebhookEndpoint
from calls.models.webhook import PayloadForm


class Command(BaseCommand):
    help = "Add an address that is told when calls end; print its signing secret, once, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="where to POST, such as https://example.com/hooks")
        parser.add_argument("--description", default="")
        parser.add_argument(
            "--form",
            choices=PayloadForm.values,
            default=PayloadForm.ENVELOPE,
            help="flat sends the data alone",
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        endpoint = WebhookEndpoint(
            url=options["url"], description=options["description"], form=options["form"]
        )
        try:
            endpoint.full_clean()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        endpoint.save()
        answer = {"id": str(endpoint.pk), "url": endpoint.url, "secret": endpoint.add_secret()}
        self.stdout.write(json.dumps(answer))
