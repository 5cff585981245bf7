"""Secrets at rest."""

from functools import cache
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models


@cache
def _ring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


class EncryptedTextField(models.TextField):
    """Text that the database holds encrypted (Fernet): the first of ENCRYPTION_KEYS encrypts,
    all of them decrypt. It cannot be searched. Reading it with none of its keys at hand raises
    `cryptography.fernet.InvalidToken`.
    """

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return text and _ring(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode()

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return value and _ring(tuple(settings.ENCRYPTION_KEYS)).decrypt(value).decode()
