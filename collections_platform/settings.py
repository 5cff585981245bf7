"""Every setting, read from the environment; `.env` fills in what the environment leaves out.

A wrong value stops the start with one sentence that names the variable and what it may hold.
The table in README.md lists the variables.
"""

import json
import os
import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email
from django.utils.module_loading import import_string

Value = TypeVar("Value")
BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
if env_file := os.environ.get("ENV_FILE", str(BASE_DIR / ".env")):
    environ.Env.read_env(env_file)


def refuse(name: str, rule: str) -> NoReturn:
    """Stop the start: `rule` says what the variable may hold, its value stays unsaid."""
    sys.exit(f"The environment variable {name} {rule}.")


def read(name: str, cast: Callable[..., Value], default: Any, rule: str) -> Value:
    try:
        return cast(name, default=default)
    except (ImproperlyConfigured, ValueError, KeyError, AttributeError):
        refuse(name, rule)


def flag(name: str, default: bool = False) -> bool:
    text = str(env.str(name, default=str(default))).strip().lower()
    if text not in {"1", "true", "yes", "on", "0", "false", "no", "off", ""}:
        refuse(name, "must be true or false")
    return text in {"1", "true", "yes", "on"}


def number(name: str, default: int, low: int, high: int) -> int:
    rule = f"must be a whole number from {low} to {high}"
    value = int(read(name, env.int, default, rule))
    return value if low <= value <= high else refuse(name, rule)


def networks(name: str, default: list[str]) -> list[IPv4Network | IPv6Network]:
    return [ip_network(text.strip()) for text in env.list(name, default=default)]


def json_object(name: str, default: dict[str, Any]) -> dict[str, Any]:
    value = json.loads(env.str(name, default="") or "{}")
    if not isinstance(value, dict):
        raise ValueError
    return value or default


def texts(name: str, default: dict[str, str]) -> dict[str, str]:
    value = json_object(name, default)
    if not all(isinstance(text, str) for text in value.values()):
        raise ValueError
    return value


DEBUG = flag("DEBUG")


def secrets(name: str, debug_default: str) -> list[str]:
    """A comma-separated key ring; the first key is the one in use, the others are still known."""
    keys = [key.strip() for key in env.str(name, default="").split(",") if key.strip()]
    if not keys and not DEBUG:
        refuse(name, "is missing: `make run` writes one into .env, or set it yourself")
    return keys or [debug_default]


# --- Keys ---------------------------------------------------------------------------------------

SECRET_KEY = secrets("SECRET_KEY", "debug-only-" + "0" * 40)[0]
JWT_KEYS = secrets("JWT_KEYS", "debug-only-" + "1" * 40)
if any(len(key) < 32 for key in JWT_KEYS):
    refuse("JWT_KEYS", "must hold keys of at least 32 characters, separated by commas")
ENCRYPTION_KEYS = secrets("ENCRYPTION_KEYS", "ZGVidWctb25seS1kZWJ1Zy1vbmx5LWRlYnVnLW9ubHk=")
try:
    [Fernet(key) for key in ENCRYPTION_KEYS]
except ValueError:
    refuse(
        "ENCRYPTION_KEYS",
        "must hold Fernet keys (32 bytes in URL-safe base64), separated by commas",
    )

# --- Web ----------------------------------------------------------------------------------------

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
TRUSTED_PROXIES = read(
    "TRUSTED_PROXIES",
    networks,
    [],
    "must hold networks such as 10.0.0.0/8 or 192.0.2.7, separated by commas",
)
ROOT_URLCONF = "collections_platform.urls"
WSGI_APPLICATION = "collections_platform.wsgi.application"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "contacts",
    "templates",
    "campaigns",
    "calls",
    "collections_platform.api",
    "collections_platform.ops",
    # django.contrib.admin, with limited log-ins; after the apps that extend its templates.
    "collections_platform.api.admin_apps.LimitedAdminConfig",
]

MIDDLEWARE = [
    "collections_platform.api.request_ids.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "collections_platform.api.authentication.BearerAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["collections_platform.api.authentication.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["collections_platform.api.parsers.RawJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "collections_platform.api.negotiation.OnlyFormat",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is a method like any other: 405
    "EXCEPTION_HANDLER": "collections_platform.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "collections_platform.api.openapi.schema.OperationSchema",
}

SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "Collections platform",
    "VERSION": "1.0.0",
    "TAGS": [{"name": name} for name in ("Access", "Calls", "Campaigns", "Contacts", "Templates")],
    "SERVERS": [{"url": "/"}, {"url": "/api-service/v1"}],
    "PREPROCESSING_HOOKS": ["collections_platform.api.openapi.schema.bare_paths"],
    "POSTPROCESSING_HOOKS": ["collections_platform.api.openapi.schema.complete"],
}

# --- Database -----------------------------------------------------------------------------------

DATABASE_URL_RULE = "must read sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
database_url = env.str("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
if not database_url.startswith(("sqlite:///", "postgresql://", "postgres://")):
    refuse("DATABASE_URL", DATABASE_URL_RULE)
try:
    database = environ.Env.db_url_config(database_url)
except ValueError:
    refuse("DATABASE_URL", DATABASE_URL_RULE)
DATABASES = {"default": database}
database["CONN_MAX_AGE"] = 600
if database_url.startswith("sqlite:"):
    # A deferred transaction that has read cannot wait for the write lock (SQLITE_BUSY at once,
    # whatever the timeout), so every transaction takes it at its start.
    database["OPTIONS"] = {
        "timeout": 60,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
else:
    database["CONN_HEALTH_CHECKS"] = True
    # A server that has vanished is noticed within a minute, not after the hours that TCP waits.
    database["OPTIONS"] = {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    } | database.get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Queue --------------------------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    refuse("REDIS_URL", "must start with redis://, rediss:// or unix://")
QUEUE_NAME = env.str("QUEUE_NAME", default="collections")
QUEUE_WORKERS = number("QUEUE_WORKERS", 4, 1, 64)
WORKER_STOP_SECONDS = number("WORKER_STOP_SECONDS", 20, 1, 600)
Q_CLUSTER = {
    "name": QUEUE_NAME,  # also the salt that signs tasks: the same on every machine
    "workers": QUEUE_WORKERS,
    "queue_limit": QUEUE_WORKERS,
    # Longer than any task of ours runs. `retry` must exceed timeout * (1 + ceil((queue_limit +
    # bulk) / workers)), or the ORM broker hands a waiting task out a second time.
    "timeout": 120,
    "retry": 600,
    "ack_failures": True,  # a failed task is not repeated: the sweep finds its rows again
    "max_attempts": 1,
    "save_limit": -1,  # rows tell what happened; results of tasks are not kept
    "catch_up": False,
    "recycle": 500,
    "poll": 0.2,
    "label": "Queue",
} | (
    {"redis": REDIS_URL, "broker_class": "collections_platform.ops.brokers.RedisBroker"}
    if REDIS_URL
    else {"orm": "default", "broker_class": "collections_platform.ops.brokers.OrmBroker"}
)

# --- Calls --------------------------------------------------------------------------------------

CALL_BATCH_SIZE = number("CALL_BATCH_SIZE", 100, 10, 1000)
BULK_MAX_CONTACTS = number("BULK_MAX_CONTACTS", 100_000, 1, 1_000_000)
BULK_MAX_BODY_BYTES = number("BULK_MAX_BODY_BYTES", 128 * 1024 * 1024, 1024, 2**31 - 1)
PUBLIC_URL = env.str("PUBLIC_URL", default="").rstrip("/")
if PUBLIC_URL and not PUBLIC_URL.startswith(("https://", "http://")):
    refuse("PUBLIC_URL", "must start with https:// (or http:// inside a network of your own)")
CALL_PROVIDER = env.str("CALL_PROVIDER", default="simulated")
CALL_PROVIDER_SETTINGS = read(
    "CALL_PROVIDER_SETTINGS", json_object, {}, 'must be a JSON object such as {"url": "https://…"}'
)
CALL_PROVIDER_CREDENTIALS = read(
    "CALL_PROVIDER_CREDENTIALS", texts, {}, 'must be a JSON object of texts: {"secret": "…"}'
)
ALLOW_SIMULATED = flag("ALLOW_SIMULATED", default=DEBUG)
SIMULATED_SEED = env.str("SIMULATED_SEED", default="demo")
SIMULATED_TIME_SCALE = read(
    "SIMULATED_TIME_SCALE", env.float, 1.0, "must be a number from 0 (instant) to 1 (real time)"
)
if not 0 <= SIMULATED_TIME_SCALE <= 1:
    refuse("SIMULATED_TIME_SCALE", "must be a number from 0 (instant) to 1 (real time)")

# --- Evaluation of conversations ----------------------------------------------------------------

EVALUATOR_URL = env.str("EVALUATOR_URL", default="").rstrip("/")
if EVALUATOR_URL and not EVALUATOR_URL.startswith(("https://", "http://")):
    refuse("EVALUATOR_URL", "must start with https:// (or http:// inside a network of your own)")
EVALUATOR_KEY = env.str("EVALUATOR_KEY", default="").strip()
if not (EVALUATOR_KEY.isascii() and EVALUATOR_KEY.isprintable()):
    refuse("EVALUATOR_KEY", "must hold printable ASCII characters only")
EVALUATOR_MODEL = env.str("EVALUATOR_MODEL", default="").strip()
if EVALUATOR_URL and not EVALUATOR_MODEL:
    refuse("EVALUATOR_MODEL", "is missing: EVALUATOR_URL needs the name of a model")

# --- Webhooks -----------------------------------------------------------------------------------

try:
    WEBHOOK_ALLOWED_NETWORKS = [
        ip_network(network.strip())
        for network in env.str("WEBHOOK_ALLOWED_NETWORKS", default="").split(",")
        if network.strip()
    ]
except ValueError:
    refuse(
        "WEBHOOK_ALLOWED_NETWORKS", "must hold networks such as 10.1.0.0/16, with commas between"
    )

# --- Recordings ---------------------------------------------------------------------------------

MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(BASE_DIR / "media"))
if not os.path.isabs(MEDIA_ROOT):
    refuse("MEDIA_ROOT", "must be the absolute path of a folder")
RECORDING_MAX_BYTES = number("RECORDING_MAX_BYTES", 100 * 1024 * 1024, 1024, 2**31 - 1)
RECORDING_RETENTION_DAYS = number("RECORDING_RETENTION_DAYS", 365, 0, 36_500)
RECORDINGS_STORAGE = env.str("RECORDINGS_STORAGE", default="")
OPTIONS_RULE = "must be a JSON object with the options of RECORDINGS_STORAGE"
storage_options = read("RECORDINGS_STORAGE_OPTIONS", env.json, {}, OPTIONS_RULE)
if not isinstance(storage_options, dict) or (storage_options and not RECORDINGS_STORAGE):
    refuse("RECORDINGS_STORAGE_OPTIONS", OPTIONS_RULE)
if RECORDINGS_STORAGE:
    try:
        import_string(RECORDINGS_STORAGE)
    except ImportError:
        refuse(
            "RECORDINGS_STORAGE",
            "must name a storage class that can be imported, and its package be installed",
        )
else:  # below MEDIA_ROOT, for the user alone that the platform runs as
    storage_options = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
STORAGES["recordings"] = {
    "BACKEND": RECORDINGS_STORAGE or "django.core.files.storage.FileSystemStorage",
    "OPTIONS": storage_options,
}

# --- Mail to staff ------------------------------------------------------------------------------

EMAIL_RULE = "must read smtp://, smtp+tls:// or smtp+ssl://, then USER:PASSWORD@HOST:PORT"
EMAIL_URL = env.str("EMAIL_URL", default="")
EMAIL_TIMEOUT = 10
if EMAIL_URL:
    try:
        email = environ.Env.email_url_config(EMAIL_URL)
    except (ImproperlyConfigured, ValueError):
        refuse("EMAIL_URL", EMAIL_RULE)
    if EMAIL_URL.startswith("smtp") and not email["EMAIL_HOST"]:
        refuse("EMAIL_URL", EMAIL_RULE)
    EMAIL_BACKEND = email["EMAIL_BACKEND"]
    EMAIL_FILE_PATH = email["EMAIL_FILE_PATH"] or None
    EMAIL_USE_TLS = bool(email.get("EMAIL_USE_TLS"))
    EMAIL_USE_SSL = bool(email.get("EMAIL_USE_SSL"))
    EMAIL_HOST = email["EMAIL_HOST"]
    EMAIL_PORT = email["EMAIL_PORT"] or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
    EMAIL_HOST_USER = email["EMAIL_HOST_USER"] or ""
    EMAIL_HOST_PASSWORD = email["EMAIL_HOST_PASSWORD"] or ""
addresses = [part.strip() for part in env.str("ADMINS", default="").split(",") if part.strip()]
try:
    for address in addresses:
        validate_email(address)
except ValidationError:
    refuse("ADMINS", "must hold mail addresses, separated by commas")
ADMINS = [(address, address) for address in addresses]
if addresses:  # many a mail server refuses the sender root@localhost
    SERVER_EMAIL = addresses[0]

# --- Language, time, logs -----------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
try:
    ZoneInfo(TIME_ZONE)
except (ValueError, OSError, KeyError):
    refuse("TIME_ZONE", "must be an IANA time zone such as Asia/Riyadh")

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    refuse("LOG_LEVEL", "must be DEBUG, INFO, WARNING, ERROR or CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} {request_id} {message}", "style": "{"},
    },
    "filters": {"request": {"()": "collections_platform.api.request_ids.RequestIdFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["request"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # The queue logs every task at INFO, several lines each; its own handler would print twice.
    # httpx2 logs every address it asks at INFO, and an address may hold a token.
    # Django would mail errors to ADMINS, with the request and its personal data.
    "loggers": {
        "django": {"handlers": []},
        "django-q": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
        "httpx2": {"level": "WARNING"},
    },
}
