"""The environment of the tests: a pytest plugin, loaded before the settings are read.

On SQLite every process has its own database file, not one in memory, so that threads see the
locking of a real installation. TEST_DATABASE_URL and TEST_REDIS_URL choose other servers.
"""

import atexit
import os
import shutil
import tempfile
import uuid
from pathlib import Path

FOLDER = Path(tempfile.mkdtemp(prefix="collections-tests-"))
SESSION = f"test_{uuid.uuid4().hex[:12]}"
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

os.environ |= {
    "ENV_FILE": "",
    "DEBUG": "0",
    "SECRET_KEY": "tests-" + "0" * 44,
    "JWT_KEYS": "tests-" + "1" * 44,
    "ENCRYPTION_KEYS": "dGVzdHMtb25seS10ZXN0cy1vbmx5LXRlc3RzLW9ubHk=",
    "CALL_PROVIDER": "simulated",
    "ALLOW_SIMULATED": "1",
    "SIMULATED_TIME_SCALE": "0",
    "SIMULATED_SEED": "tests",
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
    "EVALUATOR_URL": "",
    "EVALUATOR_KEY": "",
    "EVALUATOR_MODEL": "",
    "EMAIL_URL": "",
    "ADMINS": "",
    "TIME_ZONE": "UTC",
    "LOG_LEVEL": "INFO",
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{FOLDER}/db.sqlite3",
    "MEDIA_ROOT": f"{FOLDER}/media",
    "REDIS_URL": os.environ.get("TEST_REDIS_URL", ""),
    "QUEUE_NAME": SESSION,
}


def pytest_configure() -> None:
    from django.conf import settings  # noqa: PLC0415  the variables above come first

    database = settings.DATABASES["default"]
    is_sqlite = database["ENGINE"].endswith("sqlite3")
    # Unlike any other session's, so that several may test at once.
    database.setdefault("TEST", {})["NAME"] = str(FOLDER / "test.sqlite3") if is_sqlite else SESSION
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES["staticfiles"]["BACKEND"] = (
        "django.contrib.staticfiles.storage.StaticFilesStorage"
    )


def pytest_unconfigure() -> None:
    """Leave nothing in a Redis that others use too."""
    from django_q.brokers import get_broker  # noqa: PLC0415  the variables above come first

    if os.environ["REDIS_URL"]:
        get_broker().delete_queue()
