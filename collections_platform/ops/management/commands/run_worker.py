from typing import Any

from django.core.management.base import BaseCommand

from collections_platform.ops.processes import StopRequest
from collections_platform.ops.tether import tie_process_tree
from collections_platform.ops.worker import run_worker


class Command(BaseCommand):
    help = "Run the queue's workers and the sweep, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        tie_process_tree()
        stop = StopRequest()
        self._say("The worker has started.")
        run_worker(stop)
        self._say("The worker has stopped.")

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()
