"""What a run adds to its tasks: the same items through `ParallelSkill.map_reduce` and through the engine alone."""

from __future__ import annotations

from typing import Any

from benchmarks.lab import Lab
from benchmarks.section import Section, middle, span, whole

ITEMS = 10_000
HEAD = ["", "items/s", "least–most", "caller CPU µs/item", "worker CPU µs/item", "Redis CPU µs/item"]
NOTE = """No-ops with one worker process, which runs before; from the call to the last result in the caller. The
engine alone is `enqueue_many`, and then `wait_for` each or one inbox for all. map_reduce is one call with `skill=`: its
payloads hold the description and the place of the item too, it keeps the record of the run, and it makes the answer,
{:,} lines of JSON."""

# Words of the row, and verb of the client.
MAPPED = "map_reduce"
WAYS = (("engine, wait_for each", "awaited"), ("engine, one inbox", "gathered"), (MAPPED, "mapped"))


def measure(lab: Lab) -> Section:
    count = lab.count(ITEMS)
    runs: dict[str, list[tuple[float, ...]]] = {words: [] for words, _ in WAYS}
    for number in range(lab.rounds):
        for words, verb in WAYS if number % 2 == 0 else WAYS[::-1]:
            runs[words].append(_run(lab, verb, count))
    section = Section("map_reduce", "map_reduce against the engine alone", HEAD, notes=[NOTE.format(count)])
    for words, measured in runs.items():
        rates, *cpus = (list(column) for column in zip(*measured, strict=True))
        section.rows.append([words, whole(middle(rates)), span(rates), *(f"{middle(cpu):.1f}" for cpu in cpus)])
        section.numbers[words] = {"per_second": rates, "cpu_us": [middle(cpu) for cpu in cpus]}
    for words, _ in WAYS[:-1]:
        ratios = [mapped[0] / engine[0] for mapped, engine in zip(runs[MAPPED], runs[words], strict=True)]
        section.numbers[f"{MAPPED} / {words}"] = ratios
        section.notes.append(f"Rate of map_reduce by that of the {words}: {middle(ratios):.2f}.")
    return section


def _run(lab: Lab, verb: str, count: int) -> tuple[float, ...]:
    """Items a second, and microseconds an item of caller, worker and Redis."""
    lab.server.empty()
    ask: dict[str, Any] = {"task": "same", "payload": {"item": 1}}
    with lab.worker(lab.hive) as process:
        lab.ask(lab.hive, verb, 1, **ask)
        before = process.cpu_times()
        done = lab.ask(lab.hive, verb, count, **ask)
        after = process.cpu_times()
    worker_s = after.user + after.system - before.user - before.system
    cpu_us = (seconds / count * 1e6 for seconds in (done["cpu_s"], worker_s, done["redis_cpu_s"]))
    return (count / done["seconds"], *cpu_us)
