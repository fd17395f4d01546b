"""From sections to docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.pictures import link_to
from benchmarks.section import Promise, Section

INTRO = """# What the hive costs, measured

Written by `./benchmarks/run`; nothing here is typed by hand. The raw numbers are in `benchmarks/results.json`.
"""

METHOD = """## Method

- **arq** at its fastest: `max_jobs=100`, `poll_delay=0.001`, `log_results=False`, results polled every millisecond,
  uvloop, results stored (its default hour), in an environment of its own.
- **The hive** as it ships: one `venom-spore --concurrency 100` with default settings, uvloop, `NEXUS_SHARED_TOKEN`
  set (every envelope and outcome is authenticated), results stored for an hour, leases, fencing, attempt counting,
  retries, dead letters, exact counters, cancellation, timeouts, heartbeats and typed arguments: nothing is switched
  off.
- Both speak TCP on loopback to one Redis server without persistence and take turns, in an order that changes every
  round; a number is the median of the rounds. A no-op counts itself in a file that the runner has mapped, so that
  watching costs Redis nothing.
- **The CPU columns are the steady ones.** Rates suffer from whatever else runs on the machine; a task's CPU hardly
  does. "Used by others" below is the share of all cores that neither worker nor server had while a queue was drained,
  the runner's own included.
"""


def render(machine: dict[str, Any], sections: Iterable[Section]) -> str:
    """The whole page."""
    every = list(sections)
    parts = [INTRO, _machine(machine), _promises([p for section in every for p in section.promises]), METHOD]
    parts += [render_section(section) for section in every]
    return "\n".join(parts)


def render_section(section: Section) -> str:
    """One measure: title, table, notes."""
    lines = [f"## {section.title}", "", *table(section.head, section.rows)]
    lines += link_to(section)
    for note in section.notes:
        lines += ["", note]
    if section.when:
        lines += ["", f"*Measured {section.when}.*"]
    return "\n".join(lines) + "\n"


def _machine(machine: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in machine.items()) + "\n"


def _promises(promises: list[Promise]) -> str:
    rows = [
        [
            promise.text,
            f"{'≥' if promise.at_least else '≤'} {promise.limit:g} {promise.unit}",
            f"{promise.measured:.3g} {promise.unit}"
            if promise.measured < 100
            else f"{promise.measured:.0f} {promise.unit}",
            "met" if promise.met else "**not met**",
        ]
        for promise in promises
    ]
    return "\n".join(["## Promises", "", *table(["promise", "limit", "measured", ""], rows)]) + "\n"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table; columns of numbers stand to the right."""
    texts = sum(not any(character.isdigit() for character in cell) for cell in (rows[0] if rows else head)[:2])
    rule = ["---" if column < max(texts, 1) else "--:" for column in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
