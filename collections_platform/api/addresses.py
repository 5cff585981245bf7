"""Where a request comes from."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address

# What a peer on a Unix socket, which has no address, stands for.
LOOPBACK = IPv4Address("127.0.0.1")
# Whoever has one IPv6 address has 2**64 of them.
IPV6_PREFIX = 64


def client_address(request: HttpRequest) -> Address:
    """The peer; behind TRUSTED_PROXIES the address that the last of them was connected from.

    X-Forwarded-For is read from its right end, where trusted proxies have written; what stands
    left of the first address that is not theirs may be anybody's invention.
    """
    address = parse_address(request.META.get("REMOTE_ADDR", "")) or LOOPBACK
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while forwarded and _is_trusted(address):
        before = parse_address(forwarded.pop())
        if before is None:
            break
        address = before
    return address


def address_group(address: Address) -> str:
    """What is counted as one: an IPv4 address, or the /64 of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return str(address)
    host_bits = 128 - IPV6_PREFIX
    return str(ip_network((int(address) >> host_bits << host_bits, IPV6_PREFIX)))


def parse_address(text: str) -> Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:8080`, `2001:db8::1` or `[2001:db8::1]:8080`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _is_trusted(address: Address) -> bool:
    networks: list[IPv4Network | IPv6Network] = settings.TRUSTED_PROXIES
    return any(address in network for network in networks)
