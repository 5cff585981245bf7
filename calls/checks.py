"""Settings that must agree with each other."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.core.files.storage import storages

from calls.providers import PROVIDERS


@register()
def check_call_provider(**_: Any) -> list[Error]:
    if settings.CALL_PROVIDER not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        return [Error(f"CALL_PROVIDER must be one of: {known}.", id="calls.E001")]
    if settings.CALL_PROVIDER == "simulated" and not settings.ALLOW_SIMULATED:
        return [
            Error(
                "CALL_PROVIDER is “simulated”, which reaches nobody.",
                hint="Name a real provider, or set ALLOW_SIMULATED=1 if nobody is to be called.",
                id="calls.E002",
            )
        ]
    return []


@register()
def check_mail(**_: Any) -> list[Warning]:
    if bool(settings.EMAIL_URL) == bool(settings.ADMINS):
        return []
    return [
        Warning(
            "EMAIL_URL and ADMINS need each other: nobody is mailed with one of them alone.",
            hint="Set both, or neither: the admin tells staff in any case.",
            id="calls.W002",
        )
    ]


@register()
def check_broker(**_: Any) -> list[Warning]:
    database = settings.DATABASES["default"]["ENGINE"]
    if settings.REDIS_URL and database.endswith("sqlite3"):
        return [
            Warning(
                "REDIS_URL is set, but the database is SQLite, which one machine alone can use.",
                hint="Set DATABASE_URL to PostgreSQL before a second machine joins.",
                id="calls.W001",
            )
        ]
    return []


@register()
def check_recordings_storage(**_: Any) -> list[Error]:
    """The text of what the class says may hold a key of the options: it stays unsaid."""
    try:
        storages["recordings"]
    except Exception as error:
        return [
            Error(
                f"RECORDINGS_STORAGE takes no such RECORDINGS_STORAGE_OPTIONS"
                f" ({type(error).__name__}).",
                hint="See what options the storage class has.",
                id="calls.E003",
            )
        ]
    return []
