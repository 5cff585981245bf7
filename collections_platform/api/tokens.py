"""The JSON Web Tokens of the API (RFC 7519, HS256 with a ring of keys)."""

import hashlib
from typing import Any

import jwt
from django.conf import settings
from django.utils import timezone

from collections_platform.api.models import ClientSecret

LIFETIME_SECONDS = 3600
ALGORITHM = "HS256"
AUDIENCE = "collections-api"


def issue_token(secret: ClientSecret) -> str:
    """A token that names the client and the secret it was bought with, and ends with either."""
    now = int(timezone.now().timestamp())
    claims = {
        "aud": AUDIENCE,
        "sub": str(secret.client_id),
        "sid": secret.pk,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    }
    key = settings.JWT_KEYS[0]
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": _key_id(key)})


def read_token(token: str) -> dict[str, Any]:
    """The claims of a token signed with any key of the ring. Raises `jwt.InvalidTokenError`."""
    named = jwt.get_unverified_header(token).get("kid")
    key = next((key for key in settings.JWT_KEYS if _key_id(key) == named), None)
    if key is None:
        raise jwt.InvalidSignatureError("signed with a key that is not in JWT_KEYS")
    return jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        audience=AUDIENCE,
        options={"require": ["sub", "sid", "exp"]},
    )


def _key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
