"""Where updates may come from: one base address, in the one form that nobody can read in two ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from venom_core.ota.refusal import Code, UpdateRefused

URL_CHARACTERS_MAX = 300
METADATA_PATH = "/ota/metadata/"
TARGETS_PATH = "/ota/targets/"
"""Below the base address, as a Nexus serves them."""

_URL = re.compile(r"(https?)://(\[[0-9a-f:]{2,39}\]|[a-z0-9.-]{1,253})(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# `127.1`, `0x7f.1` and `017700000001` are addresses to a resolver: the last label of a name begins with a letter.
_LAST = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Base:
    """A base address: `https` or not, host as in an URL, port or None."""

    secure: bool
    host: str
    port: int | None

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{'https' if self.secure else 'http'}://{self.host}{port}"


def parse_base(url: str, *, insecure: bool = False) -> Base:
    """The base address in `url`: https://, a DNS name or an IP address as it is usually written, a port or none.

    One slash at the end is allowed. Plain http is for this machine only, unless `insecure` is given.

    Raises:
        UpdateRefused: BAD_URL, or INSECURE_URL.
    """
    text = url.removesuffix("/")
    match = _URL.fullmatch(text) if len(text) <= URL_CHARACTERS_MAX else None
    if match is None or not (_is_name(match[2]) or _address(match[2])) or int(match[3] or 1) > 65_535:
        raise UpdateRefused(
            Code.BAD_URL,
            f"{url!r:.120} is no base address; give https:// and a host name or IP address in lower case, with :port "
            "if it is not 443, and nothing else",
        )
    base = Base(match[1] == "https", match[2], int(match[3]) if match[3] else None)
    if not (base.secure or insecure or _is_here(base.host)):
        raise UpdateRefused(
            Code.INSECURE_URL,
            f"{base} is not encrypted; serve updates by https://, or join with --insecure in a closed network",
        )
    return base


def _is_name(host: str) -> bool:
    *before, last = host.split(".")
    return bool(_LAST.fullmatch(last)) and all(_LABEL.fullmatch(label) for label in before)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, in its usual form; none that stands for another, for nobody or for many."""
    text = host.removeprefix("[").removesuffix("]")
    try:
        found = ip_address(text)
    except ValueError:
        return None
    is_v6 = isinstance(found, IPv6Address)
    if str(found) != text or is_v6 != host.startswith("["):
        return None
    if isinstance(found, IPv6Address) and (found.ipv4_mapped or found.sixtofour or found.teredo):
        return None
    return None if found.is_unspecified or found.is_multicast or found == IPv4Address(2**32 - 1) else found


def _is_here(host: str) -> bool:
    found = _address(host)
    return host == "localhost" or (found is not None and found.is_loopback)
