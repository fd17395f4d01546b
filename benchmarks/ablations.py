"""What a drain gains or loses when one thing is left out, with everything else as it ships."""

from __future__ import annotations

import sys
from dataclasses import replace

from benchmarks.ablated import LEFT_OUT
from benchmarks.lab import Drained, Lab
from benchmarks.section import Section, middle, span, whole
from benchmarks.sides import Side

TASKS = 150_000
SHIPPED = "nothing"
MEANING = {
    SHIPPED: "nothing: as it ships",
    "authentication": "the shared token: whoever reaches Redis may run tasks and forge results",
    "uvloop": "uvloop: asyncio's own event loop",
    "look-ahead": "look-ahead: no more is claimed than there are free slots",
    "shared asyncio tasks": "shared asyncio tasks: one for each body",
}
NOTE = """No-ops, one Spore with 100 slots; each is left out by itself, in turns. None of it can be switched off in
earnest but the token. The CPU columns are the steady ones. What else the hive keeps (leases, fences, results, retries,
deadlines) is not left out here, because it does not stand beside the transitions but in them: the table above says
what each part costs."""


def measure(lab: Lab) -> Section:
    runs: dict[str, list[Drained]] = {what: [] for what in LEFT_OUT}
    for what in lab.in_turns(list(runs)):
        runs[what].append(lab.drain(without(lab.hive, what), lab.count(TASKS)))
    return section_of(runs)


def without(side: Side, what: str) -> Side:
    """The side with its client and its worker run by `benchmarks.ablated`."""
    python, *client = side.client
    _, *worker = side.worker
    first = (sys.executable, "-m", "benchmarks.ablated", what)
    assert (client[0], worker[0]) == ("-m", "-m")
    return replace(side, client=(python, *first[1:], *client[1:]), worker=(*first, *worker[1:]))


def section_of(runs: dict[str, list[Drained]]) -> Section:
    """The table: rates by that of the hive as it ships, CPU above or below its own."""
    head = ["left out", "tasks/s", "least–most", "× as it ships", "worker CPU µs/task", "Redis CPU µs/task"]
    section = Section("ablations", "What leaving one thing out changes", head, notes=[NOTE])
    shipped = middle([run.per_second for run in runs[SHIPPED]])
    for what, drained in runs.items():
        rates = [run.per_second for run in drained]
        cpu_us = [middle([getattr(run, part) for run in drained]) for part in ("worker_us", "redis_us")]
        row = [MEANING[what], whole(middle(rates)), span(rates), f"{middle(rates) / shipped:.2f}"]
        section.rows.append([*row, *(f"{value:.1f}" for value in cpu_us)])
        section.numbers[what] = {"per_second": rates, "worker_us": cpu_us[0], "redis_us": cpu_us[1]}
    return section
