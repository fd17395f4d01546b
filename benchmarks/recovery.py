"""How soon another worker begins the task of one that got SIGKILL, and whether a task of a worker that lives is left
alone: the hive and every peer, two workers each, at defaults and at the best settings for this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.lab import Lab
from benchmarks.peers.catalogue import HIVE, PEERS
from benchmarks.peers.peer import Mode, Peer
from benchmarks.peers.trial import Health, Recovery, health, recovery
from benchmarks.section import Promise, Section, middle

PATIENCE_S, SAMPLES = 400.0, 3
SOON_PATIENCE_S, SOON_SAMPLES, SOON_AT_A_TIME = 60.0, 5, 6
QUICK_PATIENCE_S = 15.0
HEALTHY_LEAST_S = 3.0
# Of the hive, at its default and in its fast profile.
LIMITS_S = 10.0, 2.0
HEAD = [
    "queue", "settings", "samples", "p50", "longest", "began more than once",
    "a healthy task of", "begins twice", "begins twice while it blocks its event loop",
]  # fmt: skip
NOTE = """From the SIGKILL of a worker, with all processes it has started, until the body of the task it held begins on
the other worker. Both are up and have run other tasks before; each sample has a Redis server of its own. "Began more
than once": samples in which the task began again after its rescue. A healthy task lasts twice as long as the longest
recovery with the same settings, on a worker that nobody kills."""


@dataclass(slots=True)
class Row:
    """A queue in one mode, and what its trials found; healthy tasks only in its fastest mode."""

    peer: Peer
    mode: Mode
    recoveries: list[Recovery]
    calm: Health | None = None
    held: Health | None = None

    @property
    def seconds(self) -> list[float]:
        """Of the samples in which the task began again."""
        return [found.seconds for found in self.recoveries if found.seconds is not None]

    @property
    def name(self) -> str:
        """The key of its raw numbers."""
        return f"{self.peer.title}: {self.mode.words}"


def measure(lab: Lab) -> Section:
    every = [Row(peer, mode, []) for peer in (HIVE, *PEERS) for mode in peer.modes]
    for peer in PEERS:
        peer.versions()  # makes its environment
    soon, late = ([row for row in every if row.mode.soon is quick] for quick in (True, False))
    late_s = QUICK_PATIENCE_S if lab.quick else PATIENCE_S
    with ThreadPoolExecutor(SOON_AT_A_TIME) as pool:
        _recover(pool, soon, 1 if lab.quick else SOON_SAMPLES, QUICK_PATIENCE_S if lab.quick else SOON_PATIENCE_S)
        list(pool.map(_watch, soon))
    with ThreadPoolExecutor(len(late) * (SAMPLES + 1)) as pool:
        ends = [pool.submit(_late, row, 1 if lab.quick else SAMPLES, late_s) for row in late]
        for end in ends:
            end.result()
    return section_of(every, late_s)


def _recover(pool: ThreadPoolExecutor, rows: Sequence[Row], samples: int, patience_s: float) -> None:
    """A sample of every row, then the next of every row."""
    trials = [(row, pool.submit(recovery, row.peer, row.mode, patience_s)) for _ in range(samples) for row in rows]
    for row, trial in trials:
        row.recoveries.append(trial.result())


def _late(row: Row, samples: int, patience_s: float) -> None:
    with ThreadPoolExecutor(samples) as pool:
        _recover(pool, [row], samples, patience_s)
    _watch(row)


def _watch(row: Row) -> None:
    """Whether tasks are left alone, at the settings that rescue soonest and at all of the hive's."""
    if row.seconds and (row.mode is row.peer.modes[-1] or row.peer is HIVE):
        length_s = max(2 * max(row.seconds), HEALTHY_LEAST_S)
        row.calm, row.held = (health(row.peer, row.mode, length_s, hold=hold) for hold in (False, True))


def section_of(rows: Sequence[Row], patience_s: float) -> Section:
    """The table and the numbers of all trials."""
    section = Section("recovery", "Recovery after SIGKILL of a worker", HEAD, notes=[NOTE])
    for row in rows:
        begun = sum(found.begun > 1 for found in row.recoveries)
        waited = [found.seconds if found.seconds is not None else math.inf for found in row.recoveries]
        section.rows.append(
            [
                row.peer.title,
                row.mode.words,
                str(len(row.recoveries)),
                *(_seconds(value, patience_s) for value in (middle(waited), max(waited))),
                f"{begun} of {len(row.seconds)}" if row.seconds else "",
                f"{row.calm.length_s:.1f} s" if row.calm else "",
                _left_alone(row.calm),
                _left_alone(row.held),
            ]
        )
        section.numbers[row.name] = {
            "queue": row.peer.title,
            "recoveries": [asdict(found) for found in row.recoveries],
            "calm": asdict(row.calm) if row.calm else None,
            "held": asdict(row.held) if row.held else None,
        }
    section.notes.append("How each finds the task of a dead worker:")
    section.notes.append("\n".join(f"- **{peer.title}** ({peer.versions()}): {peer.how}." for peer in (HIVE, *PEERS)))
    for row, limit_s, words in zip(rows[: len(HIVE.modes)], LIMITS_S, ("default", "fast profile"), strict=True):
        section.promises.append(Promise(f"recovery after SIGKILL, {words}, longest", limit_s, _longest(row), "s"))
    return section


def _longest(row: Row) -> float:
    return max((math.inf if found.seconds is None else found.seconds for found in row.recoveries), default=math.inf)


def _seconds(value: float, patience_s: float) -> str:
    return f"{value:.2f} s" if value < math.inf else f"not within {patience_s:.0f} s"


def _left_alone(found: Health | None) -> str:
    if found is None:
        return ""
    if found.cut_s is not None and found.doubled_s is None:
        return f"cut off after {found.cut_s:.1f} s"
    return "no" if found.doubled_s is None else f"**yes**, after {found.doubled_s:.1f} s"


def keepers(section: dict[str, Any]) -> dict[str, bool]:
    """Of each queue, by title, whether a task of a killed worker began again in every sample of some settings."""
    found: dict[str, bool] = {}
    for numbers in section["numbers"].values():
        kept = all(trial["seconds"] is not None for trial in numbers["recoveries"])
        found[numbers["queue"]] = found.get(numbers["queue"], False) or kept
    return found
