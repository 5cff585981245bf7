from argparse import ArgumentParser
from typing import Any

from contacts.contact_csv import ContactFile
from contacts.management.csv_command import CSVCommand
from contacts.services import import_contacts


class Command(CSVCommand):
    help = "Import contacts from a CSV file whose first line names the API's contact fields."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--update-existing", action="store_true", help="update contacts that exist already"
        )

    def import_file(self, file: ContactFile, country_code: str | None, options: Any) -> str:
        update_existing = options["update_existing"]
        people = import_contacts(file, country_code, update_existing=update_existing)
        return f"{people} contacts are stored."
