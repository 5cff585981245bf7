"""`python -m collections_platform.ops.dotenv`: write `.env` once, with fresh keys.

It runs before there are settings, and therefore imports none.
"""

import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.fernet import Fernet

PROJECT = Path(__file__).resolve().parents[2]
KEYS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "JWT_KEYS": lambda: secrets.token_urlsafe(48),
    "ENCRYPTION_KEYS": lambda: Fernet.generate_key().decode(),
}


def fill_keys(example: str) -> str:
    """The text of `.env.example` with a fresh value for every key it leaves empty."""
    for name, generate in KEYS.items():
        example = re.sub(rf"^{name}=$", f"{name}={generate()}", example, flags=re.MULTILINE)
    return example


def write_dotenv(folder: Path) -> bool:
    """Make `.env` from `.env.example`, readable by its owner alone; False if there is one already.

    It appears complete or not at all, and never replaces another: losing the keys would lose
    what they have encrypted.
    """
    target = folder / ".env"
    if target.exists():
        return False
    text = fill_keys((folder / ".env.example").read_text(encoding="utf-8"))
    with NamedTemporaryFile("w", dir=folder, prefix=".env-", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, target)
            return True
    return False


if __name__ == "__main__" and write_dotenv(PROJECT):
    print("Wrote .env with fresh keys.")
