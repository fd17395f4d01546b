"""Which network addresses `fetch` may connect to.

Pages come from strangers, and so do links and redirects: without this, a page could make a node ask the router,
the cloud's metadata service or a database of the private network, and hand out what they say. An address is
judged by what it is, not by the name that led to it, and once more as the IPv4 address it carries inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from venom_core.errors import Forbidden

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Public by their number, yet answered by the machine's own surroundings: Azure's and Oracle's metadata services.
_METADATA = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"))
_NAT64 = ip_network("64:ff9b::/96")


class AddressPolicy:
    """Public addresses, and the `private` networks that were named (`10.0.0.0/8,127.0.0.1`, or nothing)."""

    def __init__(self, private: str | None = None) -> None:
        named = (part.strip() for part in (private or "").split(","))
        self._private: list[Network] = [ip_network(part, strict=False) for part in named if part]

    def check(self, host: str, address: str) -> None:
        """Raise `Forbidden` unless a connection to this address is allowed; `host` is what led to it."""
        judged = list(_carried(ip_address(address)))
        if all(_is_public(each) or self._is_named(each) for each in judged):
            return
        raise Forbidden(
            f"{host!r:.80} leads to {address}, a private, local or reserved address; "
            "to allow its network, name it in HIVE_FETCH_PRIVATE"
        )

    def _is_named(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._private)


def _carried(address: Address) -> Iterator[Address]:
    """The address that is really meant: the IPv4 address inside of an IPv6 one, where one form carries the other."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    else:
        yield address
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return not any(address.version == network.version and address in network for network in _METADATA)
