"""Settings that must agree with each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.checks import Error, Warning, register
from django.core.exceptions import ValidationError
from django.core.files.storage import storages

from calls.providers import PROVIDERS
from calls.providers.base import AccountField


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
    told = {False: settings.CALL_PROVIDER_SETTINGS, True: settings.CALL_PROVIDER_CREDENTIALS}
    fields = PROVIDERS[settings.CALL_PROVIDER].fields
    return [
        Error(f"{VARIABLES[is_secret]} {fault}.", id="calls.E003")
        for is_secret, values in told.items()
        if values  # what the environment leaves out stands in the admin
        for fault in _faults([f for f in fields if f.is_secret is is_secret], values)
    ]


VARIABLES = {False: "CALL_PROVIDER_SETTINGS", True: "CALL_PROVIDER_CREDENTIALS"}


def _faults(fields: list[AccountField], values: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the values of an account; none of them is told, for they may be secret."""
    known = {field.name: field for field in fields}
    if values.keys() - known.keys():
        names = ", ".join(f"“{name}”" for name in known)
        yield f"may hold {names} and nothing else" if known else "must be left empty"
    for name, field in known.items():
        value = values.get(name)
        if value is None or value == "":
            if field.is_required:
                yield f"lacks “{name}”"
        elif not _is_right(field, value):
            yield f"has no “{name}” that can be used"


def _is_right(field: AccountField, value: Any) -> bool:
    if not isinstance(value, str) or (field.choices and value not in field.choices):
        return False
    try:
        if field.check:
            field.check(value)
    except ValidationError:
        return False
    return True


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
                id="calls.E004",
            )
        ]
    return []
