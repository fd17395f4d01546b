"""Memory: bytes of Redis for a small task that waits, and for one that has ended."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle, whole

HIVE_TASKS, ARQ_TASKS = 100_000, 20_000
QUEUED_BYTES = 350


def measure(lab: Lab) -> Section:
    section = Section(
        "memory",
        "Redis memory of a small task",
        ["", "bytes queued", "bytes finished"],
        notes=['Payload {"n": 1}, token set. Finished: what is left after the drain, results kept.'],
    )
    found: dict[str, list[tuple[float, float]]] = {"arq": [], "hive": []}
    for side in lab.turns():
        count = lab.count(HIVE_TASKS if side is lab.hive else ARQ_TASKS)
        lab.server.empty()
        empty = lab.server.used_bytes()
        lab.ask(side, "bulk", count, "noop", {"n": 1})
        queued = lab.server.used_bytes() - empty
        lab.drain_queued(side, count)
        finished = lab.server.used_bytes() - empty
        found[side.name].append((queued / count, finished / count))
    for name, runs in found.items():
        queued_bytes, finished_bytes = (middle(column) for column in zip(*runs, strict=True))
        section.rows.append([name, whole(queued_bytes), whole(finished_bytes)])
        section.numbers[name] = {"queued": queued_bytes, "finished": finished_bytes}
    measured = section.numbers["hive"]["queued"]
    section.promises.append(Promise("Redis memory of a queued small task", QUEUED_BYTES, measured, "bytes"))
    return section
