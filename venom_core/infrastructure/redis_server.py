"""What a server says about itself, and whether a hive may live on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from venom_core.errors import StoreRefused, StoreTooOld

log = logging.getLogger("venom.store")

OLDEST = {"Redis": (7, 0), "Valkey": (7, 2)}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Empty text stands for what the server did not tell."""

    name: str = "Redis"
    version: str = ""
    mode: str = ""
    replica: bool = False
    maxmemory_policy: str = ""
    aof_enabled: str = ""


def read_info(reply: bytes) -> ServerFacts:
    """Facts out of the reply to INFO. Valkey calls itself Redis 7.2.4 for old clients, so its own field comes first."""
    pairs = (line.split(":", 1) for line in reply.decode("utf-8", "replace").splitlines() if ":" in line)
    info = {name: value.strip() for name, value in pairs}
    valkey = info.get("valkey_version", "")
    mode = info.get("server_mode") or info.get("redis_mode", "")
    return ServerFacts(
        name="Valkey" if valkey or info.get("server_name") == "valkey" else "Redis",
        version=valkey or info.get("redis_version", ""),
        mode="cluster" if info.get("cluster_enabled") == "1" else mode,
        replica=info.get("role") == "slave" and info.get("slave_read_only", "1") == "1",
        maxmemory_policy=info.get("maxmemory_policy", ""),
        aof_enabled=info.get("aof_enabled", ""),
    )


def read_hello(reply: Sequence[object]) -> ServerFacts:
    """Facts out of the reply to HELLO, a flat list of names and values, which an ACL user without INFO may ask."""
    words = [item.decode() if isinstance(item, bytes) else item for item in reply]
    told = dict(zip(words[::2], words[1::2], strict=False))
    return ServerFacts(
        name="Valkey" if told.get("server") == "valkey" else "Redis",
        version=str(told.get("version", "")),
        mode=str(told.get("mode", "")),
        replica=told.get("role") in {"replica", "slave"},
    )


def judge_server(facts: ServerFacts, place: str) -> None:
    """Refuse a server that cannot hold a hive, warn of one that may lose it.

    Raises:
        StoreTooOld: older than Redis 7.0 or Valkey 7.2.
        StoreRefused: a Sentinel, a cluster node or a read-only replica.
    """
    if facts.version and _number(facts.version) < OLDEST[facts.name]:
        raise StoreTooOld(
            f"{place} is {facts.name} {facts.version}, but a hive needs Redis 7.0 or Valkey 7.2 at least; upgrade it."
        )
    if facts.mode == "sentinel":
        raise StoreRefused(
            f"{place} is a Sentinel, not a store; write the address as redis+sentinel://host:port/service."
        )
    if facts.mode == "cluster":
        raise StoreRefused(
            f"{place} is part of a Redis Cluster, on which the engine does not run yet; give one without cluster mode."
        )
    if facts.replica:
        raise StoreRefused(f"{place} is a read-only replica; give the address of its master, or use redis+sentinel://.")
    if facts.maxmemory_policy not in {"", "noeviction"}:
        log.warning(
            "%s may throw away tasks when memory is short (maxmemory-policy %s); set it to noeviction.",
            place,
            facts.maxmemory_policy,
        )
    if facts.aof_enabled == "0":
        log.warning("%s forgets its latest tasks when it crashes; set appendonly yes.", place)


def _number(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)
