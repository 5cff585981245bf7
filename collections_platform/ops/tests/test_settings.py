"""A wrong value of the environment stops the start with one sentence."""

import os
import subprocess
import sys

import pytest

START = [sys.executable, "-c", "import collections_platform.settings"]


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        START, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("JWT_KEYS", ""),
        ("JWT_KEYS", "short"),
        ("ENCRYPTION_KEYS", ""),
        ("ENCRYPTION_KEYS", "no-fernet-key"),
        ("CALL_PROVIDER_SETTINGS", "https://agent.example"),
        ("CALL_PROVIDER_SETTINGS", '["https://agent.example"]'),
        ("CALL_PROVIDER_CREDENTIALS", '{"secret": "whsec_'),
        ("CALL_PROVIDER_CREDENTIALS", '{"secret": 12345678}'),
        ("DEBUG", "maybe"),
        ("ALLOW_SIMULATED", "perhaps"),
        ("CALL_BATCH_SIZE", "9"),
        ("CALL_BATCH_SIZE", "1001"),
        ("CALL_BATCH_SIZE", "many"),
        ("CALL_BATCH_SIZE", ""),
        ("SIMULATED_TIME_SCALE", "2"),
        ("SIMULATED_TIME_SCALE", "nan"),
        ("SIMULATED_TIME_SCALE", "fast"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://u:secret@h/d"),
        ("REDIS_URL", "http://localhost"),
        ("TIME_ZONE", "Mars/Olympus"),
        ("LOG_LEVEL", "LOUD"),
        ("WEBHOOK_ALLOWED_NETWORKS", "intranet"),
        ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8,10.0.0.1/8"),
        ("EMAIL_URL", "pigeon://loft"),
        ("EMAIL_URL", "smtp://:25"),
        ("EMAIL_URL", "smtp://mail.example:port"),
        ("ADMINS", "nobody"),
        ("ADMINS", "a@example.com;b@example.com"),
        ("EVALUATOR_URL", "api.openai.com/v1"),
        ("EVALUATOR_KEY", "k\u00e9y"),
        ("QUEUE_WORKERS", "0"),
        ("WORKER_STOP_SECONDS", "-1"),
        ("BULK_MAX_CONTACTS", "-7"),
        ("BULK_MAX_BODY_BYTES", "77"),
        ("MEDIA_ROOT", "recordings"),
        ("RECORDING_MAX_BYTES", "77"),
        ("RECORDING_RETENTION_DAYS", "-1"),
        ("RECORDING_RETENTION_DAYS", "a year"),
        ("RECORDINGS_STORAGE", "nowhere.S3Storage"),
        ("RECORDINGS_STORAGE", "django.core.files.storage.NoSuchStorage"),
        ("RECORDINGS_STORAGE", "S3Storage"),
        ("RECORDINGS_STORAGE_OPTIONS", "[1]"),
        ("RECORDINGS_STORAGE_OPTIONS", "{bucket}"),
        ("RECORDINGS_STORAGE_OPTIONS", '{"needs": "a storage"}'),
        ("TRUSTED_PROXIES", "my-proxy"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_sentence(name: str, value: str) -> None:
    done = start(**{name: value})
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert name in sentence
    assert sentence.endswith(".")
    assert not value or value not in sentence.replace(name, "")


def test_an_evaluator_needs_a_model() -> None:
    done = start(EVALUATOR_URL="https://api.example/v1")
    assert (done.returncode, "EVALUATOR_MODEL" in done.stderr) == (1, True)
    assert start(EVALUATOR_URL="https://api.example/v1", EVALUATOR_MODEL="m").returncode == 0


def test_good_values_start() -> None:
    assert start(CALL_BATCH_SIZE="10", DATABASE_URL="sqlite:////tmp/x.db").returncode == 0
    assert start(TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7,2001:db8::/32").returncode == 0
    mail = {
        "EMAIL_URL": "smtp+tls://user:pa%2Fss@mail.example",
        "ADMINS": "a@x.example, b@x.example",
    }
    assert start(WEBHOOK_ALLOWED_NETWORKS="10.0.0.0/8, ::1/128", **mail).returncode == 0
    storage = "django.core.files.storage.InMemoryStorage"
    options = '{"base_url": "https://files.example/"}'
    assert start(RECORDINGS_STORAGE=storage, RECORDINGS_STORAGE_OPTIONS=options).returncode == 0
    assert start(DEBUG="1", SECRET_KEY="", JWT_KEYS="", ENCRYPTION_KEYS="").returncode == 0
