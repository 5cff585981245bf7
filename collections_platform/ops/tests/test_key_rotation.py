from io import StringIO

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.core.management import CommandError, call_command
from django.db import connection

from calls.fields import EncryptedTextField
from calls.models import WebhookEndpoint, WebhookSecret
from collections_platform.ops import key_rotation
from collections_platform.ops.key_rotation import encrypted_fields, reencrypt

pytestmark = pytest.mark.django_db


@pytest.fixture
def new_key(settings) -> str:
    """Put first in the ring; what was encrypted before needs the key behind it."""
    return Fernet.generate_key().decode()


def make_secrets(number: int) -> list[str]:
    urls = [f"https://example.com/hooks/{n}" for n in range(number)]
    return [WebhookEndpoint.objects.create(url=url).add_secret() for url in urls]


def stored() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM calls_webhooksecret ORDER BY id")
        return [value for (value,) in cursor.fetchall()]


def values() -> list[str]:
    return [secret.value for secret in WebhookSecret.objects.order_by("pk")]


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("rotate_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_every_secret_moves_to_the_first_key_and_the_others_can_go(
    settings, new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "CHUNK", 2)
    secrets = make_secrets(5)
    settings.ENCRYPTION_KEYS = [new_key, *settings.ENCRYPTION_KEYS]
    out, _ = run()
    assert out.startswith("Encrypted 5 of 5 secrets anew")
    assert out.count("\n") == 1
    assert "JWT_KEYS" in out
    settings.ENCRYPTION_KEYS = [new_key]
    assert values() == secrets


def test_run_again_it_changes_nothing(settings, new_key: str) -> None:
    make_secrets(3)
    settings.ENCRYPTION_KEYS = [new_key, *settings.ENCRYPTION_KEYS]
    assert reencrypt() == (3, 3)
    before = stored()
    assert reencrypt() == (0, 3)
    assert stored() == before


def test_broken_off_it_goes_on_where_it_was(
    settings, new_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "CHUNK", 2)
    secrets = make_secrets(5)
    settings.ENCRYPTION_KEYS = [new_key, *settings.ENCRYPTION_KEYS]
    last = WebhookSecret.objects.latest("pk")
    unbroken = stored()[-1]
    update = "UPDATE calls_webhooksecret SET value = %s WHERE id = %s"
    with connection.cursor() as cursor:
        cursor.execute(update, ["broken", last.pk])
        with pytest.raises(CommandError, match=f"calls.WebhookSecret {last.pk}"):
            run()
        cursor.execute(update, [unbroken, last.pk])
    assert reencrypt() == (1, 5)
    assert values() == secrets


def test_a_secret_of_a_forgotten_key_is_named_and_never_shown(settings, new_key: str) -> None:
    make_secrets(1)
    settings.ENCRYPTION_KEYS = [new_key]
    with pytest.raises(CommandError) as refused:
        run()
    assert stored()[0] not in str(refused.value)
    with pytest.raises(InvalidToken):
        values()


def test_every_table_with_an_encrypted_field_is_found() -> None:
    found = list(encrypted_fields())
    assert (WebhookSecret, WebhookSecret._meta.get_field("value")) in found
    assert all(isinstance(field, EncryptedTextField) for _, field in found)


def test_it_generates_a_key_of_each_ring_and_changes_nothing(settings) -> None:
    make_secrets(1)
    before = stored()
    out, err = run("--generate")
    lines = dict(line.split("=", 1) for line in out.splitlines())
    assert set(lines) == {"JWT_KEYS", "ENCRYPTION_KEYS"}
    assert len(lines["JWT_KEYS"]) >= 32
    Fernet(lines["ENCRYPTION_KEYS"])
    assert "," not in out
    assert "first" in err
    assert stored() == before
