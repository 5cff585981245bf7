"""What README and docs/ say is so: their links, tables and code."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from drf_spectacular.generators import SchemaGenerator
from pydantic import BaseModel

from calls.models import CallLog
from calls.payloads import call_data
from calls.schemas import BulkBody, CallBody, CallIn
from calls.webhooks.delivery import RETRY_AFTER
from calls.webhooks.signing import signed_headers
from collections_platform.api.openapi import examples
from collections_platform.api.openapi.components import REFUSALS
from collections_platform.settings import WORKER_STOP_SECONDS
from tests.processes import free_port, wait_until

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
PAGES = [
    README,
    PROJECT / "CHANGELOG.md",
    *sorted((PROJECT / "docs").glob("*.md")),
    *sorted((PROJECT / "examples").glob("*/README.md")),
]
API = PROJECT / "docs" / "api.md"
WEBHOOKS = PROJECT / "docs" / "verifying-webhooks.md"

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + "A" * 32
SENT_AT = 1614265330
BODY = b'{"test": 2432232314}'
HEADERS = signed_headers([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", SENT_AT, BODY)

Verify = Callable[..., bool]


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def first_column(page: Path, heading: str) -> list[str]:
    """The names in the first column of the table below a heading."""
    section = page.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^` ]+)[^`]*` \|", section, re.MULTILINE)


def table(page: Path, before: str) -> dict[str, str]:
    """The table behind a text: what stands in backticks in each first cell, with its row."""
    rows = page.read_text().split(before, 1)[1].split("\n\n|", 1)[1].split("\n\n", 1)[0]
    cells = [(row.split("|")[1], row) for row in rows.splitlines()[2:]]
    return {name: row for cell, row in cells for name in re.findall(r"`([^`]+)`", cell)}


# --- Deploying ----------------------------------------------------------------------------------

UNITS = code_blocks(PROJECT / "docs" / "deploy.md", "ini")


def test_the_pages_services_stop_the_main_process_first_and_wait_for_the_worker() -> None:
    web, worker = UNITS
    assert all("KillMode=mixed\n" in unit and "Restart=always\n" in unit for unit in UNITS)
    assert f"TimeoutStopSec={WORKER_STOP_SECONDS + 10}\n" in worker
    assert "gunicorn -c python:collections_platform.ops.gunicorn_conf" in web


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=["web", "worker"])
def test_systemd_takes_the_pages_services(unit: str, tmp_path: Path) -> None:
    file = tmp_path / "collections.service"
    file.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", unit))
    verify = ["systemd-analyze", "verify", str(file)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- The API ------------------------------------------------------------------------------------


def aliases(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_pages_fields_are_those_of_the_requests() -> None:
    request, contact = table(API, "launches a campaign;"), table(API, "A contact object:")
    assert set(request) == aliases(BulkBody)
    assert set(contact) == aliases(CallIn)
    extra = API.read_text().split("takes the fields of a contact object and")[1].split(",\n")[0]
    named = set(re.findall(r"`(\w+)`", extra.split(", and launches")[0]))
    assert named == aliases(CallBody) - aliases(CallIn)


def test_the_pages_addresses_are_those_of_the_api_with_their_scopes() -> None:
    rows = table(API, "## Addresses")
    document = SchemaGenerator().get_schema(public=True)
    scopes = {
        f"{method.upper()} {path}": scopes
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for scopes in [[s for need in operation["security"] for s in need["bearer"]]]
    }
    assert set(rows) == set(scopes)
    assert all(f"`{scope}`" in rows[name] for name in rows for scope in scopes[name])


def test_the_page_has_a_cure_for_every_status_there_is() -> None:
    section = API.read_text().split("\n## Errors\n")[1]
    named = {
        status
        for row in re.findall(r"^\| ([\d, ]+) \|", section, re.M)
        for status in row.split(", ")
    }
    assert {str(status.value) for status in REFUSALS} <= named


@pytest.mark.parametrize(
    ("language", "file", "pattern"),
    [
        ("python", "bulk_call.py", r"^def verify\(.*?\n    return any\(.*?$"),
        ("javascript", "bulk_call.cjs", r"^function verify\(.*?^\}$"),
    ],
)
def test_the_examples_verify_as_the_page_does(language: str, file: str, pattern: str) -> None:
    folder = {"python": "python", "javascript": "node"}[language]
    example = (PROJECT / "examples" / folder / file).read_text()
    [there] = re.findall(pattern, example, re.MULTILINE | re.DOTALL)
    [here] = re.findall(pattern, code_blocks(WEBHOOKS, language)[0], re.MULTILINE | re.DOTALL)
    assert there == here


# --- The receivers ------------------------------------------------------------------------------


@pytest.fixture(params=["python", "node"])
def receiver_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The receiver of the page, as somebody who copies it has it."""
    if request.param == "node" and not shutil.which("node"):
        pytest.skip("node is not installed")
    language, suffix = {"python": ("python", ".py"), "node": ("javascript", ".cjs")}[request.param]
    path = tmp_path / f"receiver{suffix}"
    path.write_text(code_blocks(WEBHOOKS, language)[0])
    return path


@pytest.fixture
def verify(receiver_file: Path) -> Verify:
    return {".py": verify_in_python, ".cjs": verify_in_node}[receiver_file.suffix](receiver_file)


def verify_in_python(path: Path) -> Verify:
    spec = importlib.util.spec_from_file_location("receiver", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Verify = module.verify
    return function


def verify_in_node(path: Path) -> Verify:
    script = """
        const { verify } = require(process.argv[1]);
        const [secret, headers, body, now] = JSON.parse(process.argv[2]);
        console.log(verify(secret, headers, Buffer.from(body), now));
    """

    def verify(secret: str, headers: dict[str, str], body: bytes, now: float) -> bool:
        arguments = json.dumps([secret, headers, body.decode(), now])
        done = subprocess.run(
            ["node", "-e", script, str(path), arguments], capture_output=True, text=True, check=True
        )
        return {"true": True, "false": False}[done.stdout.strip()]

    return verify


def test_the_known_answer_is_ours_and_the_pages() -> None:
    answer = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert HEADERS["webhook-signature"] == answer
    assert all(text in WEBHOOKS.read_text() for text in (SECRET, str(SENT_AT), answer))


def test_a_receiver_accepts_what_we_sign(verify: Verify) -> None:
    assert verify(SECRET, HEADERS, BODY, SENT_AT)
    assert verify(SECRET, HEADERS, BODY, SENT_AT + 299)
    several = signed_headers([OTHER_SECRET, SECRET], "msg_1", SENT_AT, "{“é”}".encode())
    assert verify(SECRET, several, "{“é”}".encode(), SENT_AT)


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + b" "},
        {"secret": OTHER_SECRET},
        {"now": SENT_AT + 301},
        {"now": SENT_AT - 301},
        {"webhook-id": "msg_other"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(SENT_AT + 1)},
        {"webhook-timestamp": f"{SENT_AT}.0"},
        {"webhook-timestamp": ""},
        {"webhook-signature": HEADERS["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": HEADERS["webhook-signature"][:-4]},
        {"webhook-signature": "v1,"},
        {"webhook-signature": ""},
    ],
    ids=str,
)
def test_a_receiver_refuses_what_was_tampered_with(verify: Verify, change: dict) -> None:
    headers = HEADERS | {name: value for name, value in change.items() if "-" in name}
    secret, body = change.get("secret", SECRET), change.get("body", BODY)
    assert not verify(secret, headers, body, change.get("now", SENT_AT))


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA"])
def test_a_receiver_without_a_secret_accepts_nothing(verify: Verify, secret: str) -> None:
    with pytest.raises((ValueError, subprocess.CalledProcessError)):
        verify(secret, HEADERS, BODY, SENT_AT)


@contextmanager
def running(receiver_file: Path) -> Iterator[str]:
    """The receiver as a process, at the address that is given."""
    port = free_port()
    program = sys.executable if receiver_file.suffix == ".py" else "node"
    environment = os.environ | {"PORT": str(port), "WEBHOOK_SECRET": SECRET}
    with (
        (receiver_file.parent / "said").open("w") as said,
        subprocess.Popen(
            [program, str(receiver_file)], env=environment, stdout=said, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}/"
            wait_until(lambda: post(url, b"{}", {}) == 401, 20)
            yield url
        finally:
            process.terminate()


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0 if there is none."""
    try:
        return httpx2.post(url, content=body, headers=headers, trust_env=False).status_code
    except httpx2.TransportError:
        return 0


def test_the_whole_receiver_handles_each_webhook_once(receiver_file: Path) -> None:
    body = json.dumps({"data": {"callId": "c-1", "attempt": 1, "callOutput": "BUSY"}}).encode()
    headers = signed_headers([SECRET], "msg_1", int(time.time()), body)
    with running(receiver_file) as url:
        assert post(url, body, headers) == 204
        assert post(url, body, headers) == 204
        assert post(url, body.replace(b"BUSY", b"PAID"), headers) == 401
    assert (receiver_file.parent / "said").read_text() == "c-1 1 BUSY\n"


def test_the_fields_of_the_payload_are_those_of_the_page() -> None:
    call_id = uuid.uuid4()
    call = CallLog(id=call_id, call_id=call_id, campaign_id=call_id, contact_id=call_id)
    assert first_column(WEBHOOKS, "The payload") == list(call_data(call))


def test_the_retries_are_those_of_the_page() -> None:
    section = WEBHOOKS.read_text().split("\n## Retries\n")[1].split("\n## ")[0]
    waits = re.findall(r"(\d+) (s|min|h) \|", section)
    seconds = {"s": 1, "min": 60, "h": 3600}
    assert [int(n) * seconds[unit] for n, unit in waits] == [
        delay.total_seconds() for delay in RETRY_AFTER
    ]


# --- The example provider -----------------------------------------------------------------------


def test_the_example_provider_passes_its_tests(tmp_path: Path) -> None:
    provider, tests = code_blocks(PROJECT / "docs" / "adding-a-provider.md", "python")
    (tmp_path / "acme.py").write_text(provider)
    (tmp_path / "test_acme.py").write_text(tests)
    (tmp_path / "conftest.py").write_text(
        f"from calls import providers\nproviders.__path__.append({str(tmp_path)!r})\n"
    )
    config = ["-c", str(PROJECT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *config, str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


# --- Names and links ----------------------------------------------------------------------------


def settings_variables() -> set[str]:
    """The variables that settings.py reads: the first argument of what reads one."""
    tree = ast.parse((PROJECT / "collections_platform" / "settings.py").read_text())
    readers = re.compile(r"flag|number|read|secrets|env\.\w+|os\.environ\.get|os\.getenv")
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and readers.fullmatch(ast.unparse(node.func))
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def test_the_readme_names_exactly_the_settings_there_are() -> None:
    named = first_column(README, "Settings")
    assert len(named) == len(set(named))
    assert set(named) == settings_variables()
    assert {"SECRET_KEY", "DEBUG", "DATABASE_URL", "CALL_BATCH_SIZE", "ENV_FILE"} <= set(named)


def test_env_example_names_every_setting() -> None:
    example = (PROJECT / ".env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert settings_variables() <= named


def test_the_readme_names_exactly_the_commands_there_are() -> None:
    files = PROJECT.glob("[!.]*/**/management/commands/[!_]*.py")
    assert sorted(first_column(README, "Commands")) == sorted(path.stem for path in files)


def test_the_readmes_request_is_the_demos_and_its_answers_are_the_descriptions() -> None:
    [request] = re.findall(r"-d '\n(\{.*?\})'$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert json.loads(request) == examples.BULK_REQUEST
    answers = [json.loads(block) for block in code_blocks(README, "json")]
    assert answers == [examples.BULK_ANSWER, examples.BULK_REFUSAL, examples.CAMPAIGN]


@pytest.mark.parametrize("file", ["requirements.in", "requirements-dev.in"])
def test_every_dependency_has_its_reason(file: str) -> None:
    page = (PROJECT / "docs" / "dependencies.md").read_text()
    names = re.findall(r"^[A-Za-z][\w.-]*(?:\[\w+\])?", (PROJECT / file).read_text(), re.MULTILINE)
    assert names
    assert [name for name in names if f"**{name}**" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_path_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", prose(page))
    missing = [path for path, _ in links if path and not (page.parent / path).exists()]
    for path, anchor in links:
        target = page.parent / path if path else page
        if anchor and target.exists() and anchor not in anchors(target):
            missing.append(f"{path}#{anchor}")
    paths = re.findall(r"`([a-z_.]+/[\w./-]*(?:/|\.py|\.md))`", prose(page))
    missing += [path for path in paths if not (PROJECT / path).exists()]
    assert missing == []


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page, as GitHub names it."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
