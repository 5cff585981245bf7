"""Files named on the command line."""

import sys
from pathlib import Path

from django.core.management.base import CommandError


def read_file(name: str) -> bytes:
    """The content of a file, or of stdin for `-`. Raises `CommandError`."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
