"""The platform's rows, read past the platform: straight from the database, whatever is broken."""

import sqlite3
from typing import Any
from uuid import UUID

import psycopg

from tests.chaos.checks import Row

OPEN = {
    "calls": "SELECT COUNT(*) FROM calls_calllog WHERE ended_at IS NULL",
    "campaigns": "SELECT COUNT(*) FROM campaigns_campaign WHERE status <> 'completed'",
    "deliveries": "SELECT COUNT(*) FROM calls_webhookdelivery WHERE status = 'pending'",
}
CALLS = """
    SELECT id, call_id, attempt, campaign_id, phone_number, status, outcome, ended_reason,
        ended_at IS NOT NULL
    FROM calls_calllog
"""
# `mend` is a clock: nobody gives it back.
LEASES = """
    SELECT 'batch ' || id FROM campaigns_batch WHERE lease_until > {now}
    UNION ALL SELECT name FROM calls_singletontask WHERE lease_until > {now} AND name <> 'mend'
"""
NOW = {"sqlite": "STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')", "postgresql": "clock_timestamp()"}


class Database:
    """Reads one database by its address, without any proxy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        if self.is_sqlite:
            file = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=60)
            try:
                return file.execute(sql).fetchall()
            finally:
                file.close()
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def open_things(self) -> dict[str, int]:
        """How much has not ended, by kind; nothing but zeros once it is quiet."""
        return {kind: int(self.ask(sql)[0][0]) for kind, sql in OPEN.items()} | {
            "leases": len(self.leases())
        }

    def leases(self) -> list[str]:
        """The leases that are held and have not run out."""
        now = NOW["sqlite" if self.is_sqlite else "postgresql"]
        return [str(name) for (name,) in self.ask(LEASES.format(now=now))]

    def calls(self) -> list[Row]:
        return [
            Row(
                uuid(pk),
                uuid(call),
                attempt,
                uuid(campaign),
                number,
                status,
                outcome,
                why,
                bool(end),
            )
            for pk, call, attempt, campaign, number, status, outcome, why, end in self.ask(CALLS)
        ]

    def campaign_ids(self) -> list[str]:
        return [uuid(pk) for (pk,) in self.ask("SELECT id FROM campaigns_campaign")]

    def deliveries(self) -> dict[str, int]:
        rows = self.ask("SELECT status, COUNT(*) FROM calls_webhookdelivery GROUP BY status")
        return {status: int(number) for status, number in rows}

    def end_connections(self) -> None:
        """Have PostgreSQL end every other connection to this database, and to no other."""
        self.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def uuid(value: Any) -> str:
    """As the API writes it: SQLite keeps 32 digits."""
    return str(UUID(str(value)))
