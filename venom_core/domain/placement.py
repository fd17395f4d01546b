"""Which node a task goes to, and how much each node should hold: pure decisions over `NodeState`s.

The lowest load score wins (`NodeLoad.score`, the documents' formula). A task with requirements is given to one
node that meets them all. Everything else is pulled; there the score decides through a budget: a node that is
busier than its peers by more than `TOLERANCE` leaves what is beyond its budget to them for a moment, and takes
it when nobody else did. So no slot idles while work waits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from venom_core.domain.node import TAGS_MAX, NodeState, check_name
from venom_core.errors import InvalidSetting, InvalidTask

TOLERANCE = 10.0
POINTS_A_TASK = 3.0
GPUS_MAX = 1_024
MEMORY_MB_MAX = 1 << 30
_RELEASE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}")
Rank = tuple[bool, float, int, str]
_NAMES = ("gpu", "capabilities", "tags", "memory_mb", "node", "code>=")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a task needs of its node; empty fields ask for nothing. `memory_mb` is free RAM in MiB."""

    gpu: int = 0
    capabilities: tuple[tuple[str, float], ...] = ()
    tags: tuple[str, ...] = ()
    memory_mb: float = 0.0
    node: str = ""
    code: str = ""

    @classmethod
    def parse(cls, wanted: Mapping[str, Any] | None) -> Requirements:
        """Read {"gpu": True or how many, "capabilities": names or {name: least proficiency 0-1}, "tags": names,
        "memory_mb": free MiB, "node": name, "code>=": release}; None asks for nothing. Raises `InvalidTask`.
        """
        if wanted is None:
            return cls()
        if not isinstance(wanted, Mapping):
            raise InvalidTask(f"requirements are a dict such as {{'gpu': True}}, not {type(wanted).__name__}")
        for name in wanted:
            if name not in _NAMES:
                raise InvalidTask(f"there is no requirement {_shown(name)}; there are: {', '.join(_NAMES)}")
        asked = {name: value for name, value in wanted.items() if value is not None}
        return cls(
            gpu=_gpus(asked.get("gpu", 0)),
            capabilities=_capabilities(asked.get("capabilities", ())),
            tags=tuple(sorted(_list_of_names("tags", asked.get("tags", ())))),
            memory_mb=_number("memory_mb", asked.get("memory_mb", 0), MEMORY_MB_MAX),
            node=_name("node", asked["node"]) if "node" in asked else "",
            code=_release(asked["code>="]) if "code>=" in asked else "",
        )

    def to_dict(self) -> dict[str, Any]:
        """As `parse` reads it, without what asks for nothing; it travels in the sealed envelope."""
        whole = {
            "gpu": self.gpu,
            "capabilities": dict(self.capabilities),
            "tags": list(self.tags),
            "memory_mb": self.memory_mb,
            "node": self.node,
            "code>=": self.code,
        }
        return {name: value for name, value in whole.items() if value}

    def merged(self, other: Requirements) -> Requirements:
        """What meets both at once; where both name a node, this one's stands."""
        capabilities = dict(self.capabilities)
        for name, least in other.capabilities:
            capabilities[name] = max(least, capabilities.get(name, 0.0))
        return Requirements(
            gpu=max(self.gpu, other.gpu),
            capabilities=tuple(sorted(capabilities.items())),
            tags=tuple(sorted({*self.tags, *other.tags})),
            memory_mb=max(self.memory_mb, other.memory_mb),
            node=self.node or other.node,
            code=max(self.code, other.code, key=release_order),
        )

    def shortfalls(self, node: NodeState, task_type: str | None = None) -> list[str]:
        """What keeps a task from this node, in words; empty if it may go there."""
        profile, found = node.profile, []
        if not node.online:
            return ["it is offline"]
        if node.load.cordoned:
            return ["it is cordoned"]
        if task_type is not None and task_type not in profile.skills:
            found.append(f"it lacks the skill {task_type!r}")
        if self.node and profile.name != self.node:
            found.append(f"it is not {self.node!r}")
        if self.gpu and self.gpu > profile.gpus:
            found.append(f"it has {profile.gpus} GPUs of {self.gpu}")
        for name, least in self.capabilities:
            has = profile.capabilities.get(name)
            if has is None:
                found.append(f"it lacks the capability {name!r}")
            elif not least <= has <= 1:  # also what is no number
                found.append(f"its {name!r} is {has:g} of {least:g}")
        found += [f"it lacks the tag {tag!r}" for tag in self.tags if tag not in profile.tags]
        if self.memory_mb and not self.memory_mb <= node.load.memory_available_mb < math.inf:
            found.append(f"it has {node.load.memory_available_mb:,.0f} MiB of free RAM of {self.memory_mb:,.0f}")
        if self.code and release_order(profile.release) < release_order(self.code):
            found.append(f"its code is {profile.release or 'unknown'}, older than {self.code}")
        return found


def free_slots(node: NodeState, given: int = 0) -> int:
    """Slots that nothing runs in and nothing was given to."""
    return node.profile.concurrency - max(node.load.active_tasks, 0) - given


def full_if_silent(node: NodeState, silent_ms: int) -> NodeState:
    """The node; one whose event loop has been silent for longer starts nothing, so its slots count as taken."""
    if node.load.loop_silent_ms <= silent_ms:
        return node
    taken = max(node.load.active_tasks, node.profile.concurrency)
    return msgspec.structs.replace(node, load=msgspec.structs.replace(node.load, active_tasks=taken))


def rank(node: NodeState, given: int) -> Rank:
    """The less, the better a node is for the next task, with so many given since its last heartbeat."""
    free = free_slots(node, given)
    return (free <= 0, node.load.score() + POINTS_A_TASK * given, -free, node.profile.name)


def choose(
    needs: Requirements, task_type: str | None, nodes: Sequence[NodeState], given: Mapping[str, int] | None = None
) -> NodeState | None:
    """The node for one task: among those that meet its needs one with a free slot, then the least load score.

    `given` counts what a node got since its last heartbeat. None if no live node can take the task. This is the
    definition, which looks at every node; `domain/roster` keeps them in order and finds the same one at once.
    """
    given = given or {}
    able = [node for node in nodes if node.profile.kind == "spore" and not needs.shortfalls(node, task_type)]
    return min(able, key=lambda node: rank(node, given.get(node.profile.name, 0)), default=None)


def shares_work(node: NodeState) -> bool:
    """Whether it is one of those among which work is to be spread."""
    return node.takes_tasks and node.profile.kind == "spore" and node.profile.concurrency > 0


def uneven(floors: Iterable[float]) -> bool:
    """Whether any two of these scores without own tasks lie so far apart that somebody may have a budget."""
    every = list(floors)
    return len(every) > 1 and max(every) - min(every) > TOLERANCE


def claim_budgets(
    nodes: Sequence[NodeState], waiting: int, floors: Mapping[str, float] | None = None
) -> dict[str, int]:
    """Tasks that each overloaded node should hold for now; a node that is not named has no limit but its slots.

    What runs and waits is thought to be placed one by one on the node with the least score (`POINTS_A_TASK` is
    what one more active task adds to it). `waiting` tasks are ready in all queues. `floors` are scores without own
    tasks by name, for every node that shares work, if they are not to be those of the last heartbeats.
    """
    sharing = [node for node in nodes if shares_work(node)]
    if floors is None:
        floors = {node.profile.name: node.load.floor() for node in sharing}
    if not uneven(floors.values()):
        return {}
    high = min(floors.values()) + TOLERANCE
    total = waiting + sum(max(node.load.active_tasks, 0) for node in sharing)
    level = _level([(floors[node.profile.name], node.profile.concurrency) for node in sharing], total)
    budgets = {}
    for node in sharing:
        floor = floors[node.profile.name]
        share = max((level - floor) / POINTS_A_TASK, 0.0)
        if floor > high and share < node.profile.concurrency:
            # Rounded up: what the idle ones cannot hold is in the budgets as a whole.
            budgets[node.profile.name] = math.ceil(share - 1e-6)
    return budgets


def _level(nodes: Sequence[tuple[float, int]], total: int) -> float:
    """The score at which `total` tasks would stand, poured over nodes of (floor, slots).

    It rises from floor to brim to the next floor or brim; between them as many nodes are filling.
    """
    begin = sorted(floor for floor, _ in nodes)
    brim = sorted(floor + POINTS_A_TASK * slots for floor, slots in nodes)
    level, held, begun, full = begin[0], 0.0, 0, 0
    while full < len(brim):
        fills = begun < len(begin) and begin[begun] <= brim[full]
        rises_to = begin[begun] if fills else brim[full]
        filling = begun - full
        more = filling * (rises_to - level) / POINTS_A_TASK
        if filling and held + more >= total:
            return level + (total - held) * POINTS_A_TASK / filling
        held, level = held + more, rises_to
        begun, full = (begun + 1, full) if fills else (begun, full + 1)
    return level


def _number(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise InvalidTask(f"requirement {name} is a number from 0 to {most:,}, not {_shown(value)}")
    return float(value)


def _gpus(value: Any) -> int:
    number = _number("gpu", int(value) if isinstance(value, bool) else value, GPUS_MAX)
    if not number.is_integer():
        raise InvalidTask(f"requirement gpu is True or a whole number of GPUs, not {_shown(value)}")
    return int(number)


def _shown(value: Any) -> str:
    """The start of a value; Python refuses to write a number of more than 4,300 digits."""
    return "a huge number" if isinstance(value, int) and value.bit_length() > 1_000 else f"{value!r:.60}"


def _name(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidTask(f"requirement {what} is a name, not {_shown(value)}")
    try:
        return check_name(value)
    except InvalidSetting as fault:
        raise InvalidTask(f"requirement {what}: {fault}") from None


def _list_of_names(what: str, value: Any) -> set[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset) or len(names) > TAGS_MAX:
        raise InvalidTask(f"requirement {what} is a list of at most {TAGS_MAX} names, not {_shown(value)}")
    return {_name(what, name) for name in names}


def _capabilities(value: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping):
        return tuple(sorted((name, 0.0) for name in _list_of_names("capabilities", value)))
    names = _list_of_names("capabilities", list(value))
    return tuple(sorted((name, _number(f"capability {name}", value[name], 1)) for name in names))


def _release(value: Any) -> str:
    if not isinstance(value, str) or not _RELEASE.fullmatch(value):
        raise InvalidTask(f"requirement code>= is a release such as '1.2.0', not {_shown(value)}")
    return value


def release_order(release: str) -> tuple[int, ...]:
    """Numbers to compare releases by; zeros at the end mean nothing."""
    found = _RELEASE.match(release)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
