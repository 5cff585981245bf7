"""`python -m tests.chaos`: every scenario, one line of figures each; 1 if a promise was broken."""

import argparse
import os
import shutil
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "collections_platform.settings")

import tests.environment  # noqa: F401  sets the environment that the settings read
from tests.chaos.scenarios import ON_SERVERS, ON_SQLITE, SHORT, NotPossible, Size


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", default=str(int(time.time())))
    parser.add_argument("--seconds", type=float, default=60, help="of trouble, in each scenario")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=", ".join(ON_SERVERS))
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("this reads /proc, and orphans end on Linux only")
    has_servers = bool(os.environ.get("TEST_DATABASE_URL") and os.environ.get("TEST_REDIS_URL"))
    scenarios = ON_SERVERS if has_servers else ON_SQLITE
    size = Size.of(options.seed, options.seconds, is_small=not has_servers)
    names = options.scenario or list(scenarios)
    scenarios = scenarios | SHORT
    if unknown := set(names) - set(scenarios):
        parser.error(f"not here: {', '.join(sorted(unknown))}; there are {', '.join(scenarios)}")
    database = "PostgreSQL and Redis" if has_servers else "SQLite"
    print(f"{database}, seed {size.seed}, {size.seconds:g} s of trouble each", flush=True)
    is_well = True
    for name in names:
        try:
            result = scenarios[name](size)
        except NotPossible as reason:
            print(f"left out: {name} ({reason})", flush=True)
            continue
        print(result, flush=True)
        for violation in result.violations:
            print(f"     {violation}", flush=True)
        if result.violations:
            is_well = False
            print(f"     see {result.folder}", flush=True)
        else:
            shutil.rmtree(result.folder)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
