"""Choosing a node among ten thousand: what a caller of `select_best_node` and the dispatcher wait for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from benchmarks.crowd import load_of, profile_of
from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.sides import TOKEN
from benchmarks.timing import percentile
from venom_core.agents.desk import Desk, Look
from venom_core.agents.wants import Want
from venom_core.config import Settings
from venom_core.core.node_manager import NodeManager
from venom_core.domain.lane import WAITING
from venom_core.domain.node import NodeState
from venom_core.domain.placement import Requirements, choose
from venom_core.domain.roster import Roster
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.placement_store import NOBODY, Unplaced

NODES = 10_000
CALLS, PLAIN_CALLS, PLACED = 1_000, 5, 4_000
LEASE_MS = 3_600_000
LIMIT_MS = 1.0
WANTED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a tag that half of them have": {"tags": "cellar"},
    "two tags, one node in sixty has both": {"tags": ["rack-7", "cellar"]},
    "a capability, at least 0.9": {"capabilities": {"ocr": 0.9}},
    "a capability, at least 0.1": {"capabilities": {"ocr": 0.1}},
    "a GPU": {"gpu": True},
    "28 GiB of free RAM": {"memory_mb": 28 * 1_024},
    "1 GiB of free RAM": {"memory_mb": 1_024},
    "a node by name": {"node": "spore-00777"},
    "code of a release": {"code>=": "1.0.1"},
    "what no node has": {"tags": "nowhere"},
    "all of it": {
        "gpu": 2, "memory_mb": 8_192, "tags": "attic", "code>=": "1.0", "capabilities": {"ocr": 0.5, "vision": 0.5},
    },
}  # fmt: skip
NOTE = f"""A skill is always asked for. `select_best_node` with all it does, {CALLS:,} calls a round; the last column
looks at each node, which is the definition that a property test compares with. A task of a tick is placed by the
dispatcher's desk, tasks of all these kinds in turn, each counting for the next; reading its envelope and moving it are
not in it."""


def measure(lab: Lab) -> Section:
    count = NODES // 20 if lab.quick else NODES
    section = Section(
        "nodes",
        f"Choosing a node among {count:,}",
        ["asked for", "p50 µs", "p99 µs", "a look at each, µs"],
        notes=[NOTE],
    )
    looks, cases = asyncio.run(_measure(lab, count))
    for words, (fast, plain) in cases.items():
        p50, p99 = percentile(fast, 50), percentile(fast, 99)
        section.rows.append([words, f"{p50:,.1f}", f"{p99:,.1f}", f"{middle(plain):,.0f}" if plain else ""])
        section.numbers[words] = {"p50_us": p50, "p99_us": p99}
    section.numbers["look_ms"] = looks
    section.notes.append(
        f"Before that, once a heartbeat, a look at all of them is read and put in order: {middle(looks):,.0f} ms."
    )
    worst = max(percentile(fast, 99) for fast, _ in cases.values()) / 1_000
    section.promises.append(
        Promise(f"choosing a node among {count:,}, p99 of the dearest question", LIMIT_MS, worst, "ms")
    )
    return section


async def _measure(lab: Lab, count: int) -> tuple[list[float], dict[str, tuple[list[float], list[float]]]]:
    """Milliseconds of looks, and for each question the microseconds by the roster and by a look at each node."""
    lab.server.empty()
    async with MessageBroker(Settings.load(redis_url=lab.server.url, nexus_shared_token=TOKEN)) as broker:
        epochs = [(await broker.hive.nodes.join(profile_of(number), LEASE_MS)).epoch for number in range(count)]
        manager, dice, looks = NodeManager(broker), random.Random(2), list[float]()
        cases: dict[str, tuple[list[float], list[float]]] = {words: ([], []) for words in WANTED}
        placed: list[float] = []
        for _ in range(lab.rounds):
            for number, epoch in enumerate(epochs):
                await broker.hive.nodes.renew(epoch, profile_of(number).name, LEASE_MS, load_of(dice))
            begin = time.perf_counter()
            await manager.refresh()
            looks.append((time.perf_counter() - begin) * 1_000)
            nodes = manager.list_nodes(online_only=True)
            for words, wanted in WANTED.items():
                _compare(manager, nodes, wanted, *cases[words])
            placed += _place(nodes)
        return looks[1:] or looks, cases | {"a task of a tick": (placed, [])}


def _compare(
    manager: NodeManager, nodes: list[NodeState], wanted: dict[str, Any], fast: list[float], plain: list[float]
) -> None:
    needs = Requirements.parse(wanted)
    fast += _times_us(CALLS, lambda: manager.select_best_node("scan", wanted))
    plain += _times_us(PLAIN_CALLS, lambda: choose(needs, "scan", nodes))
    best, expected = manager.select_best_node("scan", wanted), choose(needs, "scan", nodes)
    if (best and best.profile) != (expected and expected.profile):
        raise SystemExit(f"{wanted} chose another node than the definition says")


def _place(nodes: list[NodeState]) -> list[float]:
    wants = [Want(Requirements.parse(wanted), "scan") for wanted in WANTED.values() if "node" not in wanted]
    desk = Desk(Look(nodes, Roster()), {}, {})
    tasks = iter(
        [(Unplaced(f"t{number}", b"", NOBODY, WAITING), wants[number % len(wants)]) for number in range(PLACED)]
    )
    desk.place(*next(tasks))  # lays the nodes out
    return _times_us(PLACED - 1, lambda: desk.place(*next(tasks)))


def _times_us(count: int, step: Callable[[], Any]) -> list[float]:
    """Microseconds of each of so many steps."""
    found = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        step()
        found.append((time.perf_counter_ns() - begin) / 1_000)
    return found
