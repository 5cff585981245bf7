"""Secrets at rest move to the first of ENCRYPTION_KEYS, so that the older ones can go."""

from collections.abc import Iterator
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Cast

from calls.fields import EncryptedTextField

CHUNK = 500


class UnreadableSecret(Exception):
    """Which row holds what none of ENCRYPTION_KEYS decrypts, in one sentence."""


def encrypted_fields() -> Iterator[tuple[type[models.Model], EncryptedTextField]]:
    """Every encrypted field of every table."""
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields if not model._meta.proxy else ():
            if isinstance(field, EncryptedTextField):
                yield model, field


def reencrypt() -> tuple[int, int]:
    """Encrypt anew what an older key encrypted: how many secrets it was, and of how many.

    In short transactions, each of which stands: broken off, it goes on where it was when run
    again. Raises `UnreadableSecret`.
    """
    counts = [_reencrypt_chunk(*chunk) for chunk in _chunks()]
    return sum(changed for changed, _ in counts), sum(seen for _, seen in counts)


def _chunks() -> Iterator[tuple[type[models.Model], EncryptedTextField, list[Any]]]:
    for model, field in encrypted_fields():
        rows = model._base_manager.order_by("pk").values_list("pk", flat=True)
        keys = list(rows[:CHUNK])
        while keys:
            yield model, field, keys
            keys = list(rows.filter(pk__gt=keys[-1])[:CHUNK])


@transaction.atomic
def _reencrypt_chunk(
    model: type[models.Model], field: EncryptedTextField, keys: list[Any]
) -> tuple[int, int]:
    newest = Fernet(settings.ENCRYPTION_KEYS[0])
    ring = MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
    rows = model._base_manager.select_for_update().filter(pk__in=keys).order_by("pk")
    # As text, or the field would decrypt it.
    stored = rows.annotate(stored_text=Cast(field.name, models.TextField()))
    changed = seen = 0
    for pk, token in stored.values_list("pk", "stored_text"):
        if not token:
            continue
        seen += 1
        if not _decrypts(newest, token):
            try:
                text = ring.decrypt(token).decode()
            except InvalidToken as error:
                raise UnreadableSecret(
                    f"None of ENCRYPTION_KEYS decrypts {field.name} of {model._meta.label} {pk}."
                ) from error
            model._base_manager.filter(pk=pk).update(**{field.name: text})
            changed += 1
    return changed, seen


def _decrypts(key: Fernet, token: str) -> bool:
    try:
        key.decrypt(token)
    except InvalidToken:
        return False
    return True
