from ipaddress import ip_address, ip_network

import pytest
from django.test import RequestFactory

from collections_platform.api.addresses import address_group, client_address, parse_address

PROXIES = ["10.0.0.0/8", "2001:db8:ffff::/48"]


@pytest.fixture(autouse=True)
def proxies(settings) -> None:
    settings.TRUSTED_PROXIES = [ip_network(text) for text in PROXIES]


def seen(peer: str, forwarded: str | None = None) -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return str(client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)))


def test_a_forwarded_address_is_believed_only_from_a_trusted_proxy() -> None:
    assert seen("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert seen("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert seen("2001:db8:ffff::1", "2001:db8::7") == "2001:db8::7"
    assert seen("10.0.0.1") == "10.0.0.1"


def test_without_trusted_proxies_no_forwarded_address_is_believed(settings) -> None:
    settings.TRUSTED_PROXIES = []
    assert seen("127.0.0.1", "198.51.100.1") == "127.0.0.1"
    assert seen("", "198.51.100.1") == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, unknown", "10.0.0.1"),
        ("1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("", "10.0.0.1"),
        (",,", "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_not_trusted_counts(forwarded: str, address: str) -> None:
    assert seen("10.0.0.1", forwarded) == address


def test_a_peer_on_a_unix_socket_stands_for_this_machine(settings) -> None:
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    assert seen("", "198.51.100.1") == "198.51.100.1"


def test_ipv6_counts_by_its_64_and_ipv4_by_the_address() -> None:
    def group(text: str) -> str:
        return address_group(ip_address(text))

    assert group("2001:db8:1:2:3::4") == group("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert group("2001:db8:1:3::9") != group("2001:db8:1:2::9")
    assert group("fe80::1%eth0") == "fe80::/64"
    assert group("192.0.2.1") == "192.0.2.1"
    assert parse_address("::ffff:192.0.2.1") == ip_address("192.0.2.1")
