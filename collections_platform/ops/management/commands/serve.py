import errno
import socket
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from collections_platform.ops.processes import StopRequest
from collections_platform.ops.supervisor import serve
from collections_platform.ops.tether import tie_process_tree


class Command(BaseCommand):
    help = "Run the web server and a worker in the foreground, until SIGINT or SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        tie_process_tree()
        stop = StopRequest()
        refuse_unless_free(host, port)
        serve(host, port, stop, lambda: self._say(f"Ready: http://{host}:{port}/admin/"))
        self._say("Stopped.")

    def _say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()


def refuse_unless_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            raise CommandError(f"{host}:{port} cannot be listened on: {error}") from error
        raise CommandError(
            f"Port {port} is taken: end the program that uses it,"
            f" or choose another port with `make run PORT={port + 1}`."
        ) from error
