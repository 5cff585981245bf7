"""An agent for the provider `http`, whole and in one file: docs/provider-protocol.md.

AS IT STANDS IT REACHES NOBODY: `dial` plays a conversation and rings no telephone. To make it an
agent of your own, put your telephony into `dial` and `after_a_crash`, and keep the rest.

It needs Python 3.11 or newer, and nothing else.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import sqlite3
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

NUMBER_FROM = "+12025550100"  # the number you call from; this one is kept free for fiction
LINES = 50  # how many calls may be under way at once

# --- The telephone: this part is yours ----------------------------------------------------------

ANSWERS = {"6": "no_answer", "7": "busy", "8": "voicemail", "9": "rejected"}
SENTIMENTS = {
    "PROMISE_TO_PAY": "POSITIVE",
    "ALREADY_PAID": "POSITIVE",
    "REFUSED": "NEGATIVE",
    "DISPUTE": "NEGATIVE",
    "DO_NOT_CALL": "NEGATIVE",
}


def dial(call, line):
    """Make one telephone call and return its ending, as the protocol's table has it.

    `call` is what was placed, in the protocol's words. Tell `line.rings()` and `line.is_answered()`
    when they happen. `line.wait(seconds)` is true once the call is to be hung up: then do so, and
    return when the line is closed. Ring for 120 seconds at most, talk for `maxDurationSeconds`.

    Here nobody is called. The number's last digit says who answers: 6 nobody, 7 busy, 8 a machine,
    9 declined, anything else a person, who says what the number chooses from `outcomes`.
    """
    status = ANSWERS.get(call["to"][-1], "completed")
    if status == "busy":
        return {"status": "busy", "reason": "scripted_busy"}
    line.rings()
    if line.wait(1):
        return {"status": "failed", "reason": "hung_up_by_platform"}
    if status in ("no_answer", "rejected"):
        return {"status": status, "reason": f"scripted_{status}"}
    line.is_answered()
    answered_at, began = now_in_words(), time.monotonic()
    is_hung_up = line.wait(min(2, call["maxDurationSeconds"]))
    ending = {
        "status": status,
        "reason": "hung_up_by_platform" if is_hung_up else "scripted_end",
        "answeredAt": answered_at,
        "durationSeconds": round(time.monotonic() - began),
    }
    return ending if is_hung_up or status == "voicemail" else ending | converse(call)


def converse(call):
    """What a person says who is not there."""
    said = [f"Agent: {call['firstMessage'] or 'Hello.'}"]
    outcomes = call.get("outcomes") or []
    if not outcomes:
        return {"transcript": said[0], "summary": "Scripted: nobody was called."}
    outcome = outcomes[int(call["to"][1:]) % len(outcomes)]
    word, description = outcome["word"], outcome.get("description") or outcome["word"]
    said.append(f"Customer: (scripted) {description}")
    said.append("Agent: Thank you. I have noted that. Goodbye.")
    return {
        "outcome": word,
        "outcomeReasoning": "The number chose it: the conversation is scripted.",
        "sentiment": SENTIMENTS.get(word, "NEUTRAL"),
        "sentimentReasoning": "It goes with the outcome.",
        "summary": f"Scripted, nobody was called: {description}",
        "transcript": "\n".join(said),
    }


def after_a_crash(call):
    """The ending of a call that was being dialled when this program died.

    Ask your carrier what became of it and hang it up; whatever you do, do not dial it again.
    """
    return {"status": "failed", "reason": "agent_restarted"}


# --- Signatures, as Standard Webhooks has them --------------------------------------------------

TOLERANCE_SECONDS = 300


def read_secrets(text):
    """The keys of `whsec_…`; of several, with commas between, each is believed, all sign."""
    keys = []
    for secret in text.split(","):
        prefix, _, encoded = secret.strip().partition("_")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if prefix != "whsec" or not 24 <= len(key) <= 64:
            sys.exit("AGENT_SECRET must be whsec_ and the base64 of 24 to 64 bytes.")
        keys.append(key)
    return keys


def sign(key, message_id, timestamp, body):
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def is_signed(keys, headers, body, now):
    message_id = headers.get("webhook-id") or ""
    timestamp = headers.get("webhook-timestamp") or ""
    given = (headers.get("webhook-signature") or "").encode().split()
    if not message_id or not re.fullmatch("[0-9]{1,12}", timestamp):
        return False
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    right = [sign(key, message_id, int(timestamp), body).encode() for key in keys]
    return any(hmac.compare_digest(ours, theirs) for ours in right for theirs in given)


# --- What is kept -------------------------------------------------------------------------------

KEEP_SECONDS = 48 * 3600  # how long an ended call is known; the protocol asks for 24 hours

TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,
    dialled_at REAL,
    ended_at REAL
);
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    call_id TEXT NOT NULL REFERENCES calls ON DELETE CASCADE,
    body TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    first_try_at REAL,
    next_try_at REAL
);
CREATE INDEX IF NOT EXISTS events_of_call ON events (call_id);
CREATE INDEX IF NOT EXISTS events_to_send ON events (next_try_at) WHERE next_try_at IS NOT NULL;
"""


class Store:
    """Calls and their events in SQLite. What a method wrote is on the disk when it returns."""

    def __init__(self, path):
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(TABLES)
        self._database.execute("PRAGMA foreign_keys = ON")

    def _run(self, *statements):
        """Run statements in one transaction; return the rows of the last."""
        with self._lock, self._database as database:
            for statement, values in statements:
                rows = database.execute(statement, values).fetchall()
            return rows

    def add_call(self, call_id, request):
        values = (call_id, f"c_{uuid.uuid4().hex}", json.dumps(request))
        self._run(("INSERT INTO calls (call_id, id, request) VALUES (?, ?, ?)", values))

    def find_call(self, call_id):
        rows = self._run(("SELECT * FROM calls WHERE call_id = ?", (call_id,)))
        return rows[0] if rows else None

    def open_calls(self):
        return self._run(("SELECT * FROM calls WHERE ended_at IS NULL", ()))

    def note_dialling(self, call_id):
        """Say that the telephone is about to ring: from now on it is not dialled again."""
        self._run(("UPDATE calls SET dialled_at = ? WHERE call_id = ?", (time.time(), call_id)))

    def add_event(self, call, kind, ending=None):
        """Keep what happened, to be sent at once if there is somewhere to send it."""
        now, event_id = time.time(), f"evt_{uuid.uuid4().hex}"
        event = {
            "id": event_id,
            "type": kind,
            "callId": call["call_id"],
            "providerCallId": call["id"],
            "at": now_in_words(),
            "from": NUMBER_FROM,
        }
        if ending:
            event["ending"] = ending
        send_at = now if json.loads(call["request"]).get("callbackUrl") else None
        added = (
            "INSERT INTO events (id, call_id, body, next_try_at) VALUES (?, ?, ?, ?)",
            (event_id, call["call_id"], json.dumps(event, ensure_ascii=False), send_at),
        )
        ended = ("UPDATE calls SET ended_at = ? WHERE call_id = ?", (now, call["call_id"]))
        self._run(*([ended] if ending else []), added)

    def events_of(self, call_id):
        statement = "SELECT body FROM events WHERE call_id = ? ORDER BY position"
        return [json.loads(row["body"]) for row in self._run((statement, (call_id,)))]

    def take_event(self, now, again_at):
        """An event that is to be sent now, or None. It comes again then, if nothing else is noted:
        whoever dies over it leaves it to be sent.
        """
        statement = (
            "UPDATE events SET tries = tries + 1, first_try_at = COALESCE(first_try_at, ?),"
            " next_try_at = ? WHERE id = (SELECT id FROM events WHERE next_try_at <= ?"
            " ORDER BY next_try_at, position LIMIT 1) RETURNING *"
        )
        rows = self._run((statement, (now, again_at, now)))
        return rows[0] if rows else None

    def send_again(self, event_id, at):
        """`at`: None when the event is not to be sent again."""
        self._run(("UPDATE events SET next_try_at = ? WHERE id = ?", (at, event_id)))

    def forget(self, before):
        """Delete calls that ended before this time, with all that is known of them."""
        self._run(("DELETE FROM calls WHERE ended_at < ?", (before,)))

    def close(self):
        with self._lock:
            self._database.close()


def now_in_words():
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- Calls --------------------------------------------------------------------------------------

# A call that this agent comes to later is not dialled: the platform takes it to be over by
# 180 seconds and `maxDurationSeconds` after `startedAt`, and a telephone may ring for 120 of them.
DIAL_WITHIN_SECONDS = 60
CLOSED_WITHIN_SECONDS = 8  # how long a request to hang up is kept waiting; the platform waits 10


class Line:
    """One call under way, as `dial` and whoever wants it closed see it."""

    def __init__(self, tell):
        self._tell = tell
        self._to_be_closed, self._is_closed = threading.Event(), threading.Event()

    def rings(self):
        self._tell("ringing")

    def is_answered(self):
        self._tell("answered")

    def wait(self, seconds):
        """Sleep; true as soon as the call is to be hung up."""
        return self._to_be_closed.wait(seconds)

    def close(self):
        """Have the call hung up; true once it is."""
        self._to_be_closed.set()
        return self._is_closed.wait(CLOSED_WITHIN_SECONDS)

    def note_closed(self):
        self._is_closed.set()


class Calls:
    """Takes calls, dials each of them once, and closes their lines."""

    def __init__(self, store, sender):
        self._store, self._sender = store, sender
        self._lock = threading.Lock()
        self._lines = {}

    def take_up_again(self):
        """After a start: dial what was taken and not begun, end what was broken off."""
        for call in self._store.open_calls():
            if call["dialled_at"] is None:
                self._begin(call)
            else:
                self._store.add_event(call, "ended", after_a_crash(json.loads(call["request"])))

    def place(self, call_id, request):
        """The call, dialled now or known before; None if no line is free."""
        with self._lock:  # two requests for one call at once lead to one telephone call
            call = self._store.find_call(call_id)
            if call:
                return call
            if len(self._lines) >= LINES:
                return None
            self._store.add_call(call_id, request)
            call = self._store.find_call(call_id)
            self._begin(call)
            return call

    def close(self, call_id):
        """True once the line is closed, or if it had closed before; None of an unknown call."""
        line = self._lines.get(call_id)
        if line:
            return line.close()
        call = self._store.find_call(call_id)
        return None if call is None else call["ended_at"] is not None

    def _begin(self, call):
        line = Line(lambda kind: self._tell(call, kind))
        self._lines[call["call_id"]] = line
        threading.Thread(target=self._carry, args=(call, line), daemon=True).start()

    def _tell(self, call, kind, ending=None):
        self._store.add_event(call, kind, ending)
        self._sender.wake()

    def _carry(self, call, line):
        """From the first ring to the end, whatever it is."""
        request = json.loads(call["request"])
        try:
            if line.wait(0):
                ending = {"status": "failed", "reason": "hung_up_by_platform"}
            elif age_of(request) > DIAL_WITHIN_SECONDS:
                ending = {"status": "failed", "reason": "too_late"}
            else:
                self._store.note_dialling(call["call_id"])
                ending = dial(request, line)
        except Exception as error:
            log(f"call {call['call_id']} failed: {type(error).__name__}")
            ending = {"status": "failed", "reason": "agent_error"}
        self._tell(call, "ended", ending)
        self._lines.pop(call["call_id"], None)
        line.note_closed()


def age_of(request):
    return time.time() - datetime.fromisoformat(request["startedAt"]).timestamp()


# --- Sending events -----------------------------------------------------------------------------

WAITS = [5, 30, 300, 1800]  # seconds before an event is sent again; the last one for good
GIVE_UP_AFTER = 24 * 3600
ANSWER_SECONDS = 60
SENDERS = 8


class Sender:
    """Sends events until they are taken, also those that an earlier run of this program left."""

    def __init__(self, store, keys):
        self._store, self._keys = store, keys
        self._news, self._is_over = threading.Condition(), False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(SENDERS)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def wake(self):
        with self._news:
            self._news.notify()

    def stop(self):
        self._is_over = True
        with self._news:
            self._news.notify_all()
        for thread in self._threads:
            thread.join(1)

    def _work(self):
        while not self._is_over:
            try:
                is_idle = not self._send_one()
            except Exception as error:
                log(f"an event could not be sent: {type(error).__name__}")
                is_idle = True
            if is_idle and not self._is_over:
                with self._news:
                    self._news.wait(1)

    def _send_one(self):
        """Send the event that has waited longest, and note when to do so again; False if none."""
        now = time.time()
        event = self._store.take_event(now, now + 2 * ANSWER_SECONDS)
        if event is None:
            return False
        call = self._store.find_call(event["call_id"])
        address = json.loads(call["request"])["callbackUrl"]
        status, wait = post(address, event["id"], event["body"].encode(), self._keys)
        is_taken = 200 <= status < 300
        # 404 and 422 would come again; the platform reads the event when it looks the call up.
        is_hopeless = status in (404, 422) or now - event["first_try_at"] > GIVE_UP_AFTER
        wait = wait or WAITS[min(event["tries"], len(WAITS)) - 1]
        self._store.send_again(event["id"], None if is_taken or is_hopeless else now + wait)
        if not is_taken:
            log(f"event {event['id']} was answered {status or 'not at all'}")
        return True


def post(address, event_id, body, keys):
    """The status of the answer, 0 if there is none, and the seconds it asks to wait for."""
    timestamp = int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, event_id, timestamp, body) for key in keys),
    }
    parts = urlsplit(address)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = None
    try:
        connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=ANSWER_SECONDS)
        path = parts.path or "/"
        connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, headers)
        answer = connection.getresponse()
        wait = answer.getheader("retry-after", "")
        return answer.status, min(int(wait), 3600) if re.fullmatch("[0-9]{1,6}", wait) else 0
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return 0, 0
    finally:
        if connection:
            connection.close()


# --- Requests -----------------------------------------------------------------------------------

MAX_BODY_BYTES = 4 * 1024 * 1024
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
UNKNOWN = (404, {"reason": "unknown_call"})


def handler_of(calls, store, keys):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self):
            try:
                status, answer = self.answer()
            except Exception as error:  # whoever is in doubt says 500, and is asked again
                log(f"a request failed: {type(error).__name__}")
                status, answer = 500, {}
                self.close_connection = True
            self.say(status, answer)

        do_GET = do_POST

        def answer(self):
            length = self.headers.get("content-length") or "0"
            is_measured = (
                re.fullmatch("[0-9]{1,9}", length) and "transfer-encoding" not in self.headers
            )
            if not is_measured or int(length) > MAX_BODY_BYTES:
                self.close_connection = True  # what was not read would be taken for a request
                return 413, {"reason": "too_large"}
            body = self.rfile.read(int(length))
            if not is_signed(keys, self.headers, body, time.time()):
                return 401, {"reason": "not_signed"}
            return self.route(body)

        def route(self, body):
            if (self.command, self.path) == ("POST", "/calls"):
                return self.place(body)
            if self.command == "GET" and (found := re.fullmatch(f"/calls/({UUID})", self.path)):
                return self.look_up(found[1])
            cancel = re.fullmatch(f"/calls/({UUID})/cancel", self.path)
            if self.command == "POST" and cancel:
                return self.cancel(cancel[1])
            return 404, {"reason": "unknown_address"}

        def is_meant(self, action, call_id):
            """The signature covers neither method nor path, but the id names both."""
            return self.headers["webhook-id"].startswith(f"{action}_{call_id}_")

        def place(self, body):
            request = read_request(body)
            if request is None:
                return 400, {"reason": "unreadable"}
            call_id = request["callId"].lower()
            if not self.is_meant("place", call_id):
                return 401, {"reason": "another_request"}
            if not re.fullmatch(r"\+[1-9][0-9]{6,14}", request["to"]):
                return 422, {"reason": "invalid_number"}
            call = calls.place(call_id, request)
            if call is None:
                return 429, {"reason": "no_free_line"}
            return 200, {"id": call["id"], "from": NUMBER_FROM}

        def look_up(self, call_id):
            if not self.is_meant("look-up", call_id):
                return 401, {"reason": "another_request"}
            call = store.find_call(call_id)
            if call is None:
                return UNKNOWN
            told = {"id": call["id"], "from": NUMBER_FROM, "events": store.events_of(call_id)}
            return 200, told

        def cancel(self, call_id):
            if not self.is_meant("cancel", call_id):
                return 401, {"reason": "another_request"}
            is_closed = calls.close(call_id)
            if is_closed is None:
                return UNKNOWN
            return (200, {}) if is_closed else (503, {"reason": "not_closed_yet"})

        def say(self, status, answer):
            body = json.dumps(answer, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing: numbers and prompts belong in no log."""

    return Handler


def read_request(body):
    """A placement with what this agent needs of it; None if it cannot be read."""
    try:
        told = json.loads(body)
        datetime.fromisoformat(told["startedAt"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = [told.get(name) for name in ("callId", "to", "systemPrompt", "firstMessage")]
    if not all(isinstance(text, str) for text in texts):
        return None
    if not re.fullmatch(UUID, told["callId"].lower()):
        return None
    return told if isinstance(told.get("maxDurationSeconds"), int) else None


# --- All of it ----------------------------------------------------------------------------------


class Agent:
    """The whole agent; it serves from its making until `stop`."""

    def __init__(self, host, port, keys, path):
        self._store = Store(path)
        self._sender = Sender(self._store, keys)
        self._calls = Calls(self._store, self._sender)
        # A second agent at the same port fails here, before it meddles with the first one's calls.
        self._server = Server((host, port), handler_of(self._calls, self._store, keys))
        self.url = f"http://{host}:{self._server.server_port}"
        self._calls.take_up_again()  # before the first request, which may name one of them
        self._sender.start()
        threading.Thread(target=self._server.serve_forever, args=[0.1], daemon=True).start()

    def forget_old_calls(self):
        self._store.forget(time.time() - KEEP_SECONDS)

    def stop(self):
        """End as if killed: everything that is left to do is in the database."""
        self._server.shutdown()
        self._server.server_close()
        self._sender.stop()
        self._store.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    block_on_close = False


def log(text):
    print(text, file=sys.stderr, flush=True)


def main():
    keys = read_secrets(os.environ.get("AGENT_SECRET", ""))
    port = int(os.environ.get("PORT", "8090"))
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    host, database = os.environ.get("HOST", "127.0.0.1"), os.environ.get("AGENT_DATABASE")
    agent = Agent(host, port, keys, database or "agent.sqlite3")
    log(f"Listening at {agent.url}. Nobody is called: every conversation is scripted.")
    while not stop.wait(3600):
        agent.forget_old_calls()
    agent.stop()


if __name__ == "__main__":
    main()
