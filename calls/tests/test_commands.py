import json
from datetime import timedelta
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


def test_call_bulk_saves_a_draft(request_file: Path) -> None:
    make_template(is_default=True)
    answer = json.loads(run("call_bulk", str(request_file), "--draft")[0])
    assert Campaign.objects.get(pk=answer["campaignId"]).status == "draft"


def test_times_without_a_zone_are_read_in_the_platforms(request_file: Path, settings) -> None:
    settings.TIME_ZONE = "Asia/Riyadh"
    make_template(is_default=True)
    tomorrow = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    text = timezone.make_naive(tomorrow).isoformat()
    run("call_bulk", str(request_file), "--starts-at", text)
    campaign = Campaign.objects.get()
    assert (campaign.status, campaign.starts_at) == ("scheduled", tomorrow)
    listed = run("campaign", "list")[0].strip()
    assert listed.endswith(f", starts at {text}+03:00")

    later = timezone.make_naive(tomorrow + timedelta(hours=1)).isoformat()
    said, _ = run("campaign", "schedule", str(campaign.pk), "--at", later)
    assert said == f"The campaign is scheduled, starts at {later}+03:00.\n"
    campaign.refresh_from_db()
    assert campaign.starts_at == tomorrow + timedelta(hours=1)


def test_a_start_that_has_passed_launches_nothing(request_file: Path) -> None:
    make_template(is_default=True)
    with pytest.raises(CommandError, match="has passed"):
        run("call_bulk", str(request_file), "--starts-at", "2020-01-01")
    assert not Campaign.objects.exists()
    campaign = make_campaign(status="draft")
    with pytest.raises(CommandError, match="has passed"):
        run("campaign", "schedule", str(campaign.pk), "--at", "2020-01-01")


@pytest.mark.parametrize(
    "options",
    [("--draft", "--wait"), ("--starts-at", "2099-01-01", "--wait"), ("--starts-at", "x")],
)
def test_call_bulk_refuses_options_that_make_no_sense(
    request_file: Path, options: tuple[str, ...]
) -> None:
    with pytest.raises(CommandError):
        run("call_bulk", str(request_file), *options)


def test_a_campaign_is_scheduled_unscheduled_and_started() -> None:
    campaign = make_call(batch=make_batch(campaign=make_campaign(status="draft"))).campaign
    at = (timezone.now() + timedelta(hours=1)).isoformat()
    assert "is scheduled" in run("campaign", "schedule", str(campaign.pk), "--at", at)[0]
    for action, said in (
        ("unschedule", "The campaign is draft.\n"),
        ("start", "The campaign is running.\n"),
        ("start", "The campaign is running.\n"),
    ):
        assert run("campaign", action, str(campaign.pk))[0] == said
    with pytest.raises(CommandError, match="The campaign is running"):
        run("campaign", "unschedule", str(campaign.pk))


@pytest.mark.parametrize("action", ["retry-failed", "clone"])
def test_a_copy_prints_its_id_alone_and_what_was_done_beside_it(action: str) -> None:
    campaign = make_campaign(status="completed", ended_at=timezone.now())
    batch = make_batch(campaign=campaign)
    make_call(batch=batch, status="busy")
    make_call(batch=batch, status="failed", ended_reason="unknown")
    out, err = run("campaign", action, str(campaign.pk), "--name", "Once more")
    copy = Campaign.objects.get(pk=UUID(out.strip()))
    assert (copy.copied_from, copy.name, copy.source) == (campaign, "Once more", "command")
    number = {"retry-failed": 1, "clone": 2}[action]
    assert copy.calls.count() == number
    assert f"A draft of {number} call" in err
    assert ("1 call is left out" in err) == (action == "retry-failed")


@pytest.mark.parametrize("action", ["retry-failed", "clone"])
def test_a_copy_with_a_name_that_is_too_long_is_not_made(action: str) -> None:
    campaign = make_campaign()
    with pytest.raises(CommandError, match="120"):
        run("campaign", action, str(campaign.pk), "--name", "x" * 121)


def test_what_cannot_be_retried_is_said_to_be() -> None:
    with pytest.raises(CommandError, match="this campaign is running"):
        run("campaign", "retry-failed", str(make_campaign().pk))


@pytest.mark.parametrize("name", ["x", "550e8400-e29b-41d4-a716-446655440000"])
def test_an_unknown_campaign_is_said_to_be(name: str) -> None:
    with pytest.raises(CommandError, match="no campaign"):
        run("campaign", "pause", name)
