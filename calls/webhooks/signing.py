"""Signatures as Standard Webhooks and Svix write them.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, with the key that
    stands in base64 behind `whsec_`. `timestamp` is in Unix seconds.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def signed_headers(
    secrets: Iterable[str], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """The headers of one try, in both families' names, with a signature per live secret."""
    values = {
        "id": message_id,
        "timestamp": str(timestamp),
        "signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }
    return {
        f"{family}-{name}": value
        for family in ("webhook", "svix")
        for name, value in values.items()
    }
