"""Beside the no-ops: short waits, larger payloads, results that somebody awaits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.lab import Lab
from benchmarks.section import Section, middle, span, whole

NOTE = """With 100 slots no worker can do more than 100,000 tasks of 1 ms or 10,000 of 10 ms a second. Awaited: the
hive's caller enqueues in bulk and waits for all at once; arq's 100 coroutines each enqueue one and wait for
it; the rate is from the first enqueue to the last result in the caller, the worker running before."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of task and how many of it each side gets."""

    words: str
    task: str
    hive_tasks: int
    arq_tasks: int
    payload: dict[str, Any] = field(default_factory=dict)
    verb: str = "drain"


KINDS = (
    Kind("1 ms tasks (asyncio.sleep)", "nap", 60_000, 10_000, {"ms": 1}),
    Kind("10 ms tasks (asyncio.sleep)", "nap", 30_000, 10_000, {"ms": 10}),
    Kind("1 KB payloads", "length", 60_000, 10_000, {"text": "x" * 1_000}),
    Kind("no-ops, every result awaited", "noop", 20_000, 5_000, {"n": 1}, "awaited"),
)


def measure(lab: Lab) -> Section:
    section = Section(
        "kinds",
        "Beside the no-ops",
        ["", "", "tasks/s", "least–most", "× arq", "worker CPU µs/task", "Redis CPU µs/task"],
        notes=[NOTE],
    )
    for kind in KINDS:
        runs: dict[str, list[tuple[float, float, float]]] = {"arq": [], "hive": []}
        for side in lab.turns():
            count = lab.count(kind.hive_tasks if side is lab.hive else kind.arq_tasks)
            if kind.verb == "awaited":
                runs[side.name].append(_awaited(lab, side.name, count, kind))
            else:
                drained = lab.drain(side, count, kind.task, kind.payload)
                runs[side.name].append((drained.per_second, drained.worker_us, drained.redis_us))
        _tell(section, kind, runs)
    return section


def _awaited(lab: Lab, name: str, count: int, kind: Kind) -> tuple[float, float, float]:
    side = lab.hive if name == "hive" else lab.arq
    lab.server.empty()
    with lab.worker(side) as process:
        lab.ask(side, "awaited", 1, kind.task, kind.payload)
        before = process.cpu_times()
        done = lab.ask(side, "awaited", count, kind.task, kind.payload)
        after = process.cpu_times()
    worker_s = after.user + after.system - before.user - before.system
    return count / done["seconds"], worker_s / count * 1e6, done["redis_cpu_s"] / count * 1e6


def _tell(section: Section, kind: Kind, runs: dict[str, list[tuple[float, float, float]]]) -> None:
    peer = middle([run[0] for run in runs["arq"]])
    for name, measured in runs.items():
        rates, worker_us, redis_us = (list(column) for column in zip(*measured, strict=True))
        section.rows.append([
            name, kind.words, whole(middle(rates)), span(rates), f"{middle(rates) / peer:.1f}",
            f"{middle(worker_us):.1f}", f"{middle(redis_us):.1f}",
        ])  # fmt: skip
        section.numbers[f"{name}: {kind.words}"] = {
            "per_second": rates, "worker_us": middle(worker_us), "redis_us": middle(redis_us),
        }  # fmt: skip
