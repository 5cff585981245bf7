from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from collections_platform.ops.dotenv import KEYS
from collections_platform.ops.key_rotation import UnreadableSecret, reencrypt


class Command(BaseCommand):
    help = (
        "Encrypt all secrets in the database anew with the first of ENCRYPTION_KEYS. "
        "May be broken off and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--generate",
            action="store_true",
            help="only print a new key of each ring, to be put first in it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["generate"]:
            for name in ("JWT_KEYS", "ENCRYPTION_KEYS"):
                self.stdout.write(f"{name}={KEYS[name]()}")
            self.stderr.write(
                "Put each of these first in its ring, before a comma and the keys that are there, "
                "restart all processes, and run rotate_keys without --generate."
            )
            return
        try:
            changed, seen = reencrypt()
        except UnreadableSecret as error:
            raise CommandError(str(error)) from error
        self.stdout.write(
            f"Encrypted {changed} of {seen} secrets anew: the first of ENCRYPTION_KEYS decrypts "
            "all, the others can go; the older JWT_KEYS can go an hour after all processes were "
            "restarted with the new one."
        )
