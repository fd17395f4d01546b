"""A node as the hive sees it: who it is, what it can do, how loaded it is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from venom_core.errors import InvalidSetting

NAME_CHARS_MAX = 128
TAGS_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,%d}" % NAME_CHARS_MAX)


class NodeProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node says of itself once, when it joins.

    `capabilities` are {name: proficiency 0-1}; `hardware` is {"cpu_count", "memory_mb", "gpus", …} as found.
    """

    name: str
    kind: str = "spore"
    release: str = ""
    concurrency: int = 0
    skills: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    started_ms: int = 0
    endpoint: str = ""
    capabilities: dict[str, float] = {}
    hardware: dict[str, Any] = {}

    @property
    def gpus(self) -> int:
        """How many GPUs it has."""
        found = self.hardware.get("gpus", 0)
        return found if isinstance(found, int) else 0


class NodeLoad(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node says with each heartbeat; percentages are 0-100, of its cgroup where one limits it, memory MiB."""

    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    disk_percent: float = 0.0
    load_1m: float = 0.0
    active_tasks: int = 0
    loop_silent_ms: int = 0
    memory_available_mb: float = 0.0
    cordoned: bool = False

    def score(self) -> float:
        """The documents' load score on the percent scale, uncapped; lower is freer."""
        return self.floor() + 0.3 * (max(self.active_tasks, 0) / 10) * 100

    def floor(self, cpu_percent: float | None = None) -> float:
        """The score's part that is not our own tasks; what is no number counts as a full machine.

        `cpu_percent` stands for the last reading if whoever asks knows better.
        """
        cpu = self.cpu_percent if cpu_percent is None else cpu_percent
        return 0.4 * finite_percent(cpu) + 0.3 * finite_percent(self.memory_percent)


class NodeState(msgspec.Struct, frozen=True):
    """A node as read from the store: profile, last load and when it was heard, lease epoch and what is left of it."""

    profile: NodeProfile
    load: NodeLoad
    epoch: int
    lease_left_ms: int
    heard_ms: int = 0

    @property
    def online(self) -> bool:
        """Whether the node holds a live lease."""
        return self.lease_left_ms > 0

    @property
    def takes_tasks(self) -> bool:
        """Whether it is online and not cordoned."""
        return self.online and not self.load.cordoned


def check_name(name: str) -> str:
    """The node or tag name itself if well formed; `InvalidSetting` otherwise."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise InvalidSetting(
        f"a node name or tag is 1 to {NAME_CHARS_MAX} letters, digits, '_', '.', ':' or '-', not {name!r:.60}"
    )


def check_capabilities(capabilities: Mapping[str, float] | Iterable[str]) -> dict[str, float]:
    """{name: proficiency 0-1} if well formed, a name alone standing for 1; `InvalidSetting` otherwise."""
    if isinstance(capabilities, str) or not isinstance(capabilities, Iterable):
        raise InvalidSetting(f"capabilities are names or {{name: proficiency 0-1}}, not {capabilities!r:.60}")
    if not isinstance(capabilities, Mapping):
        capabilities = {check_name(name): 1.0 for name in capabilities}
    for name, proficiency in capabilities.items():
        check_name(name)
        if not isinstance(proficiency, int | float) or not 0 <= proficiency <= 1:
            raise InvalidSetting(f"the proficiency of {name!r} is 0 to 1, not {proficiency!r:.60}")
    if len(capabilities) > TAGS_MAX:
        raise InvalidSetting(f"a node has at most {TAGS_MAX} capabilities, not {len(capabilities)}")
    return {name: float(proficiency) for name, proficiency in capabilities.items()}


def read_capabilities(text: str) -> dict[str, float]:
    """Read "vision=0.9,ocr"; a name alone stands for 1. Raises `InvalidSetting`."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, proficiency = part.partition("=")
        try:
            found[name.strip()] = float(proficiency) if sign else 1.0
        except ValueError:
            raise InvalidSetting(f"a capability is a name or name=0.9, not {part!r:.60}") from None
        if "" in found:
            raise InvalidSetting(f"a capability is a name or name=0.9, not {part!r:.60}: its name is missing")
    return check_capabilities(found)


def finite_percent(value: float) -> float:
    """A reading pressed into 0-100; what is not a number counts as full, so nobody is sent there."""
    if 0.0 <= value <= 100.0:
        return value
    return min(max(value, 0.0), 100.0) if math.isfinite(value) else 100.0
