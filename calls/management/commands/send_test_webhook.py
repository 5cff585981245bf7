from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from calls.models import DeliveryStatus, WebhookEndpoint
from calls.webhooks.delivery import send_test


class Command(BaseCommand):
    help = "Send a signed test event to a webhook endpoint and say how it was answered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("endpoint", type=UUID, help="the endpoint's id")

    def handle(self, *args: Any, **options: Any) -> None:
        endpoint = WebhookEndpoint.objects.filter(pk=options["endpoint"]).first()
        if endpoint is None:
            raise CommandError("There is no webhook endpoint with this id.")
        if endpoint.disabled_at:
            raise CommandError("The endpoint is disabled: enable it in the admin first.")
        delivery = send_test(endpoint)
        if delivery.status != DeliveryStatus.DELIVERED:
            raise CommandError(f"The test event was not taken: {delivery.last_result}.")
        self.stdout.write(f"The test event {delivery.pk} was taken: {delivery.last_result}.")
