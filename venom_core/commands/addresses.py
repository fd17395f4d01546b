"""Which address of this machine the server may listen on, so that other machines reach it and strangers do not."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

import psutil

from venom_core.errors import InputError

ALL_NETWORKS = "--all-networks"

Address = IPv4Address | IPv6Address


def own_addresses() -> list[Address]:
    """Addresses of this machine, those that other machines may reach first."""
    found = [entry.address.partition("%")[0] for entries in psutil.net_if_addrs().values() for entry in entries]
    return sorted({address for text in found if (address := _read(text)) is not None}, key=_rank)


def _read(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None  # the hardware address of a network card


def _rank(address: Address) -> tuple[bool, bool, int, Address | int]:
    return address.is_loopback, address.is_link_local, address.version, int(address)


def check_bind(text: str, own: Iterable[Address], *, all_networks: bool) -> Address:
    """The address to listen on; `InputError` if it is not this machine's, or open to strangers without the word."""
    mine = list(own)
    reachable = [str(address) for address in mine if not (address.is_loopback or address.is_link_local)]
    names = ", ".join(reachable[:6]) or "no other than the loopback"
    address = _read(text)
    if address is None:
        raise InputError(f"--bind takes an address of this machine, not {text!r:.60}; it has: {names}")
    if address.is_unspecified:
        if not all_networks:
            raise InputError(
                f"--bind {address} opens the server to every network this machine is in; name one of its addresses "
                f"({names}), or add {ALL_NETWORKS} if that is what you want"
            )
        return address
    if address not in mine:
        raise InputError(f"{address} is no address of this machine; it has: {names}")
    if address.is_global and not all_networks:
        raise InputError(
            f"{address} is a public address: the whole internet could reach the server, and nothing is encrypted; "
            f"bind a private one ({names}), or add {ALL_NETWORKS} if a firewall stands before it"
        )
    return address


def shown_to_others(address: Address, own: Iterable[Address]) -> str:
    """How another machine calls this one."""
    if not address.is_unspecified:
        return str(address)
    reachable = [mine for mine in own if not mine.is_loopback and mine.version == address.version]
    outward = _outward(address.version)
    return str(outward if outward in reachable else next(iter(reachable), address))


def _outward(version: int) -> Address | None:
    """The address from which this machine would call a stranger; nothing is sent."""
    family, stranger = (socket.AF_INET6, "2001:db8::1") if version == 6 else (socket.AF_INET, "192.0.2.1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((stranger, 9))
            return _read(str(asked.getsockname()[0]))
    except OSError:
        return None  # no way out of this network
