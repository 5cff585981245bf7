import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.utils import timezone

from collections_platform.api import attempts
from collections_platform.api.attempts import (
    TOKEN_FAILURES_OF_CLIENT,
    Backoff,
    Limit,
    Window,
    prune_attempts,
)
from collections_platform.api.models import AttemptCount
from collections_platform.api.tests.factories import make_client
from collections_platform.ops.sweeping import sweep_once

pytestmark = pytest.mark.django_db
TOKEN = "/auth/v1/api-key/auth"
WRONG = "wrong"
NOBODY = "550e8400-e29b-41d4-a716-4466554400{:02d}"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


def ask(
    client_id: object, client_secret: str = WRONG, address: str = "192.0.2.1", **extra: Any
) -> Any:
    body = json.dumps({"clientId": str(client_id), "clientSecret": client_secret})
    kind = "application/json"
    return Client().post(TOKEN, body, content_type=kind, REMOTE_ADDR=address, **extra)


def fail(times: int, address: str = "192.0.2.1", **extra: Any) -> list[int]:
    """Wrong secrets of as many clients: only the address is the same."""
    return [ask(NOBODY.format(n), address=address, **extra).status_code for n in range(times)]


# --- The token endpoint, by address -------------------------------------------------------------


def test_an_address_has_20_failures_a_minute(clock) -> None:
    client, secret = make_client()
    assert fail(20) == [401] * 20
    refused = ask(client.pk, secret)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "60"
    assert list(refused.json()) == ["detail"]
    assert ask(client.pk, secret, address="192.0.2.2").status_code == 200
    clock.shift(59)
    assert ask(client.pk, secret)["Retry-After"] == "1"
    clock.shift(1)
    assert ask(client.pk, secret).status_code == 200


def test_an_address_has_100_failures_an_hour(clock) -> None:
    for _ in range(5):
        assert fail(20) == [401] * 20
        clock.shift(60)
    refused = ask(NOBODY.format(99))
    assert (refused.status_code, refused["Retry-After"]) == (429, str(3600 - 300))
    clock.shift(3300)
    assert ask(NOBODY.format(50)).status_code == 401


def test_tokens_that_are_bought_count_nothing(django_assert_max_num_queries) -> None:
    client, secret = make_client()
    for _ in range(25):
        assert ask(client.pk, secret).status_code == 200
    assert not AttemptCount.objects.exists()
    with django_assert_max_num_queries(4):  # waits, secrets, forgetting; the first: its use
        ask(client.pk, secret)


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    for host in range(20):
        ask(NOBODY.format(host), address=f"2001:db8:1:2::{host:x}")
    assert ask(NOBODY.format(99), address="2001:db8:1:2:ffff::1").status_code == 429
    assert ask(NOBODY.format(99), address="2001:db8:1:3::1").status_code == 401


def test_a_forged_forwarded_address_buys_no_further_attempts(settings) -> None:
    answers = [
        ask(NOBODY.format(n), headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
        for n in range(21)
    ]
    assert answers == [401] * 20 + [429]
    settings.TRUSTED_PROXIES = [ip_network("192.0.2.0/24")]
    headers = {"X-Forwarded-For": "198.51.100.7"}
    assert fail(20, headers=headers) == [401] * 20
    assert ask(NOBODY.format(99), headers=headers).status_code == 429
    assert ask(NOBODY.format(99), headers={"X-Forwarded-For": "198.51.100.8"}).status_code == 401


# --- The token endpoint, by client --------------------------------------------------------------


def test_failures_slow_a_client_id_down_but_a_right_secret_always_passes(clock) -> None:
    client, secret = make_client()
    somewhere = iter(f"198.51.100.{n}" for n in range(250))
    waits = []
    for _ in range(18):
        assert ask(client.pk, address=next(somewhere)).status_code == 401
        refused = ask(client.pk, address=next(somewhere))
        if refused.status_code == 401:
            continue
        assert refused.status_code == 429
        assert list(refused.json()) == ["detail"]
        waits.append(int(refused["Retry-After"]))
        assert TOKEN_FAILURES_OF_CLIENT.wait(str(client.pk)) == waits[-1]
        clock.shift(waits[-1])
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 900
    ask(client.pk, address=next(somewhere))
    assert ask(client.pk, address=next(somewhere)).status_code == 429
    assert ask(client.pk, secret, address=next(somewhere)).status_code == 200
    assert ask(client.pk, address=next(somewhere)).status_code == 401


def test_an_id_that_nobody_has_is_slowed_down_alike(clock) -> None:
    client, _ = make_client()
    for client_id in (client.pk, NOBODY.format(99), "no uuid"):
        answers = [ask(client_id, address=f"198.51.100.{n}") for n in range(6)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]


def test_spelling_an_id_otherwise_does_not_escape(clock) -> None:
    client, _ = make_client()
    spellings = [str(client.pk), str(client.pk).upper(), client.pk.hex, f"{{{client.pk}}}"] * 2
    answers = [
        ask(spelling, address=f"198.51.100.{n}").status_code for n, spelling in enumerate(spellings)
    ]
    assert answers == [401] * 5 + [429] * 3


def test_what_a_client_sends_about_itself_is_small() -> None:
    assert ask("x" * 20_000).status_code == 413


# --- Counting -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_threads_that_fail_at_once_get_no_more_than_the_limit() -> None:
    def one(number: int) -> int:
        try:
            return int(ask(NOBODY.format(number)).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = Counter(threads.map(one, range(40)))
    assert answers == {401: 20, 429: 20}


TAKE = """
import sys, django
django.setup()
from django.conf import settings
from django.db import connection
connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = sys.argv[1]
from collections_platform.api.attempts import TOKEN_FAILURES_OF_ADDRESS as limit
print(sum(limit.take("192.0.2.1") == 0 for _ in range(15)))
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_together_get_no_more_than_the_limit() -> None:
    name = str(connection.settings_dict["NAME"])
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "collections_platform.settings"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, name], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert sum(int(process.communicate()[0]) for process in processes) == 20


def test_a_wait_doubles_up_to_the_longest_and_is_forgotten(clock) -> None:
    limit = Limit("test", (Backoff(free=2, longest=5, forget_after=60),))
    granted, waits = 0, []
    for _ in range(6):
        granted += limit.take("me") == 0
        waits.append(limit.wait("me"))
        clock.shift(waits[-1])
    assert granted == 6
    assert waits == [0, 1, 2, 4, 5, 5]
    clock.shift(60)
    assert [limit.take("me"), limit.wait("me")] == [0, 0]


def test_one_subject_and_one_kind_do_not_count_for_another() -> None:
    one, other = (Limit(kind, (Window(1, 60),)) for kind in ("one", "other"))
    assert one.take("a") == 0
    assert one.take("a") > 0
    assert one.take("b") == other.take("a") == 0


def test_neither_addresses_nor_ids_nor_secrets_are_stored_or_logged(caplog) -> None:
    caplog.set_level(logging.DEBUG)
    client, _ = make_client()
    for number in range(21):
        ask(client.pk if number == 0 else NOBODY.format(number), client_secret="told-to-nobody")
    stored = json.dumps(list(AttemptCount.objects.values()), default=str)
    said = "".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("django.db")
    )
    assert AttemptCount.objects.exists()
    for word in ("192.0.2.1", str(client.pk), "told-to-nobody"):
        assert word not in stored
        assert word not in said


def test_what_counts_no_longer_is_deleted_by_the_sweep_and_little_at_a_time(
    clock, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries
) -> None:
    fail(10)
    clock.shift(60)
    alive = AttemptCount.objects.filter(expires_at__gt=timezone.now())
    assert AttemptCount.objects.count() > alive.count() > 0
    sweep_once()
    assert AttemptCount.objects.count() == alive.count()
    clock.shift(3600)
    monkeypatch.setattr(attempts, "MAX_PRUNED", 4)
    before = AttemptCount.objects.count()
    with django_assert_max_num_queries(5):  # two of them open and close a savepoint
        prune_attempts()
    assert AttemptCount.objects.count() == before - 4
    while AttemptCount.objects.exists():
        prune_attempts()


def test_a_count_that_has_expired_begins_anew() -> None:
    limit = Limit("test", (Window(1, 60),))
    with time_machine.travel(timezone.now() - timedelta(hours=1)):
        limit.take("me")
    assert [limit.take("me") == 0, limit.take("me") > 0] == [True, True]
