"""Idle round trip: one task enqueued and its result awaited, again and again, by a caller with an idle worker."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle
from benchmarks.sides import socket_side
from benchmarks.timing import percentile

CALLS = 2_000
P50_MS, P99_MS = 0.45, 0.9
PERCENTS = (50, 95, 99)
NOTE = """The worker is another process and idle. A PING is awaited on the same kind of connection, in turns with the
calls, in the same run; each percentile is the median of the rounds. arq polls its queue and its results every
millisecond, which keeps the cores awake. On a socket: the same hive as `venom up` has it on one machine."""


def measure(lab: Lab) -> Section:
    sides = (lab.arq, lab.hive, socket_side())
    found: dict[str, dict[str, list[list[float]]]] = {side.name: {"calls_ms": [], "pings_ms": []} for side in sides}
    for side in lab.in_turns(sides):
        lab.server.empty()
        with lab.worker(side):
            lab.ask(side, "awaited", 1, "noop", {"n": 1})
            trips = lab.ask(side, "trips", lab.count(CALLS), "noop", {"n": 1})
        for part, values in found[side.name].items():
            values.append([percentile(trips[part], percent) for percent in PERCENTS])
    section = Section(
        "round_trip",
        "Idle round trip: enqueue → result in the caller",
        ["", "p50 ms", "p95 ms", "p99 ms", "p50 in PINGs", "p95 in PINGs", "p99 in PINGs"],
        notes=[NOTE],
    )
    for name, parts in found.items():
        calls, pings = ([middle(column) for column in zip(*runs, strict=True)] for runs in parts.values())
        multiples = [f"{call / ping:.1f}" for call, ping in zip(calls, pings, strict=True)]
        section.rows.append([name, *(f"{value:.2f}" for value in calls), *multiples])
        section.rows.append([f"bare PING ({name}'s client)", *(f"{value:.3f}" for value in pings), "", "", ""])
        section.numbers[name] = {"calls_ms": calls, "pings_ms": pings, "percents": PERCENTS}
    for side, words in zip(sides[1:], ("", ", on a socket of the machine"), strict=True):
        calls = section.numbers[side.name]["calls_ms"]
        section.promises.append(Promise(f"idle round trip{words}, p50", P50_MS, calls[0], "ms"))
        section.promises.append(Promise(f"idle round trip{words}, p99", P99_MS, calls[2], "ms"))
    return section
