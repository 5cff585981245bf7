"""Each check finds what it is there for, and nothing where all is well."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.signing import SignedPackage

from calls.models import DeliveryStatus, ProviderAccount, WebhookDelivery
from calls.statuses import CallStatus
from calls.tests.factories import make_call, make_endpoint
from campaigns.clock import database_now
from campaigns.models import CampaignStatus
from campaigns.tests.factories import make_batch, make_campaign
from collections_platform.ops.doctor import examine
from collections_platform.ops.doctor.problem import lasting
from collections_platform.ops.models import WorkerProcess
from collections_platform.ops.servers import redis_client
from collections_platform.ops.tests.factories import make_worker
from templates.models import AISettingsTemplate
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
postgresql = pytest.mark.skipif(
    settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"),
    reason="SQLite has no clock but its machine's",
)


@pytest.fixture(autouse=True)
def well() -> Iterator[None]:
    """An installation of which the doctor has nothing to say."""
    make_worker()
    AISettingsTemplate.objects.filter(pk=make_template().pk).update(is_default=True)
    get_broker().purge_queue()
    yield
    get_broker().purge_queue()


def ago(**time: float) -> datetime:
    return database_now() - timedelta(**time)


def told() -> dict[str, str]:
    """What is found, by the check that found it."""
    return {name: problem.sentence for name, problem in examine().found if name != "calls.W001"}


def doctor(*options: str) -> tuple[int, str]:
    """The exit status and what the command prints."""
    out = StringIO()
    try:
        call_command("doctor", *options, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def make_delivery(**what_matters: Any) -> WebhookDelivery:
    endpoint = what_matters.pop("endpoint", None) or make_endpoint()
    fields = {"endpoint": endpoint, "event_type": "webhook.test", "next_attempt_at": timezone.now()}
    return WebhookDelivery.objects.create(**fields | what_matters)


# --- The command --------------------------------------------------------------------------------


def test_where_nothing_is_wrong_all_is_well() -> None:
    assert told() == {}
    status, text = doctor()
    assert status == 0
    assert text.startswith("All is well.\n")
    assert "Worker on worker-1 (4711): seen " in text


def test_what_is_wrong_is_told_with_its_remedy_and_status_1() -> None:
    ProviderAccount.objects.create(name="main", provider="nobody")
    status, text = doctor()
    assert status == 1
    assert "All is well" not in text
    assert text.startswith(
        "Wrong: Nobody knows the provider “nobody” of the account “main”.\n"
        "  Choose one of http, retell, simulated, vapi, or install the code that knows it.\n"
    )


def test_a_note_is_told_and_nothing_is_wrong() -> None:
    AISettingsTemplate.objects.update(is_default=False)
    status, text = doctor()
    assert status == 0
    assert text.startswith("Note: There is no default template")
    assert "\nAll is well.\n" in text


def test_programs_get_everything_in_json() -> None:
    account = ProviderAccount.objects.create(name="main", provider="nobody", max_live=3)
    make_call(status=CallStatus.RINGING, account=account)
    make_call(batch=make_batch(), not_before=ago(minutes=1))
    make_delivery(next_attempt_at=ago(minutes=1))
    status, text = doctor("--json")
    data = json.loads(text)
    assert status == 1
    assert data["isWell"] is False
    assert data["found"] == [
        {
            "check": "unknown_providers",
            "sentence": "Nobody knows the provider “nobody” of the account “main”.",
            "remedy": "Choose one of http, retell, simulated, vapi, or install the code that"
            " knows it.",
            "isNote": False,
        }
    ]
    figures = data["figures"]
    assert figures["calls"] == {"ringing": 1, "queued": 1}
    assert figures["accounts"] == [
        {"name": "main", "live": 1, "maximum": 3},
        {"name": "simulated", "live": 0, "maximum": None},
    ]
    assert 60 <= figures["oldestDueCallSeconds"] < 120
    assert figures["deliveries"]["due"] == 1
    assert 60 <= figures["deliveries"]["oldestDueSeconds"] < 120
    assert figures["queue"] == {"length": 0, "oldestSeconds": None}
    assert figures["workers"][0]["host"] == "worker-1"


def test_an_examination_costs_the_same_whatever_there_is(django_assert_max_num_queries) -> None:
    with django_assert_max_num_queries(40) as before:
        examine()
    for _ in range(5):
        make_call(batch=make_batch(lease_until=ago(hours=1), lease_token=uuid4()))
        make_delivery()
        make_worker()
        make_campaign(status=CampaignStatus.SCHEDULED, starts_at=ago(hours=1))
        make_call(status=CallStatus.RINGING)
    with django_assert_max_num_queries(len(before)):
        examine()


def test_a_check_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collections_platform.ops.doctor.work.PROVIDERS", None)
    make_call(status=CallStatus.RINGING, started_at=ago(hours=3))  # makes the account, too
    found = told()
    assert found["unknown_providers"].startswith(
        "What unknown_providers is to tell cannot be found out: TypeError at work.py:"
    )
    assert "endless_calls" in found


# --- The installation ---------------------------------------------------------------------------


def test_a_database_that_is_gone_is_told_and_the_settings_are_still_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("password=secret")

    monkeypatch.setattr(settings, "DEBUG", True)
    with connection.execute_wrapper(refuse):
        status, text = doctor()
    assert status == 1
    assert "Wrong: The database does not answer (OperationalError)." in text
    assert "DEBUG is on" in text
    assert "secret" not in text
    assert "Worker" not in text


def test_missing_migrations_are_counted_and_no_table_is_read() -> None:
    MigrationRecorder(connection).migration_qs.filter(app="ops").delete()
    assert told() == {
        "migrations": "The database is older than this code: 1 migrations are not applied."
    }


def test_a_redis_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    redis_client.cache_clear()
    monkeypatch.setattr(settings, "REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    found = told()
    redis_client.cache_clear()
    assert found["broker"].startswith("The queue's broker does not answer (ConnectionError)")
    assert "queue" not in found


@pytest.mark.skipif(not settings.REDIS_URL, reason="speaks of Redis")
def test_a_redis_that_may_throw_the_queue_away_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {"maxmemory": 1000, "maxmemory_policy": "allkeys-lru"}
    monkeypatch.setattr(
        "collections_platform.ops.doctor.installation.redis_client",
        lambda: type("Client", (), {"info": lambda *_: memory}),
    )
    assert "maxmemory-policy allkeys-lru" in told()["redis_memory"]


@pytest.mark.parametrize(
    ("check", "name", "value"),
    [
        ("debug", "DEBUG", True),
        ("stop_seconds", "WORKER_STOP_SECONDS", 11),
        ("queue_timeout", "Q_CLUSTER", settings.Q_CLUSTER | {"timeout": 60}),
        ("queue_retry", "Q_CLUSTER", settings.Q_CLUSTER | {"retry": 360}),
        ("system_checks", "CALL_PROVIDER", "nobody"),
    ],
)
def test_settings_that_do_harm_are_told(
    check: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, name, value)
    assert check in told()


@pytest.mark.parametrize("workers", [1, 2, 4, 64])
def test_our_own_settings_of_the_queue_are_right_for_any_number_of_workers(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = settings.Q_CLUSTER | {"workers": workers, "queue_limit": workers}
    monkeypatch.setattr(settings, "Q_CLUSTER", cluster)
    assert told() == {}


def test_a_disk_that_is_nearly_full_is_told(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "MEDIA_ROOT", str(tmp_path))
    monkeypatch.setattr("collections_platform.ops.doctor.installation.FULL_BYTES", 2**80)
    assert told()["disk"].endswith("MiB are free on the disk of the database.") or (
        told()["disk"].endswith("MiB are free on the disk of MEDIA_ROOT.")
    )


# --- The workers --------------------------------------------------------------------------------


def test_no_worker_is_told_with_the_time_of_the_last() -> None:
    WorkerProcess.objects.update(seen_at=ago(minutes=7))
    found = told()
    assert found == {
        "no_worker": "No worker is running: nothing is done. The last one was seen 7 min ago."
    }


def test_a_worker_that_was_lost_beside_others_is_told() -> None:
    make_worker(host="worker-2", pid=9, seen_at=ago(hours=3))
    assert told() == {
        "lost_worker": "The worker on worker-2 (process 9) was last seen 3 h ago and was not "
        "stopped."
    }


def test_workers_of_another_queue_are_told() -> None:
    make_worker(queue="other")
    assert told()["other_queue"].startswith("Workers serve the queue “other”, but QUEUE_NAME is “")


def test_workers_of_another_version_are_told() -> None:
    make_worker(host="worker-2", version="0.9")
    assert told() == {"other_version": "The worker on worker-2 runs version 0.9, this is 1.0.0."}


@pytest.mark.parametrize("swept", [{"minutes": 4}, None])
def test_sweeps_that_fail_are_told(swept: dict[str, float] | None) -> None:
    WorkerProcess.objects.update(
        swept_at=ago(**swept) if swept else None, started_at=ago(minutes=4)
    )
    assert told()["last_sweep"].startswith("No sweep has gone well for 4 min")


@postgresql
@pytest.mark.parametrize(("by", "words"), [(10.5, "10 s ahead of"), (-200, "3 min behind")])
def test_a_worker_whose_clock_is_wrong_is_told(by: float, words: str) -> None:
    make_worker(host="worker-2", machine_time=database_now() + timedelta(seconds=by))
    found = told()["workers_clock"]
    assert found == f"The clock of worker-2 is {words} the database's."


@postgresql
def test_our_own_clock_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    real = timezone.now
    monkeypatch.setattr(
        "collections_platform.ops.doctor.facts.timezone.now",
        lambda: real() + timedelta(minutes=5),
    )
    assert told()["own_clock"].endswith("min ahead of the database's.")


# --- The work -----------------------------------------------------------------------------------


def test_due_calls_that_no_worker_is_at_are_told() -> None:
    make_call(not_before=ago(minutes=5))
    assert told() == {
        "unattended_calls": "Calls have been due for 5 min, and no worker is at any of them."
    }


@pytest.mark.parametrize(
    "why_not",
    ["not due", "not for long", "campaign is paused", "another is held", "account is held", "full"],
)
def test_calls_that_wait_for_a_reason_are_not_told(why_not: str) -> None:
    status = "paused" if why_not == "campaign is paused" else "running"
    batch = make_batch(campaign=make_campaign(status=status))
    minutes = {"not due": -5, "not for long": 1}.get(why_not, 5)
    make_call(batch=batch, not_before=ago(minutes=minutes))
    if why_not == "another is held":
        make_batch(lease_token=uuid4(), lease_until=ago(minutes=-1))
    if why_not == "account is held":
        held = {"held_since": ago(minutes=1), "held_until": ago(minutes=-1), "held_reason": "x"}
        ProviderAccount.objects.create(name="main", provider="simulated", **held)
    if why_not == "full":
        account = ProviderAccount.objects.create(name="main", provider="simulated", max_live=1)
        make_call(status=CallStatus.RINGING, account=account)
    assert not {"unattended_calls", "abandoned_batches"} & set(told())


def test_a_batch_whose_worker_did_not_come_back_is_told() -> None:
    batch = make_batch(lease_token=uuid4(), lease_until=ago(minutes=3))
    make_call(batch=batch)
    assert told() == {
        "abandoned_batches": "1 batches were left by a worker more than 2 min ago, and no other has"
        " taken them up."
    }


def test_an_old_lease_on_a_batch_that_has_no_more_calls_is_not_told() -> None:
    make_batch(lease_token=uuid4(), lease_until=ago(minutes=3))
    assert told() == {}


def test_a_call_that_does_not_end_is_told() -> None:
    make_call(status=CallStatus.IN_PROGRESS, started_at=ago(minutes=9))
    assert told() == {}
    make_call(status=CallStatus.IN_PROGRESS, started_at=ago(minutes=130))
    assert told() == {
        "endless_calls": "A call has been under way for 2 h, though its maximum is 5 min."
    }


def test_a_campaign_that_has_not_started_is_told() -> None:
    make_campaign(status=CampaignStatus.SCHEDULED, starts_at=ago(minutes=1))
    assert told() == {}
    late = make_campaign(status=CampaignStatus.SCHEDULED, starts_at=ago(minutes=10))
    assert told() == {
        "unstarted_campaigns": f"Campaign {late.pk} was to start 10 min ago and has not."
    }


def test_a_held_account_is_told_with_its_reason() -> None:
    held = {"held_since": ago(minutes=10), "held_until": ago(minutes=-1)}
    ProviderAccount.objects.create(
        name="main", provider="simulated", held_reason="5 placements failed", **held
    )
    assert told() == {
        "held_accounts": "The provider account “main” has been held for 10 min: 5 placements "
        "failed."
    }


def test_an_endpoint_that_was_disabled_for_failing_is_told_and_one_by_hand_is_not() -> None:
    make_endpoint(disabled_at=ago(hours=1))
    assert told() == {}
    endpoint = make_endpoint(
        url="https://example.com/hooks?token=secret",
        disabled_at=ago(hours=1),
        failing_since=ago(days=5, hours=2),
    )
    assert told() == {
        "disabled_endpoints": f"Webhook endpoint {endpoint.pk} (example.com) was disabled after it "
        "had failed for 5 days; its deliveries wait."
    }


def test_an_endpoint_that_fails_while_deliveries_wait_is_told() -> None:
    endpoint = make_endpoint(failing_since=ago(minutes=30))
    assert told() == {}
    make_delivery(endpoint=endpoint, next_attempt_at=ago(minutes=-30))
    assert told()["failing_endpoints"].endswith(
        "(127.0.0.1) has failed for 30 min; after 5 days it is disabled."
    )


def test_a_delivery_that_nobody_sends_is_told() -> None:
    make_delivery(next_attempt_at=ago(minutes=9))
    make_delivery(next_attempt_at=ago(hours=9), endpoint=make_endpoint(disabled_at=ago(hours=1)))
    assert told() == {}
    make_delivery(next_attempt_at=ago(minutes=30))
    assert told()["overdue_deliveries"].endswith("(127.0.0.1) has been due for 30 min.")


def test_deliveries_that_were_given_up_are_counted_for_a_week() -> None:
    for days in (1, 2, 8):
        make_delivery(status=DeliveryStatus.DEAD, created_at=ago(days=days))
    assert told() == {"dead_deliveries": "2 webhook deliveries of the last 7 days were given up."}


def test_a_queue_that_stands_still_is_told() -> None:
    enqueue(started=ago(minutes=9))
    assert told() == {}
    get_broker().purge_queue()
    enqueue(started=ago(minutes=11))
    enqueue(started=ago(minutes=1))
    assert told() == {"long_queue": "2 tasks wait in the queue, the first for 11 min."}


def test_a_task_signed_with_another_key_does_not_stop_the_doctor() -> None:
    get_broker().enqueue("nonsense")
    assert told() == {}
    assert examine().figures["queue"] == {"length": 1, "oldestSeconds": None}


def enqueue(started: datetime) -> None:
    get_broker().enqueue(SignedPackage.dumps({"id": "x", "name": "x", "started": started}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (2e5, "2 days")],
)
def test_lengths_of_time_in_words(seconds: float, words: str) -> None:
    assert lasting(timedelta(seconds=seconds)) == words
