"""What a server says of its own condition: memory, disk, who is connected, what it listens on. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from venom_core.errors import StoreError, StoreRefused
from venom_core.infrastructure.redis_address import RedisAddress
from venom_core.infrastructure.redis_errors import foreign_errors
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.redis_pools import Pools

CLIENTS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """`info` and `config` are the server's own names and texts; empty where this user may not ask.

    `clients` are the addresses it is used from, without ports; None if this user may not ask.
    """

    info: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    clients: tuple[str, ...] | None = None


async def read_health(link: RedisLink) -> ServerHealth:
    """Ask for what this user may know. Raises `StoreUnavailable`."""
    info = await _asked(link, "INFO")
    config: dict[str, str] = {}
    for name in ("bind", "port", "tls-port", "maxmemory-policy", "appendfsync", "save", "dir"):
        reply = await _asked(link, "CONFIG", "GET", name)
        pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True) if reply else ()
        config |= {_text(key): _text(value) for key, value in pairs}
    listed = await _asked(link, "CLIENT", "LIST")
    return ServerHealth(_info(listed=info), config, None if listed is None else _clients(_text(listed)))


async def _asked(link: RedisLink, *command: str) -> Any:
    """The reply, or None if this user may not ask."""
    try:
        return await link.command(*command)
    except (StoreRefused, ResponseError):
        return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _info(*, listed: Any) -> dict[str, str]:
    lines = _text(listed or b"").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _clients(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for line in text.splitlines()[:CLIENTS_MAX]:
        words = dict(word.partition("=")[::2] for word in line.split(" "))
        found[words.get("addr", "").rpartition(":")[0].strip("[]")] = None
    return tuple(found)


def lets_strangers_in(address: RedisAddress) -> bool | None:
    """Whether the server answers who gives no password; None if it cannot be told. Blocks for 2 s at most."""
    bare = RedisAddress(hosts=address.hosts, path=address.path, tls=address.tls)
    if address.service:
        return None
    client = Pools(bare).sync_client(2.0)
    try:
        with foreign_errors():
            return bool(client.ping())
    except StoreRefused:
        return False
    except StoreError:
        return None
    finally:
        client.close()
