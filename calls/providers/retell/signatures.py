"""Retell's signatures: `X-Retell-Signature: v=<Unix ms>,d=<hex>`, where the digest is HMAC-SHA256
over the body and, right behind it, the digits of the time.

https://docs.retellai.com/features/secure-webhook
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

HEADER = "x-retell-signature"
TOLERANCE_MS = 300_000
SIGNATURE = re.compile(r"v=([0-9]{1,16}),d=([0-9a-f]{64})")


def sign(key: str, body: bytes, milliseconds: int) -> str:
    """The header's value for a body sent at a time in Unix milliseconds."""
    content = body + str(milliseconds).encode()
    return f"v={milliseconds},d={hmac.new(key.encode(), content, hashlib.sha256).hexdigest()}"


def find_fault(key: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Why a message is not to be believed; empty if it is. `now` is in Unix seconds. Without a
    key nothing is believed.
    """
    told = next((value for name, value in headers.items() if name.lower() == HEADER), "")
    parts = SIGNATURE.fullmatch(told)
    if not (key and parts):
        return "The signature is missing."
    milliseconds, given = parts.groups()
    if abs(now * 1000 - int(milliseconds)) > TOLERANCE_MS:
        return f"The timestamp is more than {TOLERANCE_MS // 1000} seconds off."
    right = hmac.new(key.encode(), body + milliseconds.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(right, given) else "The signature is wrong."
