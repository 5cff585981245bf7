"""An endpoint that fails for five days is disabled, and staff are told."""

from datetime import timedelta
from http import HTTPStatus
from logging import getLogger
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from calls.checks import check_mail
from calls.models import WebhookDelivery, WebhookEndpoint
from calls.tests.factories import make_endpoint
from calls.tests.test_webhooks import make_delivery
from calls.webhooks import delivery as engine
from calls.webhooks.delivery import deliver_webhooks

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
ENDPOINTS = reverse("admin:calls_webhookendpoint_changelist")
BANNER = "Disabled, because every webhook to it failed for days"


@pytest.fixture
def failing(receiver: Any) -> Any:
    receiver.answer = lambda _: HTTPStatus.BAD_GATEWAY
    return receiver


def ago(**time: float) -> Any:
    return timezone.now() - timedelta(**time)


def deliver_to(endpoint: WebhookEndpoint) -> WebhookDelivery:
    delivery = make_delivery(endpoint)
    deliver_webhooks()
    endpoint.refresh_from_db()
    delivery.refresh_from_db()
    return delivery


def page_of(endpoint: WebhookEndpoint) -> str:
    return reverse("admin:calls_webhookendpoint_change", args=[endpoint.pk])


def form_of(endpoint: WebhookEndpoint, **changed: Any) -> dict[str, Any]:
    fields = {"url": endpoint.url, "form": endpoint.form, "events": endpoint.events}
    return fields | {"secrets-TOTAL_FORMS": 0, "secrets-INITIAL_FORMS": 0} | changed


def give_up(**what_matters: Any) -> WebhookEndpoint:
    return make_endpoint(disabled_at=timezone.now(), failing_since=ago(days=5), **what_matters)


def test_the_first_failure_starts_the_clock_and_later_ones_leave_it(failing: Any) -> None:
    endpoint = make_endpoint(url=failing.url)
    deliver_to(endpoint)
    first = endpoint.failing_since
    assert first
    deliver_to(endpoint)
    assert endpoint.failing_since == first
    assert endpoint.disabled_at is None


def test_a_success_stops_the_clock(receiver: Any) -> None:
    endpoint = make_endpoint(url=receiver.url, failing_since=ago(days=4.9))
    deliver_to(endpoint)
    assert endpoint.failing_since is None
    assert endpoint.last_success_at


def test_an_endpoint_is_not_disabled_a_minute_before_five_days(failing: Any) -> None:
    endpoint = make_endpoint(url=failing.url, failing_since=ago(days=5, minutes=-1))
    deliver_to(endpoint)
    assert endpoint.disabled_at is None


def test_an_endpoint_that_failed_for_five_days_is_disabled_and_keeps_its_deliveries(
    failing: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(engine, "RECORD_AT_ONCE", 1)
    endpoint = make_endpoint(url=failing.url, failing_since=ago(days=5))
    for _ in range(50):
        make_delivery(endpoint)
    deliver_webhooks()
    endpoint.refresh_from_db()
    assert endpoint.disabled_at
    assert endpoint.failing_since
    assert len(failing.received) < 20, "the run stops sending to it"
    assert WebhookDelivery.objects.pending().count() == 50
    deliver_webhooks()
    assert len(failing.received) < 20


def test_another_endpoints_failures_disable_nobody_else(failing: Any) -> None:
    endpoint = make_endpoint(url=failing.url, failing_since=ago(days=6))
    idle = make_endpoint(failing_since=ago(days=6))
    deliver_to(endpoint)
    idle.refresh_from_db()
    assert (bool(endpoint.disabled_at), idle.disabled_at) == (True, None)


def test_enabling_it_again_clears_the_clock_and_its_deliveries_go_on(
    admin_client: Client, receiver: Any
) -> None:
    endpoint = give_up(url=receiver.url)
    delivery = deliver_to(endpoint)
    assert (delivery.status, receiver.received) == ("pending", [])
    form = form_of(endpoint, is_enabled="on")
    assert admin_client.post(page_of(endpoint), form).status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.disabled_at, endpoint.failing_since) == (None, None)
    deliver_webhooks()
    delivery.refresh_from_db()
    assert delivery.status == "delivered"


def test_every_page_of_the_admin_names_it_with_a_link(admin_client: Client) -> None:
    endpoint, other = give_up(url="https://8.8.8.8/a"), make_endpoint(disabled_at=timezone.now())
    pages = ["admin:index", "admin:contacts_contact_changelist", "admin:contacts_contact_add"]
    for page in [*map(reverse, pages), page_of(other)]:
        text = admin_client.get(page).content.decode()
        assert text.count(BANNER) == 1
        banner = text.partition(BANNER)[2][:300]
        assert page_of(endpoint) in banner
        assert endpoint.url in banner
        assert "style=" not in banner
        assert "<script" not in banner


def test_without_one_there_is_no_banner(admin_client: Client) -> None:
    make_endpoint(disabled_at=timezone.now())
    make_endpoint(failing_since=timezone.now())
    assert BANNER not in admin_client.get(ENDPOINTS).content.decode()


def test_saving_it_disabled_ends_the_banner(admin_client: Client) -> None:
    endpoint = give_up()
    admin_client.post(page_of(endpoint), form_of(endpoint))
    endpoint.refresh_from_db()
    assert endpoint.disabled_at
    assert BANNER not in admin_client.get(ENDPOINTS).content.decode()


def test_the_banner_is_for_staff_who_may_see_endpoints(
    client: Client, django_user_model: Any
) -> None:
    give_up()
    assert BANNER not in client.get(reverse("admin:login")).content.decode()
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    client.force_login(viewer)
    assert BANNER not in client.get(reverse("admin:index")).content.decode()
    viewer.user_permissions.add(Permission.objects.get(codename="view_webhookendpoint"))
    assert BANNER in client.get(reverse("admin:index")).content.decode()


def test_the_page_tells_since_when_it_fails_and_when_it_last_worked(admin_client: Client) -> None:
    endpoint = make_endpoint(failing_since=ago(days=2), last_success_at=ago(days=3))
    for page in (ENDPOINTS, page_of(endpoint)):
        text = admin_client.get(page).content.decode().lower()
        assert "failing since" in text
        assert "last success at" in text


def test_a_mail_tells_admins_when_there_is_a_mail_server(
    failing: Any, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_URL = "smtp://mail.example"
    settings.ADMINS = [("a@example.com", "a@example.com"), ("b@example.com", "b@example.com")]
    endpoint = make_endpoint(url=failing.url, failing_since=ago(days=5))
    with django_capture_on_commit_callbacks(execute=True):
        deliver_to(endpoint)
    (letter,) = mail.outbox
    assert letter.to == ["a@example.com", "b@example.com"]
    assert str(endpoint.pk) in letter.body
    assert "127.0.0.1" in letter.body


@pytest.mark.parametrize(("url", "admins"), [("", ["a@example.com"]), ("smtp://mail.example", [])])
def test_without_server_or_addresses_no_mail_is_sent(
    failing: Any, settings: Any, django_capture_on_commit_callbacks: Any, url: str, admins: Any
) -> None:
    settings.EMAIL_URL, settings.ADMINS = url, [(address, address) for address in admins]
    assert [warning.id for warning in check_mail()] == ["calls.W002"]
    with django_capture_on_commit_callbacks(execute=True):
        deliver_to(make_endpoint(url=failing.url, failing_since=ago(days=5)))
    assert mail.outbox == []


def test_a_mail_server_that_is_down_stops_nothing(
    failing: Any, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_URL, settings.ADMINS = "smtp://127.0.0.1:9", [("a", "a@example.com")]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    endpoint = make_endpoint(url=failing.url, failing_since=ago(days=5))
    with django_capture_on_commit_callbacks(execute=True):
        deliver_to(endpoint)
    assert endpoint.disabled_at


def test_an_error_of_the_server_mails_nobodys_data(settings: Any, rf: Any) -> None:
    settings.ADMINS = [("a", "a@example.com")]
    request = rf.post("/", {"numberToCall": "+966500000001"})
    getLogger("django.request").error("Oh", extra={"request": request, "status_code": 500})
    assert mail.outbox == []
