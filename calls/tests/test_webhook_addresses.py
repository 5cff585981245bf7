"""Webhooks go to the public internet by https, and elsewhere only as the setting says."""

import socket
import ssl
from http import HTTPStatus
from ipaddress import ip_network
from typing import Any

import httpcore2
import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from calls.models import WebhookDelivery, WebhookEndpoint
from calls.tests.factories import make_endpoint
from calls.tests.test_webhooks import make_delivery
from calls.webhooks import network
from calls.webhooks.addresses import validate_destination
from calls.webhooks.delivery import deliver_webhooks

REFUSED = [
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:807f:fffe",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:0808:0808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
EVERYTHING_LOCAL = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def url_of(address: str, scheme: str = "https") -> str:
    return f"{scheme}://[{address}]/hooks" if ":" in address else f"{scheme}://{address}/hooks"


@pytest.fixture
def no_exceptions(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are dialled; nobody answers."""
    addresses: list[str] = []

    def dial(entry: tuple[Any, ...], timeout: float) -> httpcore2.NetworkStream:
        addresses.append(entry[4][0])
        raise ConnectionRefusedError

    monkeypatch.setattr(network, "_dial", dial)
    return addresses


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A name server: what it answers the first time, the second time, and so on, by name."""
    answers: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in answers:
            return real(host, port, *rest, **more)
        if socket.AI_NUMERICHOST in rest[3:]:
            raise socket.gaierror(socket.EAI_NONAME, "no address in digits")
        now = answers[name].pop(0)
        return [entry for address in now for entry in real(address, port, *rest, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return answers


def deliver_to(url: str) -> WebhookDelivery:
    delivery = make_delivery(make_endpoint(url=url))
    deliver_webhooks()
    delivery.refresh_from_db()
    return delivery


@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize("address", REFUSED)
def test_an_endpoint_is_not_added_for_an_address_that_is_not_public(address: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(ValidationError, match="address not allowed"):
            validate_destination(url_of(address, scheme))


@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_sent_to_by_https_alone(address: str) -> None:
    validate_destination(url_of(address))
    with pytest.raises(ValidationError, match="plain http not allowed"):
        validate_destination(url_of(address, "http"))


@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "a.localhost", "127.1", "2130706433", "0x7f.1", "0"]
)
def test_other_spellings_of_this_machine_are_known_too(host: str) -> None:
    with pytest.raises(ValidationError, match="address not allowed"):
        validate_destination(f"https://{host}/")


@pytest.mark.usefixtures("no_exceptions")
def test_a_name_is_judged_when_it_is_dialled_unless_http_betrays_it() -> None:
    validate_destination("https://hooks.example/")
    validate_destination("https://notlocalhost/")
    with pytest.raises(ValidationError, match="plain http not allowed"):
        validate_destination("http://hooks.example/")


def test_what_a_name_of_plain_http_leads_to_is_known_when_it_is_added(names: Any) -> None:
    names["public.example"] = [["8.8.8.8"]]
    names["here.example"] = [["127.0.0.1", "::1"]]
    validate_destination("http://here.example/")
    with pytest.raises(ValidationError, match="plain http not allowed"):
        validate_destination("http://public.example/")


def test_the_setting_allows_networks_and_nothing_beside_them(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.1.0.0/16"), ip_network("fd12::/16")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1"):
        validate_destination(url_of(address, "http"))
    for address in ("10.2.0.1", "127.0.0.1", "fd13::1"):
        with pytest.raises(ValidationError):
            validate_destination(url_of(address))


@pytest.mark.django_db
@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_never_dialled(address: str, dialled: Any) -> None:
    delivery = deliver_to(url_of(address).replace("%1", "%251"))
    assert (delivery.status, delivery.tries) == ("pending", 1)
    assert delivery.last_result == "address not allowed"
    assert dialled == []


@pytest.mark.django_db
@pytest.mark.usefixtures("no_exceptions")
def test_plain_http_to_the_public_internet_is_never_dialled(dialled: Any) -> None:
    assert deliver_to("http://8.8.8.8/").last_result == "plain http not allowed"
    assert dialled == []
    assert deliver_to("https://8.8.8.8/").last_result == "ConnectError"
    assert dialled == ["8.8.8.8"]


@pytest.mark.django_db
def test_a_receiver_on_loopback_gets_nothing_unless_allowed(receiver: Any, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    assert deliver_to(receiver.url).last_result == "address not allowed"
    assert receiver.received == []
    settings.WEBHOOK_ALLOWED_NETWORKS = EVERYTHING_LOCAL
    assert deliver_to(receiver.url).status == "delivered"


@pytest.mark.django_db
@pytest.mark.parametrize("others", [["8.8.8.8"], ["8.8.4.4", "2606:4700:4700::1111"]])
def test_one_refused_address_of_a_name_spoils_the_others(
    names: Any, dialled: Any, others: list[str]
) -> None:
    names["mixed.example"] = [[*others, "10.0.0.1"]]
    assert deliver_to("https://mixed.example/").last_result == "address not allowed"
    assert dialled == []


@pytest.mark.django_db
def test_every_allowed_address_of_a_name_is_tried_in_turn(names: Any, dialled: Any) -> None:
    names["two.example"] = [["8.8.8.8", "2606:4700:4700::1111"]]
    assert deliver_to("https://two.example/").last_result == "ConnectError"
    assert dialled == ["8.8.8.8", "2606:4700:4700::1111"]


@pytest.mark.django_db
@pytest.mark.usefixtures("no_exceptions")
def test_a_name_server_that_changes_its_mind_gains_nothing(names: Any, dialled: Any) -> None:
    names["rebinding.example"] = [["8.8.8.8"], ["127.0.0.1"]]
    assert deliver_to("https://rebinding.example/").last_result == "ConnectError"
    assert dialled == ["8.8.8.8"]
    assert names["rebinding.example"] == [["127.0.0.1"]], "one try asks once"
    WebhookDelivery.objects.update(next_attempt_at="2020-01-01T00:00Z")
    deliver_webhooks()
    assert WebhookDelivery.objects.get().last_result == "address not allowed"
    assert dialled == ["8.8.8.8"]


@pytest.mark.django_db
def test_the_address_that_was_judged_is_dialled_under_the_name(names: Any, receiver: Any) -> None:
    port = int(receiver.url.rstrip("/").rpartition(":")[2])
    names["here.example"] = [["127.0.0.1"], ["10.0.0.1"]]
    assert deliver_to(f"http://here.example:{port}/in").status == "delivered"
    assert receiver.received[0].headers["host"] == f"here.example:{port}"


@pytest.mark.django_db
def test_tls_is_asked_for_by_the_name(names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def wrap(_: Any, sock: Any, *__: Any, server_hostname: Any = None, **___: Any) -> Any:
        asked.append((sock.getpeername()[0], server_hostname))
        raise ssl.SSLError

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        names["here.example"] = [["127.0.0.1"]]
        deliver_to(f"https://here.example:{listener.getsockname()[1]}/")
    assert asked == [("127.0.0.1", "here.example")]


@pytest.mark.django_db
def test_a_redirect_is_a_failure_and_not_followed(receiver: Any) -> None:
    receiver.answer = lambda _: HTTPStatus.TEMPORARY_REDIRECT
    delivery = deliver_to(receiver.url)
    assert (delivery.status, delivery.last_result) == ("pending", "307")
    assert len(receiver.received) == 1


@pytest.mark.django_db
def test_no_proxy_of_the_environment_is_used(receiver: Any, monkeypatch: Any) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert deliver_to(receiver.url).status == "delivered"


@pytest.mark.django_db
@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize("url", ["https://10.0.0.1/", "http://hooks.example/", "http://[::1]/"])
def test_the_command_refuses_an_address_that_gets_nothing(url: str) -> None:
    with pytest.raises(CommandError, match="WEBHOOK_ALLOWED_NETWORKS"):
        call_command("add_webhook_endpoint", url)
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("no_exceptions")
def test_the_admin_refuses_an_address_that_gets_nothing(admin_client: Client) -> None:
    data = {"form": "flat", "events": ["phone_call.ended"], "is_enabled": "on"}
    page = reverse("admin:calls_webhookendpoint_add")
    response = admin_client.post(page, data | {"url": "https://192.168.0.1/"})
    errors = response.context["adminform"].form.errors["url"]
    assert "address not allowed" in str(errors)
    for url in ("nonsense", "http://", "https://user:pass@8.8.8.8/", "https://[::1"):
        assert admin_client.post(page, data | {"url": url}).status_code == 200
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("no_exceptions")
def test_an_endpoint_whose_network_is_no_longer_allowed_can_be_disabled(
    admin_client: Client,
) -> None:
    endpoint = make_endpoint(url="http://127.0.0.1:9/hooks")
    data = {"url": endpoint.url, "form": "flat", "events": endpoint.events}
    data |= {"secrets-TOTAL_FORMS": 0, "secrets-INITIAL_FORMS": 0}
    page = reverse("admin:calls_webhookendpoint_change", args=[endpoint.pk])
    assert admin_client.post(page, data).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.disabled_at
