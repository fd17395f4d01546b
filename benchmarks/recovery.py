"""How soon another worker begins the task of one that got SIGKILL, and whether a task of a worker that lives is left
alone: the hive and every peer, two workers each, at defaults and at the best settings for this.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.lab import Lab
from benchmarks.peers.catalogue import HIVE, PEERS
from benchmarks.peers.peer import Mode, Peer
from benchmarks.peers.trial import Health, Recovery, health, recovery
from benchmarks.section import Promise, Section, middle

# Of modes that recover within seconds, and of the others, which are all tried at the same time.
PATIENCE_S = {True: 60.0, False: 400.0}
SAMPLES = {True: 5, False: 3}
SOON_AT_A_TIME = 6
QUICK_PATIENCE_S = 15.0
HEALTHY_LEAST_S = 3.0
# Of the hive, at its default and in its fast profile.
LIMITS_S = 10.0, 2.0
HEAD = [
    "queue", "settings", "rescued", "p50", "longest", "began more than once",
    "a healthy task of", "begins twice", "begins twice while it blocks its event loop",
]  # fmt: skip
NOTE = """From the SIGKILL of a worker, with all processes it has started, until the body of the task it held begins on
the other worker. Both are up and have run other tasks before; each sample has a Redis server of its own. "Not within"
is where a trial ended. A sample is left out if eight times over its task was taken away or cut off before its worker
could be killed. "Began more than once": samples in which the task began again after its rescue. A healthy task lasts
twice as long as the longest recovery with the same settings, on a worker that nobody kills."""


@dataclass(slots=True)
class Row:
    """A queue in one mode, and what its trials found; healthy tasks only in its fastest mode."""

    peer: Peer
    mode: Mode
    patience_s: float
    recoveries: list[Recovery] = field(default_factory=list)
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
    patience_s = {soon: QUICK_PATIENCE_S if lab.quick else PATIENCE_S[soon] for soon in (True, False)}
    samples = {soon: 1 if lab.quick else SAMPLES[soon] for soon in (True, False)}
    every = [Row(peer, mode, patience_s[mode.soon]) for peer in (HIVE, *PEERS) for mode in peer.modes]
    for peer in PEERS:
        peer.versions()  # makes its environment
    soon, late = ([row for row in every if row.mode.soon is quick] for quick in (True, False))
    with ThreadPoolExecutor(SOON_AT_A_TIME) as pool:
        _recover(pool, soon, samples[True])
        list(pool.map(_watch, soon))
    with ThreadPoolExecutor(len(late)) as pool:
        list(pool.map(lambda row: _late(row, samples[False]), late))
    return section_of(every)


def _recover(pool: ThreadPoolExecutor, rows: Sequence[Row], samples: int) -> None:
    """A sample of every row, then the next of every row."""
    trials = [(row, pool.submit(recovery, row.peer, row.mode, row.patience_s)) for _ in range(samples) for row in rows]
    for row, trial in trials:
        if (found := trial.result()) is not None:
            row.recoveries.append(found)


def _late(row: Row, samples: int) -> None:
    with ThreadPoolExecutor(samples) as pool:
        _recover(pool, [row], samples)
    _watch(row)


def _watch(row: Row) -> None:
    """Whether tasks are left alone, at the settings that rescue soonest and at all of the hive's."""
    if row.seconds and (row.mode is row.peer.modes[-1] or row.peer is HIVE):
        length_s = max(2 * max(row.seconds), HEALTHY_LEAST_S)
        row.calm, row.held = (health(row.peer, row.mode, length_s, hold=hold) for hold in (False, True))


def section_of(rows: Sequence[Row]) -> Section:
    """The table and the numbers of all trials."""
    section = Section("recovery", "Recovery after SIGKILL of a worker", HEAD, notes=[NOTE])
    for row in rows:
        begun = sum(found.begun > 1 for found in row.recoveries)
        section.rows.append(
            [
                row.peer.title,
                row.mode.words,
                f"{len(row.seconds)} of {len(row.recoveries)}",
                *(_seconds(value, row.patience_s) for value in _middle_and_longest(row)),
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
    section.notes.append("\n".join(f"- **{peer.title}** ({peer.versions()}): {peer.how}." for peer in _peers(rows)))
    for row, limit_s, words in zip(rows[: len(HIVE.modes)], LIMITS_S, ("default", "fast profile"), strict=True):
        longest_s = _middle_and_longest(row)[1]
        section.promises.append(Promise(f"recovery after SIGKILL, {words}, longest", limit_s, longest_s, "s"))
    return section


def _peers(rows: Sequence[Row]) -> list[Peer]:
    return list({row.peer.title: row.peer for row in rows}.values())


def _middle_and_longest(row: Row) -> tuple[float, float]:
    """Of the seconds of all samples, infinite where the task did not begin again; infinite if there is no sample."""
    waited = [math.inf if found.seconds is None else found.seconds for found in row.recoveries] or [math.inf]
    return middle(waited), max(waited)


def _seconds(value: float, patience_s: float) -> str:
    return f"{value:.2f} s" if value < math.inf else f"not within {patience_s:.0f} s"


def _left_alone(found: Health | None) -> str:
    if found is None:
        return ""
    if found.cut_s is not None and found.doubled_s is None:
        return f"cut off after {found.cut_s:.1f} s"
    return "no" if found.doubled_s is None else f"**yes**, after {found.doubled_s:.1f} s"


def keepers(section: dict[str, Any]) -> dict[str, bool]:
    """Of each queue, by title, whether a killed worker's task has ever begun again; "not within" is not "lost"."""
    found: dict[str, bool] = {}
    for numbers in section["numbers"].values():
        kept = any(trial["seconds"] is not None for trial in numbers["recoveries"])
        found[numbers["queue"]] = found.get(numbers["queue"], False) or kept
    return found
