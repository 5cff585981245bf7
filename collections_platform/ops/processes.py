"""Child processes that are kept running, stopped in order, and never left behind."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from collections_platform.ops.tether import PARENT_VARIABLE

logger = logging.getLogger(__name__)

Output = IO[bytes] | int | None

PROJECT = Path(__file__).resolve().parents[2]
TICK_SECONDS = 0.2
SHORT_LIFE_SECONDS = 60
LONGEST_PAUSE_SECONDS = 30


class StopRequest:
    """`asked` becomes true with the first SIGINT, SIGTERM or SIGHUP; further ones change nothing.

    To be made in the main thread. A plain attribute, because a signal handler that sets a
    `threading.Event` its own thread is waiting for can hang the process.
    """

    def __init__(self) -> None:
        self.asked = False
        self.signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored below nohup
            self.signals.append(signal.SIGHUP)
        for number in self.signals:
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
        for number in self.signals:  # until the very end: a handler of ours ends before that
            signal.signal(number, signal.SIG_IGN)


class Child:
    """A command in the project's folder and in a session of its own, where neither our terminal
    nor the signals to our group reach it.

    To be started from the main thread: a tied child ends with the thread that started it.
    `stdout` and `stderr` are as for `subprocess.Popen`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        stdout: Output = None,
        stderr: Output = None,
        **environment: str,
    ) -> None:
        self.name = name
        self.command = command
        self.stdout = stdout
        self.stderr = stderr
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self._pause = 0.5
        self._started_at = 0.0
        self._start_at = 0.0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        tether = {PARENT_VARIABLE: str(os.getpid())}
        self._started_at = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            cwd=PROJECT,
            env=os.environ | self.environment | tether,
            stdin=subprocess.DEVNULL,
            stdout=self.stdout,
            stderr=self.stderr,
            start_new_session=True,
        )

    def keep_running(self) -> None:
        """Start the command, or start it again if it has ended: after a pause that doubles from
        1 to 30 s while its lives stay shorter than a minute.
        """
        if self.is_running:
            return
        if self.process is not None:
            self._note_end(self.process)
        if time.monotonic() >= self._start_at:
            self.start()

    def terminate(self) -> None:
        """Ask the command, not what it has started, to stop."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End whatever is left of the session, and return when the command has ended."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def _note_end(self, process: subprocess.Popen[bytes]) -> None:
        lived = time.monotonic() - self._started_at
        short = lived < SHORT_LIFE_SECONDS
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS) if short else 1
        self._start_at = time.monotonic() + self._pause
        logger.warning(
            "The %s ended by itself (exit status %s); it starts again in %g s.",
            self.name,
            process.returncode,
            self._pause,
        )
        self.kill()


def stop_children(children: Iterable[Child], seconds: float) -> None:
    """Ask each child once to stop; kill the sessions of those that have not after `seconds`."""
    children = list(children)
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    while any(child.is_running for child in children) and time.monotonic() < deadline:
        time.sleep(TICK_SECONDS)
    for child in children:
        if child.is_running:
            logger.warning("The %s did not stop within %g s and is killed.", child.name, seconds)
        child.kill()
