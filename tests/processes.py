"""A platform of real processes on a database of its own, for tests."""

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from collections_platform.ops.processes import PROJECT, Child, stop_children
from collections_platform.ops.supervisor import GUNICORN, is_ready
from collections_platform.ops.watch import Patience

MANAGE = [sys.executable, str(PROJECT / "manage.py")]
RUN_WORKER = [*MANAGE, "run_worker"]
PATIENT = """
import django, sys
django.setup()
from collections_platform.ops import processes, tether, watch, worker
tether.tie_process_tree()
worker.run_worker(processes.StopRequest(), eval(sys.argv[1], vars(watch)))
"""
STOP_SECONDS = 40


class Platform:
    """Runs commands and keeps processes in one environment with a queue of its own, where no task
    of another test waits; a `with` block ends them.

    The file `log` in the folder holds what the processes said, on stdout and stderr.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.log = folder / "log"
        self.log.touch()
        queue = f"test_{uuid.uuid4().hex}"
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "collections_platform.settings",
            "QUEUE_NAME": queue,
            "TMPDIR": str(folder),
        } | environment
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        print(self.log.read_text())  # pytest shows it when the test has failed

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end, whatever its exit status."""
        return subprocess.run(
            [*MANAGE, *command],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def manage(self, *command: str) -> str:
        """What a management command prints; its failure is the test's."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a Python expression, in which every model is known."""
        code = f"import json; print(json.dumps({expression}, default=str))"
        return json.loads(self.manage("shell", "--verbosity", "0", "--command", code))

    def start_worker(self, patience: Patience | None = None) -> Child:
        """Start `run_worker`, if need be with another patience than its own."""
        command = [sys.executable, "-c", PATIENT, str(patience)] if patience else RUN_WORKER
        return self._start("run_worker", command)

    def start_serve(self, port: int) -> Child:
        """Start `serve`, ready or not."""
        return self._start("serve", [*MANAGE, "serve", "--port", str(port)])

    def start_other(self, name: str, command: list[str], **environment: str) -> Child:
        """Start any command; `environment` adds to that of the platform."""
        return self._start(name, command, **environment)

    def start_again(self, child: Child) -> None:
        """Start what has ended by itself, or was killed, anew."""
        child.kill()
        with self.log.open("ab") as log:
            child.stdout = child.stderr = log
            child.start()

    def start_web(self, port: int = 0) -> str:
        """Start a web server alone; return its address once it is ready."""
        port = port or free_port()
        self._start("web", [*GUNICORN, "--bind", f"127.0.0.1:{port}"])
        wait_until(lambda: is_ready("127.0.0.1", port, "database", "migrations"), 60)
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        """End every process, in order."""
        stop_children(self.children, STOP_SECONDS)

    def _start(self, name: str, command: list[str], **environment: str) -> Child:
        with self.log.open("ab") as log:
            child = Child(name, command, stdout=log, stderr=log, **(self.environment | environment))
            child.start()
        self.children.append(child)
        return child


@contextmanager
def fresh_database(folder: Path) -> Iterator[str]:
    """The URL of an empty database: a file, or one beside that of TEST_DATABASE_URL."""
    url = os.environ.get("TEST_DATABASE_URL")
    if not url:
        yield f"sqlite:///{folder}/platform.sqlite3"
        return
    name = f"test_{uuid.uuid4().hex[:12]}"
    parts = urlsplit(url)
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            server.execute(drop.format(sql.Identifier(name)))


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    """Return as soon as it is so; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def descendants(pid: int) -> set[int]:
    """The processes below this one, whatever their session (Linux)."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(int(after_name[1]), []).append(int(stat.parent.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting.extend(children)
    return found


def is_alive(pid: int) -> bool:
    """The process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def pid_of(child: Child) -> int:
    assert child.process is not None
    return child.process.pid
