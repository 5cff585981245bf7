from datetime import timedelta
from typing import Any

import pytest
from django.db.models import ProtectedError
from django.utils import timezone

from calls.control import NotAllowed, cancel_campaign, pause_campaign, resume_campaign
from calls.dialling import place_batch
from calls.lifecycle import (
    schedule_campaign,
    start_campaign,
    start_due_campaigns,
    unschedule_campaign,
)
from calls.models import CallLog, ProviderAccount
from calls.schemas import read_bulk_request
from calls.services import Launch, launch_campaign
from calls.statuses import CallStatus
from calls.tests.factories import bulk_body, make_call
from campaigns.models import Batch, Campaign, CampaignSource
from campaigns.tests.factories import make_batch, make_campaign
from templates.tests.factories import make_template

pytestmark = pytest.mark.django_db
PEOPLE = [{"numberToCall": f"+9665000000{i:02d}"} for i in range(12)]


def soon(**delta: Any) -> Any:
    return timezone.now() + timedelta(**delta or {"hours": 1})


def launch(**options: Any) -> Launch:
    make_template(is_default=True)
    request = read_bulk_request(bulk_body(*PEOPLE, batchSize=10))
    return launch_campaign(request, CampaignSource.API, **options)


def make_scheduled(**what_matters: Any) -> Campaign:
    """A scheduled campaign of one call; by default its time has come."""
    fields = {"status": "scheduled", "starts_at": soon(seconds=-1)} | what_matters
    campaign = make_campaign(**fields)
    make_call(batch=make_batch(campaign=campaign, woken_at=None))
    return campaign


def status_of(campaign: Campaign) -> str:
    return Campaign.objects.get(pk=campaign.pk).status


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    """The batches that workers are called to, on commit."""
    batches: list[int] = []
    monkeypatch.setattr("calls.queue.async_task", lambda _task, pk, **_: batches.append(pk))
    return batches


@pytest.fixture
def committing(django_capture_on_commit_callbacks, woken) -> Any:
    """A block after which what waits for the commit is done."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


# --- Launching ----------------------------------------------------------------------------------


def test_a_draft_is_stored_whole_and_nobody_is_woken(committing, woken) -> None:
    with committing():
        done = launch(is_draft=True)
    assert (done.campaign.status, done.campaign.starts_at, done.batches) == ("draft", None, 2)
    assert done.campaign.calls.filter(status=CallStatus.QUEUED).count() == 12
    assert set(done.campaign.batches.values_list("woken_at", flat=True)) == {None}
    assert woken == []


def test_a_launch_for_later_is_scheduled_and_nobody_is_woken(committing, woken) -> None:
    at = soon()
    with committing():
        campaign = launch(starts_at=at).campaign
    assert (campaign.status, campaign.starts_at) == ("scheduled", at)
    assert woken == []


def test_a_launch_for_a_time_that_has_passed_runs(committing, woken) -> None:
    with committing():
        campaign = launch(starts_at=soon(minutes=-1)).campaign
    assert (campaign.status, campaign.starts_at) == ("running", None)
    assert len(woken) == 2


def test_a_draft_with_a_time_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="draft"):
        launch(starts_at=soon(), is_draft=True)


@pytest.mark.parametrize("options", [{"is_draft": True}, {"starts_at": soon()}], ids=" ".join)
def test_nobody_of_a_campaign_that_has_not_begun_is_called(options: dict[str, Any]) -> None:
    campaign = launch(**options).campaign
    for batch in Batch.objects.all():
        place_batch(batch.pk)
    assert set(campaign.calls.values_list("status", flat=True)) == {"queued"}


# --- Transitions --------------------------------------------------------------------------------

ACTIONS = {
    "start": start_campaign,
    "schedule": lambda campaign: schedule_campaign(campaign, soon()),
    "unschedule": unschedule_campaign,
    "pause": pause_campaign,
    "resume": resume_campaign,
    "cancel": cancel_campaign,
}
# Where each action leads from each status; what is not here is refused.
ALLOWED = {
    "start": {"draft": "running", "scheduled": "running", "running": "running"},
    "schedule": {"draft": "scheduled", "scheduled": "scheduled"},
    "unschedule": {"draft": "draft", "scheduled": "draft"},
    "pause": {"running": "paused", "paused": "paused"},
    "resume": {"running": "running", "paused": "running"},
    "cancel": {
        **dict.fromkeys(["draft", "scheduled", "running", "paused", "cancelling"], "cancelling"),
        "cancelled": "cancelled",
    },
}
STATUSES = ["draft", "scheduled", "running", "paused", "cancelling", "completed", "cancelled"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_leads_where_it_says_or_is_refused_and_changes_nothing(
    action: str, status: str
) -> None:
    has_ended = status in ("completed", "cancelled")
    campaign = make_campaign(
        status=status,
        starts_at=soon() if status == "scheduled" else None,
        ended_at=soon(hours=-1) if has_ended else None,
    )
    expected = ALLOWED[action].get(status)
    if expected is None:
        with pytest.raises(NotAllowed, match=f"The campaign is {status}"):
            ACTIONS[action](campaign)
    else:
        ACTIONS[action](campaign)
        assert campaign.status == expected
    assert status_of(campaign) == (expected or status)


@pytest.mark.parametrize("status", ["draft", "scheduled"])
def test_starting_wakes_a_worker_for_each_batch_once(committing, woken, status: str) -> None:
    launch(**{"draft": {"is_draft": True}, "scheduled": {"starts_at": soon()}}[status])
    campaign = Campaign.objects.get()
    with committing():
        start_campaign(campaign)
        start_campaign(campaign)
        assert woken == []
    batches = campaign.batches.order_by("number")
    assert woken == [batch.pk for batch in batches]
    assert all(batch.woken_at for batch in batches)
    assert (campaign.status, campaign.starts_at) == ("running", None)


def test_what_is_started_is_called() -> None:
    campaign = launch(is_draft=True).campaign
    start_campaign(campaign)
    for batch in campaign.batches.all():
        place_batch(batch.pk)
    assert not campaign.calls.filter(status=CallStatus.QUEUED).exists()


def test_a_campaign_is_scheduled_for_another_time() -> None:
    campaign = make_scheduled()
    at = soon(days=2)
    schedule_campaign(campaign, at)
    assert Campaign.objects.get().starts_at == at
    assert start_due_campaigns() == 0


@pytest.mark.parametrize(
    ("at", "sentence"), [({"seconds": -1}, "has passed"), ({"days": 367}, "more than a year away")]
)
def test_a_time_that_cannot_be_meant_is_refused(at: dict[str, int], sentence: str) -> None:
    campaign = make_campaign(status="draft")
    with pytest.raises(NotAllowed, match=sentence):
        schedule_campaign(campaign, soon(**at))
    assert status_of(campaign) == "draft"


# --- The start of what is due -------------------------------------------------------------------


def test_campaigns_begin_once_their_time_has_come(committing, woken) -> None:
    due, later = make_scheduled(), make_scheduled(starts_at=soon())
    draft = make_campaign(status="draft")
    with committing():
        assert start_due_campaigns() == 1
        assert start_due_campaigns() == 0
    assert woken == [due.batches.get().pk]
    assert [status_of(campaign) for campaign in (due, later, draft)] == [
        "running",
        "scheduled",
        "draft",
    ]
    assert Campaign.objects.get(pk=due.pk).starts_at == due.starts_at


def test_a_bounded_number_of_campaigns_begins_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr("calls.lifecycle.STARTED_AT_ONCE", 2)
    hour = [make_scheduled(starts_at=soon(minutes=-minutes)) for minutes in (1, 2, 3)]
    assert [start_due_campaigns() for _ in range(3)] == [2, 1, 0]
    assert {status_of(campaign) for campaign in hour} == {"running"}


@pytest.mark.parametrize("action", [cancel_campaign, unschedule_campaign])
def test_a_campaign_that_was_called_off_before_its_time_never_calls(action: Any) -> None:
    campaign = make_scheduled()
    action(campaign)
    assert start_due_campaigns() == 0
    place_batch(campaign.batches.get().pk)
    assert CallLog.objects.get().status == CallStatus.QUEUED


def test_where_nothing_is_due_no_lock_is_taken(django_assert_max_num_queries) -> None:
    make_scheduled(starts_at=soon())
    with django_assert_max_num_queries(2) as asked:
        start_due_campaigns()
    assert all(query["sql"].startswith("SELECT") for query in asked.captured_queries)


# --- What a campaign stands on ------------------------------------------------------------------


def test_what_a_campaign_uses_cannot_be_deleted() -> None:
    call = make_call(status=CallStatus.DIALING)
    version = call.campaign.template_version
    account = ProviderAccount.objects.get()
    for used in (version, version.template, account, call.contact):
        with pytest.raises(ProtectedError):
            used.delete()
