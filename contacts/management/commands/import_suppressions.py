from typing import Any

from contacts.contact_csv import ContactFile
from contacts.management.csv_command import CSVCommand
from contacts.services import import_suppressions


class Command(CSVCommand):
    help = "Suppress everybody in a CSV file: nobody calls them until that is lifted."

    def import_file(self, file: ContactFile, country_code: str | None, options: Any) -> str:
        people = import_suppressions(file, country_code)
        return f"{people} contacts are suppressed."
