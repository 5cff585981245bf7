"""A clock that is wrong, and jumps, for some processes alone (Linux with a C compiler)."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class NoCompiler(Exception):
    """The library that moves the clock cannot be built here."""


class Clock:
    """The clock of processes that are started with `environment`; `folder` keeps its parts."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if not compiler or sys.platform != "linux":
            raise NoCompiler("there is no C compiler, or this is not Linux")
        library, self._file = folder / "clock.so", folder / "clock"
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(build, check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self._file)}
        self._file.write_bytes(bytes(8))

    def step(self, seconds: int) -> None:
        """Set the clock so far before (or, if negative, behind) the true time."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", seconds * 10**9))

    def read(self) -> float:
        """What a process with this clock takes the time to be."""
        command = [sys.executable, "-c", "import time; print(time.time())"]
        environment = os.environ | self.environment
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        return float(done.stdout)
