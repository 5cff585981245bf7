import json
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from calls.control import NotAllowed
from calls.lifecycle import check_start
from calls.management.times import read_time
from calls.models import CallLog
from calls.payloads import launch_data
from calls.schemas import read_bulk_request
from calls.services import launch_campaign
from calls.statuses import TERMINAL
from campaigns.models import Campaign, CampaignSource
from contacts.management.files import read_file
from contacts.validation import InvalidInput, describe

LOOK_SECONDS = 0.5
BAR_WIDTH = 40
QUIET_SECONDS = 15


class Command(BaseCommand):
    help = "Launch a bulk request from a file: the body and the answer of the API's call-bulk."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a JSON file, or - for stdin")
        parser.add_argument("--template", metavar="UUID", help="replaces aiSettingsTemplateId")
        parser.add_argument("--country-code", metavar="SA", help="replaces countryCode")
        parser.add_argument("--batch-size", type=int, metavar="N", help="replaces batchSize")
        begin = parser.add_mutually_exclusive_group()
        begin.add_argument("--wait", action="store_true", help="wait until every call has ended")
        begin.add_argument(
            "--draft", action="store_true", help="call nobody until `campaign start` or `schedule`"
        )
        begin.add_argument(
            "--starts-at",
            type=read_time,
            metavar="TIME",
            help="begin at this time: ISO 8601, in TIME_ZONE where it names no zone",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        replaced = {
            "aiSettingsTemplateId": options["template"],
            "countryCode": options["country_code"],
            "batchSize": options["batch_size"],
        }
        body = with_fields(read_file(options["file"]), replaced)
        try:
            if options["starts_at"]:
                check_start(options["starts_at"])
            launch = launch_campaign(
                read_bulk_request(body),
                CampaignSource.COMMAND,
                starts_at=options["starts_at"],
                is_draft=options["draft"],
            )
        except NotAllowed as refused:
            raise CommandError(str(refused)) from None
        except InvalidInput as error:
            lines = [describe(detail) for detail in error.errors]
            raise CommandError("\n".join(["Nothing was launched:", *lines])) from None
        self.stdout.write(json.dumps(launch_data(launch), cls=DjangoJSONEncoder))
        if options["wait"]:
            self.wait_for(launch.campaign)

    def wait_for(self, campaign: Campaign) -> None:
        """Return when every call has ended, showing how far they are."""
        ended, quiet_since, is_warned = -1, time.monotonic(), False
        while True:
            counts = CallLog.objects.filter(campaign=campaign).counts()["status"]
            total = sum(counts.values())
            now_ended = sum(counts.get(status, 0) for status in TERMINAL)
            if now_ended > ended:
                ended, quiet_since = now_ended, time.monotonic()
            self.show(ended, total)
            if ended == total:
                break
            if not is_warned and time.monotonic() - quiet_since > QUIET_SECONDS:
                self.stderr.write("\nNothing has ended for a while: is `manage.py run_worker` up?")
                is_warned = True
            time.sleep(LOOK_SECONDS)
        summary = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        self.stderr.write(f"\n{summary}" if sys.stderr.isatty() else summary)

    def show(self, ended: int, total: int) -> None:
        if sys.stderr.isatty():
            bar = "█" * (BAR_WIDTH * ended // total)
            self.stderr.write(f"\r{bar:·<{BAR_WIDTH}} {ended}/{total}", ending="")


def with_fields(body: bytes, replaced: dict[str, Any]) -> bytes:
    """The body with some fields replaced; one that cannot be read is left to the validation."""
    fields = {name: value for name, value in replaced.items() if value is not None}
    try:
        content = json.loads(body) if fields else None
    except ValueError:
        return body
    return json.dumps(content | fields).encode() if isinstance(content, dict) else body
