"""Where webhooks may be sent: to the public internet by https, elsewhere only as
WEBHOOK_ALLOWED_NETWORKS says.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

IPAddress = IPv4Address | IPv6Address

# What a network keeps to itself. `ipaddress.is_global` knows less, and on Python 3.11 is wrong
# about some of it. https://www.iana.org/assignments/iana-ipv4-special-registry/
SPECIAL_IPV4 = [
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # the platform service of Azure's virtual machines
        "169.254.0.0/16",  # link-local, where clouds keep their metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
# Of IPv6 only this part is given out for the public internet, ...
PUBLIC_IPV6 = IPv6Network("2000::/3")
# ... with these exceptions. https://www.iana.org/assignments/iana-ipv6-special-registry/
SPECIAL_IPV6 = [
    ip_network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",  # documentation
    )
]
# Gateways from IPv6 to the IPv4 address in the last 32 bits: a usual way out of a network that
# has IPv6 alone.
NAT64 = IPv6Network("64:ff9b::/96")


class AddressNotAllowed(Exception):
    """Nothing is sent there; the text says why, in a few words."""


def _as_reached(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address leads to by itself, or the address."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def is_in_allowed_networks(address: IPAddress) -> bool:
    """Does the address lie inside WEBHOOK_ALLOWED_NETWORKS?"""
    ways = {address, _as_reached(address)}
    return any(way in network for way in ways for network in settings.WEBHOOK_ALLOWED_NETWORKS)


def is_public(address: IPAddress) -> bool:
    """Does the address belong to the public internet, and to nobody's own network?"""
    reached = _as_reached(address)
    if isinstance(reached, IPv4Address):
        return not any(reached in network for network in SPECIAL_IPV4)
    return reached in PUBLIC_IPV6 and not any(reached in network for network in SPECIAL_IPV6)


def check_allowed(addresses: Sequence[IPAddress], is_plain: bool) -> None:
    """Raise `AddressNotAllowed` unless webhooks may go to every one of these; `is_plain`: by
    http. One bad address spoils the others: a name that leads to both may be set up to slip by.
    """
    elsewhere = [address for address in addresses if not is_in_allowed_networks(address)]
    if not all(is_public(address) for address in elsewhere):
        raise AddressNotAllowed("address not allowed")
    if is_plain and elsewhere:
        raise AddressNotAllowed("plain http not allowed")


def resolve(host: str, port: int, flags: int = 0) -> list[tuple[Any, ...]]:
    """The entries of `getaddrinfo` for a stream to this host, each address once. Raises OSError."""
    return list(dict.fromkeys(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, flags)))


def addresses_of(entries: Sequence[tuple[Any, ...]]) -> list[IPAddress]:
    return [ip_address(entry[4][0]) for entry in entries]


def validate_address(url: str) -> None:
    """An absolute address of http or https; the host may be a name that only this network knows."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValidationError(_("Give a whole address, such as https://example.com/hooks."))
    if parts.username or parts.password:
        raise ValidationError(_("Give an address without user name and password."))


def validate_destination(url: str) -> None:
    """Raise `ValidationError` if it is known already that nothing would be sent to this address.

    Judged are addresses in digits, `localhost`, and, for plain http, what a name leads to. For
    https a name is judged when it is dialled, as every address is.
    """
    parts = urlsplit(url)
    is_plain = parts.scheme == "http"
    try:
        check_allowed(_known_addresses(parts.hostname or "", is_plain), is_plain)
    except AddressNotAllowed as refusal:
        raise ValidationError(
            _(
                "Nothing is sent to this address (%(why)s): give an https address on the public"
                " internet, or have its network added to WEBHOOK_ALLOWED_NETWORKS."
            ),
            params={"why": str(refusal)},
        ) from None


def _known_addresses(host: str, is_plain: bool) -> list[IPAddress]:
    try:
        return addresses_of(resolve(host, 0, socket.AI_NUMERICHOST))
    except (OSError, ValueError):
        pass
    if f".{host}".rstrip(".").endswith(".localhost"):
        return [IPv4Address("127.0.0.1")]
    if not is_plain:
        return []
    if not settings.WEBHOOK_ALLOWED_NETWORKS:
        raise AddressNotAllowed("plain http not allowed")
    try:
        return addresses_of(resolve(host, 0))
    except (OSError, ValueError):
        return []  # perhaps a name that only the workers' network knows
