import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connection

from collections_platform.ops.demo_data import add_first_user, add_template


class Command(BaseCommand):
    help = "Add the example template and the first user, where they are missing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where staff log in")

    def handle(self, *args: Any, url: str, **options: Any) -> None:
        if connection.vendor == "postgresql" and os.environ.get("DEMO") != "1":
            self.stdout.write("No demo data: this database is PostgreSQL and DEMO is not 1.")
            return
        if add_template():
            self.stdout.write("Added the template “Invoice reminder”.")
        if password := add_first_user():
            self.stdout.write(f"Log in at {url}/admin/ as admin with password {password}")
