"""The one foreground process of `make run`: web server and worker, kept running."""

import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from django.conf import settings

from collections_platform.ops.processes import TICK_SECONDS, Child, StopRequest, stop_children

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "python:collections_platform.ops.gunicorn_conf"]
MANAGE = [sys.executable, "manage.py"]
# What the worker needs on top of its own limit to kill what has not stopped.
MARGIN_SECONDS = 5


def serve(host: str, port: int, stop: StopRequest, when_ready: Callable[[], None]) -> None:
    """Run web server and worker until asked to stop; return when every process has ended.

    `when_ready` is called once, when the application answers and all that it needs to work.
    """
    children = [
        Child("web server", [*GUNICORN, "--bind", f"{host}:{port}"]),
        Child("worker", [*MANAGE, "run_worker"]),
    ]
    ready = False
    try:
        while not stop.asked:
            for child in children:
                child.keep_running()
            if not ready and (ready := is_ready(host, port)):
                when_ready()
            time.sleep(TICK_SECONDS)
    finally:
        stop_children(children, settings.WORKER_STOP_SECONDS + MARGIN_SECONDS)


def is_ready(host: str, port: int, *checks: str) -> bool:
    """`/readyz` answers 200, for these checks or for all. The port alone says nothing: gunicorn
    opens it before it has loaded the application.
    """
    path = f"/readyz?checks={','.join(checks)}" if checks else "/readyz"
    connection = HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": _known_host()})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _known_host() -> str:
    """A name for ourselves that Django accepts."""
    names = [name.lstrip(".") for name in settings.ALLOWED_HOSTS if name != "*"]
    return names[0] if names else "localhost"
