"""The running server does what its description says: Schemathesis asks it thousands of times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from collections_platform.ops.demo_data import TEMPLATE_ID
from collections_platform.ops.processes import PROJECT
from tests.processes import Platform

pytestmark = pytest.mark.workers
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
SECONDS = 60


def test_the_server_keeps_to_its_description(platform: Platform, tmp_path: Path) -> None:
    template = f"AISettingsTemplate.objects.create(pk='{TEMPLATE_ID}', name='x', is_default=True)"
    platform.evaluate(f"{template}.revise(system_prompt='Pay, please.').pk")
    client = json.loads(platform.manage("create_api_client", "schemathesis"))
    url = platform.start_web()
    answer = httpx2.post(f"{url}/auth/v1/api-key/auth", json=client)
    token = answer.json()["access_token"]

    hooks = {"SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/schema"),
            *("--header", f"Authorization: Bearer {token}"),
            *("--checks", ",".join(CHECKS)),
            *("--seed", "1", "--max-time", str(SECONDS), "--request-timeout", "30"),
            *("--continue-on-failure", "--no-color", "--generation-database", "none"),
        ],
        cwd=tmp_path,
        env=os.environ | hooks,
        capture_output=True,
        text=True,
        timeout=SECONDS * 3,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert platform.evaluate("CallLog.objects.count()") >= 3  # those of the examples at least
