"""A database that is full, locked or gone: the request fails whole, and works when sent again."""

import os
import sqlite3
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from calls.models import CallLog
from campaigns.models import Batch, Campaign
from collections_platform.api.tests.factories import Api
from contacts.models import Contact
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db(transaction=True)
BULK = "/ai/phone-calls/action/call-bulk"
is_sqlite = os.environ["DATABASE_URL"].startswith("sqlite")
on_sqlite = pytest.mark.skipif(not is_sqlite, reason="SQLite's own trouble")
on_postgresql = pytest.mark.skipif(is_sqlite, reason="PostgreSQL's own trouble")
BODY = {
    "contacts": [
        {"numberToCall": f"+96650{number:07d}", "promptTags": {"amount": "5,000 SAR"}}
        for number in range(1500)
    ]
}


@pytest.fixture
def api() -> Iterator[Api]:
    make_template(is_default=True)
    yield Api()
    connection.close()


def check_that_nothing_was_stored(answer: Any) -> None:
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert answer.json() == {"detail": "The database does not answer. Try again."}
    for model in (Campaign, Batch, Contact, CallLog):
        assert model.objects.count() == 0


@on_sqlite
def test_a_full_disk(api: Api) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + 20}")
    check_that_nothing_was_stored(api.post(BULK, BODY))
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1073741823")
    assert api.post(BULK, BODY).status_code == 201


@on_sqlite
def test_a_locked_database(api: Api) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check_that_nothing_was_stored(api.post(BULK, BODY))
    other.execute("ROLLBACK")
    other.close()
    assert api.post(BULK, BODY).status_code == 201


@on_postgresql
def test_a_row_that_stays_locked(api: Api) -> None:
    first = api.post(BULK, BODY)
    assert first.status_code == 201
    with connect() as other:
        other.execute("LOCK TABLE contacts_contact")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 200")
        answer = api.post(BULK, BODY)
        other.rollback()
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert Campaign.objects.count() == 1
    assert api.post(BULK, BODY).status_code == 201


@on_postgresql
def test_a_connection_that_is_cut(api: Api) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with connect() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
    answer = api.post(BULK, BODY)
    connection.close()
    check_that_nothing_was_stored(answer)
    assert api.post(BULK, BODY).status_code == 201


def connect() -> psycopg.Connection[Any]:
    """A connection of its own to the tests' database."""
    known = connection.settings_dict
    return psycopg.connect(
        dbname=known["NAME"],
        host=known["HOST"],
        port=known["PORT"] or 5432,
        user=known["USER"],
        password=known["PASSWORD"],
    )
