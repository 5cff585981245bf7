import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand

from collections_platform.ops.doctor import Examination, examine
from collections_platform.ops.doctor.figures import in_words


class Command(BaseCommand):
    help = (
        "Say what is wrong with this installation and what to do about it, and how much there is "
        "of everything. Ends with status 1 if anything is wrong."
    )
    requires_system_checks: list[str] = []  # their messages are among ours

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print everything for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        examination = examine()
        if options["json"]:
            self.stdout.write(json.dumps(examination.as_data(), ensure_ascii=False, default=str))
        else:
            self.stdout.write("\n".join(report(examination)))
        if examination.problems:
            self.stdout.flush()
            raise SystemExit(1)


def report(examination: Examination) -> Iterator[str]:
    for heading, problems in (("Wrong", examination.problems), ("Note", examination.notes)):
        for problem in problems:
            yield f"{heading}: {problem.sentence}"
            yield f"  {problem.remedy}"
    if not examination.problems:
        yield "All is well."
    if examination.figures:
        yield ""
        yield from in_words(examination.figures)
