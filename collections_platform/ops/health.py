"""Is the platform there, and can it work? Both addresses are open to anybody, and name nobody."""

from collections.abc import Callable, Iterable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Max
from django.http import HttpRequest, JsonResponse
from redis import RedisError

from campaigns.clock import database_now
from collections_platform.ops.models import SEEN_WITHIN, WorkerProcess
from collections_platform.ops.servers import ask_broker, ask_database, unapplied_migrations

OK = "ok"


def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers: it needs no restart, whatever the database does."""
    return JsonResponse({"status": OK})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 if every check says ok, else 503; `?checks=database,migrations` asks for these alone.

    A name that is no check is 422.
    """
    names = request.GET["checks"].split(",") if "checks" in request.GET else list(CHECKS)
    if not set(names) <= set(CHECKS):
        known = ", ".join(CHECKS)
        error = {"loc": ["query", "checks"], "msg": f"Choose from {known}", "type": "value_error"}
        return JsonResponse({"detail": [error]}, status=422)
    checks = ask(name for name in CHECKS if name in names)
    is_ready = all(answer == OK for answer in checks.values())
    status = OK if is_ready else "not ready"
    return JsonResponse({"status": status, "checks": checks}, status=200 if is_ready else 503)


def ask(names: Iterable[str]) -> dict[str, str]:
    """What each of these checks says. A database that does not answer is asked only once, and
    Redis waits no longer than three seconds.
    """
    answers: dict[str, str] = {}
    for name in names:
        if answers.get("database", OK) != OK and (name != "broker" or not settings.REDIS_URL):
            answers[name] = answers["database"]
            continue
        try:
            answers[name] = CHECKS[name]()
        except (DatabaseError, InterfaceError):
            answers[name] = "the database does not answer"
        except RedisError:
            answers[name] = "Redis does not answer"
    return answers


def check_database() -> str:
    ask_database()
    return OK


_migrated: set[str] = set()  # databases; what is applied once stays so while the process lives


def check_migrations() -> str:
    name = str(connection.settings_dict["NAME"])
    if name not in _migrated:
        if missing := len(unapplied_migrations()):
            return f"{missing} not applied"
        _migrated.add(name)
    return OK


def check_broker() -> str:
    ask_broker()
    return OK


def check_worker() -> str:
    """Has a worker of this queue told of itself lately?"""
    workers = WorkerProcess.objects.filter(queue=settings.QUEUE_NAME)
    seen_at = workers.aggregate(latest=Max("seen_at"))["latest"]
    if seen_at is None:
        return "no worker has been seen"
    unseen_for = database_now() - seen_at
    if unseen_for > SEEN_WITHIN:
        return f"no worker has been seen for {unseen_for.total_seconds():.0f} s"
    return OK


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "migrations": check_migrations,
    "broker": check_broker,
    "worker": check_worker,
}
