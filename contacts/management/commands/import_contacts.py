from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.contact_csv import read_contacts
from contacts.management.files import read_file
from contacts.phone_numbers import REGIONS
from contacts.services import import_contacts
from contacts.validation import InvalidInput, describe


class Command(BaseCommand):
    help = "Import contacts from a CSV file whose first line names the API's contact fields."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a CSV file in UTF-8, or - for stdin")
        parser.add_argument(
            "--country-code", metavar="SA", help="reads numbers without a country code"
        )
        parser.add_argument(
            "--update-existing", action="store_true", help="update contacts that exist already"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        country_code = options["country_code"]
        if country_code and country_code not in REGIONS:
            raise CommandError("--country-code takes an ISO 3166-1 alpha-2 code, such as SA.")
        content, places = read_file(options["file"]), dict[int, str]()
        try:
            file = read_contacts(content)
            places = file.places
            people = import_contacts(file, country_code, update_existing=options["update_existing"])
        except InvalidInput as error:
            lines = [describe(detail, places) for detail in error.errors]
            raise CommandError("\n".join(["Nothing was imported:", *lines])) from None
        self.stdout.write(f"{people} contacts are stored.")
