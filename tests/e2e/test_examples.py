"""The programs in examples/ against the running platform, to the last verified webhook."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collections_platform.ops.processes import PROJECT
from tests.processes import Platform, free_port

pytestmark = pytest.mark.workers
PROGRAMS = {"python": (sys.executable, "bulk_call.py"), "node": ("node", "bulk_call.cjs")}


@pytest.mark.parametrize("language", list(PROGRAMS))
def test_an_example_calls_once_and_verifies_the_webhooks(
    platform: Platform, tmp_path: Path, language: str
) -> None:
    if language == "node" and not shutil.which("node"):
        pytest.skip("node is not installed")
    platform.environment["DEMO"] = "1"
    platform.manage("load_demo_data")
    client, endpoint = tmp_path / "client.json", tmp_path / "endpoint.json"
    client.write_text(platform.manage("create_api_client", "example"))
    receiver = f"http://127.0.0.1:{free_port()}/"
    endpoint.write_text(platform.manage("add_webhook_endpoint", receiver))
    url = platform.start_web()
    platform.start_worker()

    program, file = PROGRAMS[language]
    done = subprocess.run(
        [program, str(PROJECT / "examples" / language / file), str(client), str(endpoint)],
        env=os.environ | {"API_URL": url},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "repeated: the same answer\n" in done.stdout
    last = re.findall(r"^verified (INV-\d+) (\+\d+) \d+ [A-Z_]+$", done.stdout, re.MULTILINE)
    assert set(last) == {("INV-001", "+966500000001"), ("INV-002", "+966500000002")}
    assert platform.evaluate("Campaign.objects.count()") == 1
    assert platform.evaluate("CallLog.objects.last_attempts().count()") == 2
