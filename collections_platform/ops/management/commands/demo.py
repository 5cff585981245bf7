import sys
from dataclasses import astuple
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from collections_platform.api.openapi.examples import BULK_REQUEST
from collections_platform.ops.demo import (
    DemoFailed,
    Row,
    check_that_nobody_is_called,
    platform,
    run_example,
)
from collections_platform.ops.tether import tie_process_tree

HEADINGS = ("number", "status", "outcome", "duration", "webhook")


class Command(BaseCommand):
    help = "Send the example request to the running platform and verify the webhooks it sends."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000")
        parser.add_argument(
            "--start",
            action="store_true",
            help="if nothing answers there, run the platform for the length of the demo",
        )

    def handle(self, *args: Any, url: str, start: bool, **options: Any) -> None:
        tie_process_tree()
        self._say("These calls are simulated: nobody's telephone rings.")
        try:
            check_that_nobody_is_called()
            with platform(url, start):
                self._say(f"Sending {len(BULK_REQUEST['contacts'])} contacts to {url} …")
                rows = run_example(url, self._report)
                self._say(table(rows))
        except DemoFailed as failure:
            raise CommandError(str(failure)) from failure
        if wrong := [row for row in rows if row.webhook != "verified"]:
            raise CommandError(f"{len(wrong)} of {len(rows)} webhooks are missing or wrong.")
        self._say(f"All {len(rows)} webhooks came and are signed correctly.")

    def _report(self, ended: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if ended == total else ""
            self.stderr.write(f"\r{ended} of {total} calls have ended", ending=end)
            self.stderr.flush()

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def table(rows: list[Row]) -> str:
    cells = [HEADINGS, *[tuple(map(str, astuple(row))) for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        for line in cells
    ]
    return "\n".join(["", *map(str.rstrip, lines), ""])
