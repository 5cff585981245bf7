"""How Vapi proves that an event is its own: by a token, or by an HMAC of the event.

Both are set in a custom credential: https://docs.vapi.ai/server-url/server-authentication
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

from calls.providers.vapi.account import BEARER, HMAC, SIGNED_WITH_TIME, Account, HmacPlan

# How far the clocks of the two sides may be apart, the way between them included.
TOLERANCE_SECONDS = 300
# Vapi does not say which of the two it writes; seconds reach this in the year 5138.
FIRST_MILLISECONDS = 10**11
ALGORITHMS = frozenset({"sha256", "sha512", "sha1"})


def find_fault(account: Account, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Why a message that came with these headers is not to be believed; empty if it is.

    `now` is in Unix seconds. Without a secret nothing is believed.
    """
    told = {name.lower(): value for name, value in headers.items()}
    if not account.webhook_secret:
        return "The account takes no events."
    if account.scheme == BEARER:
        return _fault_of_token(account.webhook_secret, told)
    if account.scheme == HMAC:
        return _fault_of_hmac(account.hmac, account.webhook_secret, told, body, now)
    return "The account takes no events."


def _fault_of_token(secret: str, told: Mapping[str, str]) -> str:
    scheme, _space, bearer = told.get("authorization", "").partition(" ")
    given = [bearer.strip() if scheme.lower() == "bearer" else "", told.get("x-vapi-secret", "")]
    if not any(given):
        return "The token is missing."
    # Compared with both, however early one is right.
    if not sum(hmac.compare_digest(_bytes(secret), _bytes(token)) for token in given):
        return "The token is wrong."
    return ""


def _fault_of_hmac(
    plan: HmacPlan, secret: str, told: Mapping[str, str], body: bytes, now: float
) -> str:
    signature = told.get(plan.signature_header, "").strip()
    timestamp = told.get(plan.timestamp_header, "").strip()
    signs_time = plan.payload == SIGNED_WITH_TIME
    if not signature.startswith(plan.prefix) or signature == plan.prefix:
        return "The signature is missing."
    if signs_time:
        if not re.fullmatch(r"[0-9]{1,16}", timestamp):
            return "The timestamp is missing."
        if abs(now - _seconds(timestamp)) > TOLERANCE_SECONDS:
            return f"The timestamp is more than {TOLERANCE_SECONDS} seconds off."
    signed = timestamp.encode() + b"." + body if signs_time else body
    right = _sign(plan, secret, signed)
    given = _decoded(plan, signature.removeprefix(plan.prefix))
    if right is None or not hmac.compare_digest(right, given):
        return "The signature is wrong."
    return ""


def _sign(plan: HmacPlan, secret: str, signed: bytes) -> bytes | None:
    """The digest; None where the account's settings make none."""
    if plan.algorithm not in ALGORITHMS:
        return None
    try:
        key = base64.b64decode(secret, validate=True) if plan.secret_is_base64 else secret.encode()
    except (binascii.Error, ValueError):
        return None
    return hmac.digest(key, signed, plan.algorithm) if key else None


def _decoded(plan: HmacPlan, signature: str) -> bytes:
    """The digest that was given; empty where it cannot be read."""
    try:
        if plan.encoding == "base64":
            return base64.b64decode(signature, validate=True)
        return bytes.fromhex(signature)
    except (binascii.Error, ValueError):
        return b""


def _seconds(timestamp: str) -> float:
    number = int(timestamp)
    return number / 1000 if number >= FIRST_MILLISECONDS else number


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
