import json
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from calls.models import CallLog, WebhookEndpoint
from calls.tests.factories import bulk_body, make_call
from campaigns.models import Campaign
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
FIRST, SECOND = {"numberToCall": "0500000001"}, {"numberToCall": "0500000002"}


def run(*args: str, **options: Any) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(*args, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    file = tmp_path / "request.json"
    file.write_bytes(bulk_body(FIRST, SECOND, countryCode="SA", batchSize=10))
    return file


def test_call_bulk_answers_as_the_endpoint_does(request_file: Path) -> None:
    make_template(is_default=True)
    out, _ = run("call_bulk", str(request_file))
    answer = json.loads(out)
    campaign = Campaign.objects.get()
    assert (UUID(answer["campaignId"]), answer["batchSize"]) == (campaign.pk, 10)
    assert [call["numberToCall"] for call in answer["calls"]] == ["+966500000001", "+966500000002"]
    assert campaign.source == "command"


def test_options_replace_the_files_fields(request_file: Path) -> None:
    make_template(is_default=True)
    named = make_template()
    run("call_bulk", str(request_file), "--template", str(named.pk), "--batch-size", "20")
    campaign = Campaign.objects.get()
    assert (campaign.template_version.template, campaign.batch_size) == (named, 20)


def test_call_bulk_names_every_fault_and_launches_nothing(request_file: Path) -> None:
    make_template(is_default=True)
    request_file.write_bytes(bulk_body({"numberToCall": "x1"}, FIRST | {"email": "x2"}))
    with pytest.raises(CommandError) as refusal:
        run("call_bulk", str(request_file))
    lines = str(refusal.value).splitlines()
    assert lines[0] == "Nothing was launched:"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "Contact 1, numberToCall",
        "Contact 2, email",
        "Contact 2, numberToCall",
    ]
    assert not Campaign.objects.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_call_bulk_refuses_a_file_that_is_no_request(request_file: Path, content: bytes) -> None:
    request_file.write_bytes(content)
    with pytest.raises(CommandError, match="Nothing was launched"):
        run("call_bulk", str(request_file), "--country-code", "SA")


def test_call_bulk_waits_until_every_call_has_ended(request_file: Path, monkeypatch) -> None:
    make_template(is_default=True)
    looks = iter([1, 2])

    def work(_: float) -> None:
        """What workers would do meanwhile."""
        done = CallLog.objects.filter(position__lt=next(looks))
        done.update(status="failed", ended_at=timezone.now())

    monkeypatch.setattr("calls.management.commands.call_bulk.time.sleep", work)
    _, err = run("call_bulk", str(request_file), "--wait")
    assert "2 failed" in err


def test_add_webhook_endpoint_prints_exactly_id_url_and_secret() -> None:
    out, _ = run("add_webhook_endpoint", "https://example.com/hooks")
    made = json.loads(out)
    endpoint = WebhookEndpoint.objects.get()
    assert made == {
        "id": str(endpoint.pk),
        "url": "https://example.com/hooks",
        "secret": endpoint.secrets.get().value,
    }
    assert made["secret"].startswith("whsec_")
    assert (endpoint.form, endpoint.events) == ("envelope", ["phone_call.ended"])


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com", "", "http://"])
def test_add_webhook_endpoint_refuses_what_is_no_http_address(url: str) -> None:
    with pytest.raises(CommandError):
        run("add_webhook_endpoint", url)
    assert not WebhookEndpoint.objects.exists()


def test_campaigns_are_listed_shown_and_controlled() -> None:
    campaign = make_call(batch=make_batch(campaign=make_campaign(name="تذكير"))).campaign
    assert "تذكير" in run("campaign", "list")[0]
    shown = json.loads(run("campaign", "show", str(campaign.pk))[0])
    assert shown["counts"]["status"] == {"queued": 1}
    for action, status in (
        ("pause", "paused"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelling"),
    ):
        said, _ = run("campaign", action, str(campaign.pk))
        assert said == f"The campaign is {status}.\n"
    with pytest.raises(CommandError, match="The campaign is cancelling"):
        run("campaign", "resume", str(campaign.pk))


@pytest.mark.parametrize("name", ["x", "550e8400-e29b-41d4-a716-446655440000"])
def test_an_unknown_campaign_is_said_to_be(name: str) -> None:
    with pytest.raises(CommandError, match="no campaign"):
        run("campaign", "pause", name)
