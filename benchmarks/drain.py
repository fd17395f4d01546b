"""Drain: one worker process empties a preloaded queue of no-ops."""

from __future__ import annotations

from benchmarks.lab import Drained, Lab
from benchmarks.section import Promise, Section, middle, span, whole

HIVE_TASKS, ARQ_TASKS = 150_000, 20_000
RATIO = 28.0


def measure(lab: Lab) -> Section:
    runs: dict[str, list[Drained]] = {"arq": [], "hive": []}
    for side in lab.turns():
        runs[side.name].append(lab.drain(side, lab.count(HIVE_TASKS if side is lab.hive else ARQ_TASKS)))
    section = Section(
        "drain",
        "Drain of a preloaded queue of no-ops",
        [
            "",
            "tasks/s",
            "least–most",
            "× arq",
            "tasks per worker-CPU-s",
            "× arq by worker CPU",
            "worker CPU µs/task",
            "Redis CPU µs/task",
        ],
    )
    rates = {name: [run.per_second for run in drained] for name, drained in runs.items()}
    peer_us = middle([run.worker_us for run in runs["arq"]])
    for name, drained in runs.items():
        worker_us, redis_us = middle([run.worker_us for run in drained]), middle([run.redis_us for run in drained])
        ratio = middle(rates[name]) / middle(rates["arq"])
        section.rows.append([
            name, whole(middle(rates[name])), span(rates[name]), f"{ratio:.1f}",
            whole(1e6 / worker_us), f"{peer_us / worker_us:.1f}", f"{worker_us:.1f}", f"{redis_us:.1f}",
        ])  # fmt: skip
        section.numbers[name] = {"per_second": rates[name], "worker_us": worker_us, "redis_us": redis_us}
    section.notes.append(
        f"{lab.count(HIVE_TASKS):,} tasks for the hive, {lab.count(ARQ_TASKS):,} for arq; from the first completion "
        "to the moment when the store holds none that is queued or running."
    )
    ratio = middle(rates["hive"]) / middle(rates["arq"])
    section.promises.append(
        Promise("drain of no-ops, one worker process, against arq", RATIO, ratio, "×", at_least=True)
    )
    return section
