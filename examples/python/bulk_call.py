"""Place two calls, safely repeated, and verify the webhooks that tell of them.

Standard library only, Python 3.9 or newer: python3 bulk_call.py client.json endpoint.json
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import re
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

API = os.environ.get("API_URL", "http://127.0.0.1:8000")
TOLERANCE_SECONDS = 300
MAX_BODY_BYTES = 5_000_000
TRIES = 5
WAIT_SECONDS = 120

CONTACTS = [
    {
        "numberToCall": "+966500000001",
        "firstName": "Ahmed",
        "metadata": {"invoiceNumber": "INV-001"},
        "promptTags": {"amount": "5,000 SAR", "due_date": "January 15, 2026"},
    },
    {
        "numberToCall": "0500000002",  # a local number: read by countryCode
        "firstName": "Sara",
        "metadata": {"invoiceNumber": "INV-002"},
        "promptTags": {"amount": "3,200 SAR", "due_date": "January 20, 2026"},
    },
]


# --- Asking -------------------------------------------------------------------------------------


class Refused(Exception):
    """The server said no: the same request again would be refused again."""


def post(path, body, headers):
    """POST JSON; return the answer. A request that may have been lost is sent again.

    That is safe for a bulk request only because it carries an Idempotency-Key: with the same key
    and the same body, the second time answers what the first did, and calls nobody anew.
    """
    headers = {"Content-Type": "application/json", **headers}
    for attempt in range(1, TRIES + 1):
        request = urllib.request.Request(API + path, json.dumps(body).encode(), headers)
        wait = attempt
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise Refused(f"{path}: {error.code} {error.read().decode()}") from None
            wait = int(error.headers.get("Retry-After", attempt))
        except (OSError, ValueError):
            pass  # no answer, or half of one: nobody knows whether it was taken
        time.sleep(wait)
    raise Refused(f"{path}: no answer after {TRIES} tries")


def get_token(client):
    """A token for an hour; ask for a new one when it has expired, or at a 401."""
    return post("/auth/v1/api-key/auth", client, {})["access_token"]


def call_bulk(token, contacts, key):
    """Launch the calls. `key` names this request: a new one for each, the same for a repeat."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
    body = {"countryCode": "SA", "updateExisting": True, "contacts": contacts}
    return post("/ai/phone-calls/action/call-bulk", body, headers)


# --- Being told ---------------------------------------------------------------------------------


def verify(secret, headers, body, now=None):
    """Was `body`, bytes as received, signed with `secret`, and just now?

    `headers` are a mapping whose names are lower-case, or whose `get` does not mind the case.
    """
    message_id = headers.get("webhook-id") or ""
    timestamp = headers.get("webhook-timestamp") or ""
    signatures = (headers.get("webhook-signature") or "").encode().split()
    if not message_id or not re.fullmatch("[0-9]{1,12}", timestamp):
        return False
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret[len("whsec_") :], validate=True)
    if not secret.startswith("whsec_") or len(key) < 24:
        raise ValueError("this is no signing secret")
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    return any(hmac.compare_digest(expected, signature) for signature in signatures)


def receive(endpoint):
    """Listen at the endpoint's address; return a queue of the calls that verified webhooks tell."""
    calls = queue.Queue()
    handled = set()  # in a real receiver a table with a unique column, written with the work itself

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            length = self.headers.get("content-length", "")
            if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_BODY_BYTES:
                return self.answer(413)
            body = self.rfile.read(int(length))
            if not verify(endpoint["secret"], self.headers, body):
                return self.answer(401)
            message_id = self.headers["webhook-id"]
            if message_id not in handled:  # webhooks arrive at least once
                message = json.loads(body)
                calls.put(message.get("data", message))  # the envelope, or the flat form
                handled.add(message_id)
            return self.answer(204)

        def answer(self, status):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", urlsplit(endpoint["url"]).port), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return calls


# --- Both ---------------------------------------------------------------------------------------


def main(client, endpoint):
    calls = receive(endpoint)
    token = get_token(client)
    key = str(uuid.uuid4())  # store it with what you are about to send, before you send it
    accepted = call_bulk(token, CONTACTS, key)
    print("campaign", accepted["campaignId"])
    repeated = call_bulk(token, CONTACTS, key)
    print("repeated: the same answer" if repeated == accepted else "REPEATED: ANOTHER ANSWER")

    waiting = {call["callId"] for call in accepted["calls"]}
    deadline = time.monotonic() + WAIT_SECONDS
    while waiting:
        try:
            call = calls.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            sys.exit(f"{len(waiting)} calls have not ended")
        if call["callId"] in waiting:
            invoice = call["metadata"]["requestMetadata"]["invoiceNumber"]
            print("verified", invoice, call["numberTo"], call["attempt"], call["callOutput"])
            if call["isLastAttempt"]:
                waiting.remove(call["callId"])


if __name__ == "__main__":
    with open(sys.argv[1]) as client_file, open(sys.argv[2]) as endpoint_file:
        main(json.load(client_file), json.load(endpoint_file))
