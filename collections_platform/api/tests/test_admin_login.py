from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from collections_platform.api.attempts import LOGINS_OF_USER
from collections_platform.api.models import AttemptCount

pytestmark = pytest.mark.django_db
LOGIN = reverse("admin:login")
WRONG = "wrong"
PASSWORD = "a good long password"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        yield clock


@pytest.fixture
def staff(transactional_db) -> str:
    get_user_model().objects.create_superuser("mona", password=PASSWORD)
    return "mona"


def log_in(username: str, password: str = WRONG, address: str = "192.0.2.1", **extra: Any) -> Any:
    data = {"username": username, "password": password, "next": reverse("admin:index")}
    return Client().post(LOGIN, data, REMOTE_ADDR=address, **extra)


def test_the_right_password_logs_in_and_a_wrong_one_says_so(staff: str) -> None:
    assert log_in(staff, PASSWORD).status_code == 302
    refused = log_in(staff)
    assert refused.status_code == 200
    assert "Please enter the correct" in refused.content.decode()
    assert Client().get(LOGIN).status_code == 200


def test_all_attempts_of_an_address_count_the_right_ones_too(staff: str, clock) -> None:
    assert {log_in(staff, PASSWORD).status_code for _ in range(10)} == {302}
    assert {log_in(f"user-{n}").status_code for n in range(10)} == {200}
    refused = log_in(staff, PASSWORD)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "60"
    assert "Too many attempts. Try again in 60 seconds." in refused.content.decode()
    assert "sessionid" not in refused.cookies
    assert log_in(staff, PASSWORD, address="192.0.2.2").status_code == 302
    clock.shift(60)
    assert log_in(staff, PASSWORD).status_code == 302


def test_an_address_has_100_attempts_an_hour(clock) -> None:
    for _ in range(5):
        assert {log_in(f"user-{n}").status_code for n in range(20)} <= {200, 429}
        clock.shift(60)
    refused = log_in("somebody")
    assert refused.status_code == 429
    assert "Try again in 55 minutes." in refused.content.decode()


def test_failures_of_a_user_name_slow_it_down_wherever_they_come_from(staff: str, clock) -> None:
    for n in range(5):
        assert log_in(staff, address=f"198.51.100.{n}").status_code == 200
    refused = log_in(staff, PASSWORD, address="198.51.100.50")
    assert (refused.status_code, refused["Retry-After"]) == (429, "1")
    assert "Try again in 1 second." in refused.content.decode()
    waits = []
    for n in range(100, 110):
        clock.shift(LOGINS_OF_USER.wait(staff))
        assert log_in(staff, address=f"198.51.100.{n}").status_code == 200
        waits.append(LOGINS_OF_USER.wait(staff))
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    assert log_in("another", address="198.51.100.51").status_code == 200
    clock.shift(60)
    assert log_in(staff, PASSWORD).status_code == 302
    assert log_in(staff).status_code == 200


def test_a_name_that_nobody_has_is_slowed_down_alike(clock) -> None:
    answers = [log_in("nobody", address=f"198.51.100.{n}").status_code for n in range(6)]
    assert answers == [200] * 5 + [429]


def test_guesses_at_the_same_time_count_too(staff: str, clock) -> None:
    def one(number: int) -> int:
        try:
            return int(log_in(staff, address=f"198.51.100.{number}").status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(one, range(8)))
    assert sorted(answers) == [200] * 5 + [429] * 3


def test_a_forwarded_address_counts_behind_a_trusted_proxy_only(settings) -> None:
    def answer(number: int) -> int:
        headers = {"X-Forwarded-For": f"198.51.100.{number}"}
        return int(log_in(f"user-{number}", headers=headers).status_code)

    assert [answer(number) for number in range(21)] == [200] * 20 + [429]
    settings.TRUSTED_PROXIES = [ip_network("192.0.2.1")]
    assert answer(21) == 200


def test_a_form_without_name_or_password_is_no_attempt() -> None:
    assert log_in("mona", "").status_code == 200
    assert not AttemptCount.objects.exists()
