"""Signatures as Standard Webhooks and Svix write them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

PREFIX = "whsec_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
FAMILIES = ("webhook", "svix")
# How far the clocks of the two sides may be apart, the way between them included.
TOLERANCE_SECONDS = 300


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, with the key that
    stands in base64 behind `whsec_`. `timestamp` is in Unix seconds.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def signed_headers(
    secrets: Iterable[str],
    message_id: str,
    timestamp: int,
    body: bytes,
    families: Iterable[str] = FAMILIES,
) -> dict[str, str]:
    """The headers of one try, in the families' names, with a signature per live secret."""
    values = {
        "id": message_id,
        "timestamp": str(timestamp),
        "signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }
    return {f"{family}-{name}": value for family in families for name, value in values.items()}


def find_fault(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Why a message that came with these headers is not to be believed; empty if it is.

    `headers` is asked for names in lower case, `now` is in Unix seconds. Without a secret nothing
    is believed.
    """
    identity = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").encode().split()
    if not (secret and identity and signatures and re.fullmatch(r"[0-9]{1,12}", timestamp)):
        return "The signature is missing."
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return f"The timestamp is more than {TOLERANCE_SECONDS} seconds off."
    right = sign(secret, identity, int(timestamp), body).encode()
    # Compared with each of them, however early one is right.
    if not sum(hmac.compare_digest(right, given) for given in signatures):
        return "The signature is wrong."
    return ""


def validate_secret(secret: str) -> None:
    """`whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks asks for."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    is_long_enough = MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES
    if not (secret.startswith(PREFIX) and is_long_enough):
        raise ValidationError(_("A secret is whsec_ and the base64 of 24 to 64 bytes."))
