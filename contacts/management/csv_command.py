"""Commands that read a CSV file of contacts."""

from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.contact_csv import ContactFile, read_contacts
from contacts.management.files import read_file
from contacts.phone_numbers import REGIONS
from contacts.validation import InvalidInput, describe


class CSVCommand(BaseCommand):
    """Reads the file, and says of every line that was refused what is wrong with it."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a CSV file in UTF-8, or - for stdin")
        parser.add_argument(
            "--country-code", metavar="SA", help="reads numbers without a country code"
        )

    @abstractmethod
    def import_file(self, file: ContactFile, country_code: str | None, options: Any) -> str:
        """Take the file in and say in a sentence what was done. Raises `InvalidInput`."""

    def handle(self, *args: Any, **options: Any) -> None:
        country_code = options["country_code"]
        if country_code and country_code not in REGIONS:
            raise CommandError("--country-code takes an ISO 3166-1 alpha-2 code, such as SA.")
        content, places = read_file(options["file"]), dict[int, str]()
        try:
            file = read_contacts(content)
            places = file.places
            self.stdout.write(self.import_file(file, country_code, options))
        except InvalidInput as error:
            lines = [describe(detail, places) for detail in error.errors]
            raise CommandError("\n".join(["Nothing was imported:", *lines])) from None
