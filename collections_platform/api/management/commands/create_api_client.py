import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from collections_platform.api.models import ApiClient


class Command(BaseCommand):
    help = "Create an API client and print its id and secret, once, as JSON."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="whom the client stands for, such as billing")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        client, is_new = ApiClient.objects.get_or_create(name=options["name"])
        if not is_new:
            raise CommandError("An API client of this name exists already. Choose another name.")
        secret = client.add_secret()
        self.stdout.write(json.dumps({"clientId": str(client.pk), "clientSecret": secret}))
