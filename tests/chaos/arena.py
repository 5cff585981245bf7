"""A platform of two machines, the far side of its calls, a receiver of its webhooks, and a client
that asks again until it is answered: real processes, and everything that may happen to them.
"""

import base64
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx2
import redis

from collections_platform.ops.processes import Child
from collections_platform.ops.supervisor import is_ready
from collections_platform.ops.webhook_receiver import Received, WebhookReceiver
from tests.chaos.checks import Evidence, Webhook
from tests.chaos.far_side import dice_of, signature_fault
from tests.chaos.killer import Killer
from tests.chaos.proxy import Proxy, proxy_for
from tests.chaos.rows import Database
from tests.processes import MANAGE, Platform, free_port, fresh_database, pid_of, wait_until

RUN_WORKER = [*MANAGE, "run_worker"]
FAR_SIDE = [sys.executable, "-m", "tests.chaos.far_side"]
REDIS_DATABASE = 9  # ours alone: it is flushed
TICK_SECONDS = 0.1
START_AGAIN_SECONDS = 0.5
CLIENT_SECONDS = 180
# Every call ends within this time, once the trouble and the backlog it left are over; until then
# none of it passes without calls ending. A tenth of the calls is no backlog.
ENDED_WITHIN_SECONDS = 120
BACKLOG = 0.1
# Then all is told: what a worker had claimed to send when it died is due again after 120 s.
TOLD_WITHIN_SECONDS = 150
MAX_LIVE = 60
WORDS = ["PROMISE_TO_PAY", "ALREADY_PAID", "REFUSED", "NO_COMMITMENT"]
SETUP = """
import json
from calls.models import ProviderAccount
from templates.models import AISettingsTemplate
template = AISettingsTemplate.objects.create(name="chaos", is_default=True)
template.revise(
    system_prompt="Ask for {{{{amount}}}}.",
    max_duration_seconds=10,
    outcomes=[{{"word": word, "description": "It is so."}} for word in {words!r}],
)
ProviderAccount.objects.create(
    name="far side",
    provider="http",
    is_default=True,
    settings={{"url": {url!r}}},
    credentials=json.dumps({{"secret": {secret!r}}}),
    max_live={max_live!r},
)
"""


class Receiver(WebhookReceiver):
    """Reads and keeps every webhook; refuses one in twenty the first time, to have it told again.

    `secret` is to be set before the first comes.
    """

    def __init__(self, seed: str, tolerance: float) -> None:
        self.secret = ""
        self.tolerance = tolerance
        self.webhooks: list[Webhook] = []
        self._dice = dice_of("receiver", seed)
        self._known: set[str] = set()
        self._lock = Lock()
        super().__init__()
        self._server.handle_error = self._bear  # type: ignore[method-assign, assignment]

    def _bear(self, *_: object) -> None:
        """Senders die in the middle of a request: that is what happens here."""

    def answer(self, request: Received) -> HTTPStatus:
        webhook = self._read(request)
        with self._lock:
            self.webhooks.append(webhook)
            is_new = webhook.webhook_id not in self._known
            self._known.add(webhook.webhook_id)
            refuse = is_new and self._dice.random() < 0.05
        return HTTPStatus.INTERNAL_SERVER_ERROR if refuse else HTTPStatus.NO_CONTENT

    def _read(self, request: Received) -> Webhook:
        content = json.loads(request.body)
        data = content["data"]
        is_call = content["type"] == "phone_call.ended"
        return Webhook(
            webhook_id=request.headers.get("webhook-id", ""),
            kind=content["type"],
            about=data["attemptId"] if is_call else data["campaignId"],
            is_signed=not signature_fault(
                self.secret, request.headers, request.body, self.tolerance
            ),
            told=data["callOutput"] if is_call else "",
        )


class Client:
    """Buys tokens, and repeats a request until it is answered; threads may share it."""

    def __init__(self, url: str, credentials: dict[str, str]) -> None:
        self.url = url
        self.credentials = credentials
        self.repeats = 0

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of a 2xx answer; asks again after anything but a definite refusal."""
        deadline = time.monotonic() + CLIENT_SECONDS
        while True:
            try:
                token = self._send("POST", "/auth/v1/api-key/auth", json=self.credentials)
                headers = {"Authorization": f"Bearer {token['access_token']}"}
                headers |= request.get("headers", {})
                return self._send(method, path, **(request | {"headers": headers}))
            except (httpx2.HTTPError, Unanswered) as error:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{method} {path}: {error!r}") from error
                self.repeats += 1
                time.sleep(0.3)

    def call_bulk(self, numbers: Sequence[str], key: str) -> dict[str, str]:
        """Have these numbers called by one campaign; returns the number by call id."""
        contacts = [{"numberToCall": n, "promptTags": {"amount": "100 SAR"}} for n in numbers]
        answer = self.ask(
            "POST",
            "/ai/phone-calls/action/call-bulk",
            json={"contacts": contacts, "batchSize": 100},
            headers={"Idempotency-Key": key},
        )
        return {call["callId"]: call["numberToCall"] for call in answer["calls"]}

    def _send(self, method: str, path: str, **request: Any) -> Any:
        # A connection of its own: the server behind it may just have died.
        answer = httpx2.request(method, self.url + path, timeout=60, **request)
        if answer.status_code >= 500 or answer.status_code in {401, 429}:
            raise Unanswered(answer.status_code)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()


class Unanswered(Exception):
    """An answer that says nothing."""


class Quiet:
    """Decides when the wait for quiet is over: all is done, or it takes too long."""

    def __init__(self, accepted: int, kinds: Collection[str] = ()) -> None:
        self.backlog = accepted * BACKLOG
        self.kinds = kinds
        self.open_things: dict[str, int] = {}
        self._fewest = math.inf
        self._since = 0.0

    def is_over(self, open_things: dict[str, int], now: float) -> bool:
        """`open_things`: how much is open at `now`, by kind."""
        calls, self.open_things = open_things["calls"], open_things
        if not any(open_things[kind] for kind in self.kinds or open_things):
            return True
        if calls < self._fewest and (not calls or self._fewest > self.backlog):
            self._since = now
        self._fewest = min(calls, self._fewest)
        return now - self._since > (ENDED_WITHIN_SECONDS if calls else TOLD_WITHIN_SECONDS)


class Arena:
    """Starts everything, and ends it with its `with` block. `folder` keeps what was said."""

    def __init__(
        self,
        name: str,
        seed: str,
        *,
        mischief: bool = False,
        proxied: bool = False,
        tolerance: float = 300,
        second_machine: dict[str, str] | None = None,
    ) -> None:
        self.seed = seed
        self.mischief = mischief
        self.proxied = proxied
        self.tolerance = tolerance
        self.second_machine = second_machine or {}
        self.folder = Path(tempfile.mkdtemp(prefix=f"chaos-{name}-"))
        self.secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        self.far_side = f"http://127.0.0.1:{free_port()}"
        self.web_port = free_port()
        self.accepted: dict[str, str] = {}
        self.machines: list[Child] = []
        self.restarts = 0
        self.proxies: list[Proxy] = []
        self.killer = Killer(seed, lambda: [pid_of(c) for c in self.machines if c.is_running])
        self._stack = ExitStack()
        self._threads = ThreadPoolExecutor(4)

    # --- Begin and end --------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        url = self._stack.enter_context(fresh_database(self.folder))
        self.database = Database(url)
        self.receiver = self._stack.enter_context(Receiver(self.seed, self.tolerance))
        environment = {
            "DATABASE_URL": self._by_proxy(url, 5432),
            "REDIS_URL": self._redis_url(),
            "PUBLIC_URL": f"http://127.0.0.1:{self.web_port}",
            "QUEUE_WORKERS": "2",
            "LOG_LEVEL": "INFO",
        }
        self.platform = Platform(self.folder, **environment)
        self._stack.callback(self.platform.stop)
        self.platform.manage("migrate", "--verbosity", "0")
        self._start_far_side()
        setup = SETUP.format(url=self.far_side, secret=self.secret, words=WORDS, max_live=MAX_LIVE)
        self.platform.manage("shell", "--verbosity", "0", "--command", setup)
        kinds = ["--event", "phone_call.ended", "--event", "campaign.completed"]
        endpoint = self.platform.manage("add_webhook_endpoint", self.receiver.url, *kinds)
        self.receiver.secret = str(json.loads(endpoint)["secret"])
        credentials = json.loads(self.platform.manage("create_api_client", "chaos"))
        self.client = Client(f"http://127.0.0.1:{self.web_port}", credentials)
        self.machines.append(self.platform.start_serve(self.web_port))
        self.machines.append(
            self.platform.start_other("run_worker", RUN_WORKER, **self.second_machine)
        )
        wait_until(lambda: is_ready("127.0.0.1", self.web_port), 60)

    def _start_far_side(self) -> None:
        options = ["--port", str(urlsplit(self.far_side).port), "--secret", self.secret]
        options += ["--seed", self.seed, "--tolerance", str(self.tolerance)]
        options += ["--mischief"] if self.mischief else []
        self.platform.start_other("far side", [*FAR_SIDE, *options])
        wait_until(self._far_side_answers, 30)

    def _far_side_answers(self) -> bool:
        try:
            return bool(self.record())
        except httpx2.HTTPError:
            return False

    def _redis_url(self) -> str:
        if not (url := os.environ.get("TEST_REDIS_URL", "")):
            return ""
        own = urlunsplit(urlsplit(url)._replace(path=f"/{REDIS_DATABASE}"))
        self.redis = redis.Redis.from_url(own)
        self._stack.callback(self.redis.close)
        return self._by_proxy(own, 6379)

    def _by_proxy(self, url: str, default_port: int) -> str:
        if not self.proxied or url.startswith("sqlite:"):
            return url
        proxy = self._stack.enter_context(proxy_for(url, default_port))
        self.proxies.append(proxy)
        return proxy.in_front_of(url)

    # --- What a client does ---------------------------------------------------------------------

    def call_bulk(self, numbers: Sequence[str], key: str) -> Future[dict[str, str]]:
        """Send a bulk request from another thread, again and again until it is answered."""
        return self._threads.submit(self.client.call_bulk, numbers, key)

    # --- What happens meanwhile -----------------------------------------------------------------

    def run(
        self,
        seconds: float,
        *,
        killer: Killer | None = None,
        until: Callable[[], bool] = lambda: False,
        steps: Iterable[tuple[float, Callable[[], object]]] = (),
    ) -> None:
        """Let time pass, `seconds` at most; a machine that dies is started again. `steps` are done
        at their second.
        """
        began = time.monotonic()
        waiting = sorted(steps, key=lambda step: step[0])
        while (passed := time.monotonic() - began) < seconds and not until():
            for machine in self.machines:
                if not machine.is_running:
                    time.sleep(START_AGAIN_SECONDS)
                    self.platform.start_again(machine)
                    self.restarts += 1
            if killer:
                killer.tick()
            while waiting and waiting[0][0] <= passed:
                waiting.pop(0)[1]()
            time.sleep(TICK_SECONDS)

    def accept(self, *answers: Future[dict[str, str]], killer: Killer | None = None) -> None:
        """Wait for the answers to bulk requests and note what was accepted."""
        self.run(CLIENT_SECONDS, killer=killer, until=lambda: all(a.done() for a in answers))
        for answer in answers:
            self.accepted |= answer.result(0)

    def wait_for_quiet(self, kinds: Collection[str] = ()) -> dict[str, float]:
        """Wait until nothing (of these kinds) is open, or until it takes too long; returns what is
        open then, and `seconds` that it took.
        """
        quiet = Quiet(len(self.accepted), kinds)

        def is_over() -> bool:
            time.sleep(0.4)
            return quiet.is_over(self.database.open_things(), time.monotonic())

        began = time.monotonic()
        self.run(math.inf, until=is_over)
        return {**quiet.open_things, "seconds": round(time.monotonic() - began)}

    # --- What is found --------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        answer = httpx2.get(f"{self.far_side}/record", timeout=60)
        record: dict[str, Any] = answer.json()
        return record

    def set_mischief(self, chances: dict[str, float]) -> None:
        httpx2.post(f"{self.far_side}/mischief", json=chances, timeout=60)

    def evidence(self, **expected: Any) -> Evidence:
        campaigns = self.database.campaign_ids()
        return Evidence(
            accepted=self.accepted,
            campaigns=[self.client.ask("GET", f"/ai/campaigns/{pk}") for pk in campaigns],
            rows=self.database.calls(),
            record=self.record(),
            webhooks=list(self.receiver.webhooks),
            leases=self.database.leases(),
            deliveries=self.database.deliveries(),
            max_live=MAX_LIVE,
            **expected,
        )


def numbers(count: int, first: int = 0) -> list[str]:
    return [f"+96650{number:07d}" for number in range(first, first + count)]
