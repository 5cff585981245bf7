import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from collections_platform.api.models import ApiClient, Scope

MAX_DAYS = 3650


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_DAYS:
        return int(text)
    raise ArgumentTypeError(f"must be a whole number from 1 to {MAX_DAYS}")


class Command(BaseCommand):
    help = "Create an API client and print its id and secret, once, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="whom the client stands for, such as billing")
        parser.add_argument(
            "--scope",
            action="append",
            choices=Scope.values,
            help="what the client may do; may be repeated; left out: everything",
        )
        parser.add_argument(
            "--expires-in-days",
            type=_days,
            metavar="DAYS",
            help="when the secret ends; left out: never",
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        client = ApiClient(name=options["name"])
        if options["scope"]:
            client.scopes = list(dict.fromkeys(options["scope"]))
        try:
            client.full_clean(validate_unique=False)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        if ApiClient.objects.filter(name=client.name).exists():
            raise CommandError("An API client of this name exists already. Choose another name.")
        client.save()
        days = options["expires_in_days"]
        secret = client.add_secret(timezone.now() + timedelta(days=days) if days else None)
        self.stdout.write(json.dumps({"clientId": str(client.pk), "clientSecret": secret}))
