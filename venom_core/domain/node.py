"""A node as the hive sees it: who it is, what it can do, how loaded it is."""

from __future__ import annotations

import math
import re

import msgspec

from venom_core.errors import InvalidSetting

NAME_CHARS_MAX = 128
TAGS_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,%d}" % NAME_CHARS_MAX)


class NodeProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node says of itself once, when it joins."""

    name: str
    kind: str = "spore"
    release: str = ""
    concurrency: int = 0
    skills: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    started_ms: int = 0


class NodeLoad(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node says with each heartbeat; percentages are 0-100, of its cgroup where one limits it."""

    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    disk_percent: float = 0.0
    load_1m: float = 0.0
    active_tasks: int = 0
    loop_silent_ms: int = 0

    def score(self) -> float:
        """The documents' load score on the percent scale, uncapped; lower is freer."""
        return 0.4 * self.cpu_percent + 0.3 * self.memory_percent + 0.3 * (self.active_tasks / 10) * 100


class NodeState(msgspec.Struct, frozen=True):
    """A node as read from the store: profile, last load, lease epoch and what is left of the lease."""

    profile: NodeProfile
    load: NodeLoad
    epoch: int
    lease_left_ms: int

    @property
    def online(self) -> bool:
        """Whether the node holds a live lease."""
        return self.lease_left_ms > 0


def check_name(name: str) -> str:
    """The node or tag name itself if well formed; `InvalidSetting` otherwise."""
    if _NAME.fullmatch(name):
        return name
    raise InvalidSetting(
        f"a node name or tag is 1 to {NAME_CHARS_MAX} letters, digits, '_', '.', ':' or '-', not {name!r:.60}"
    )


def finite_percent(value: float) -> float:
    """A reading pressed into 0-100; what is not a number counts as full, so nobody is sent there."""
    return min(max(value, 0.0), 100.0) if math.isfinite(value) else 100.0
