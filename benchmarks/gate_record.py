"""What the gate compares with: the last recorded ratios, how far runs of the same code lie apart, the commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# Runs an hour apart on the machine of the record differed by 13 %; another machine of its kind may differ by more.
LEAST_ALLOWED = 0.35
SPREADS = 3.0
# On cores that others keep busy too the caches are theirs: a Spore costs up to a quarter more, a bare loop does not.
CROWDED, CROWDED_FACTOR = 0.3, 2.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """One measure: its ratio, and half the distance of the runs that it was recorded from, as a part of it."""

    ratio: float
    spread: float

    @property
    def allowed(self) -> float:
        """The part by which a later ratio may be worse."""
        return max(SPREADS * self.spread, LEAST_ALLOWED)


@dataclass(frozen=True, slots=True)
class Record:
    """All measures at a commit."""

    commit: str
    date: str
    machine: str
    measures: Mapping[str, Recorded]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Record:
        """What `write` wrote; raises `SystemExit` if there is none."""
        if not path.exists():
            raise SystemExit(f"there is no record in {path}; make one with: python -m benchmarks.gate --record")
        data = json.loads(path.read_text())
        return cls(**{**data, "measures": {name: Recorded(**one) for name, one in data["measures"].items()}})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One measure now beside its record."""

    name: str
    recorded: Recorded
    ratio: float
    foreign: float = 0.0

    @property
    def allowed(self) -> float:
        """The part by which it may be worse, here and now; `foreign` is the share of the cores that others had."""
        return self.recorded.allowed * (CROWDED_FACTOR if self.foreign > CROWDED else 1.0)

    @property
    def change(self) -> float:
        """How much worse it is, as a part of what was recorded; below 0 it is better."""
        return self.ratio / self.recorded.ratio - 1

    @property
    def passed(self) -> bool:
        """Whether it is worse by no more than the noise allows."""
        return self.change <= self.allowed

    def line(self) -> str:
        """In words."""
        word = "ok  " if self.passed else "SLOW"
        allowed = f"{self.change:+.0%} (allowed +{self.allowed:.0%})"
        return f"{word} {self.name}: {self.ratio:.2f} now, {self.recorded.ratio:.2f} recorded, {allowed}"


def recorded_of(runs: Sequence[Mapping[str, float]]) -> dict[str, Recorded]:
    """The middle of several runs of each measure, and how far they lie apart."""
    found = {}
    for name in runs[0]:
        ratios = [run[name] for run in runs]
        found[name] = Recorded(median(ratios), (max(ratios) - min(ratios)) / 2 / median(ratios))
    return found


def judge(record: Record, ratios: Mapping[str, float], foreign: float = 0.0) -> list[Verdict]:
    """Each measure beside its record; raises `SystemExit` if one has none."""
    if unknown := sorted(ratios.keys() ^ record.measures.keys()):
        raise SystemExit(
            f"measured or recorded alone: {', '.join(unknown)}; record anew: python -m benchmarks.gate --record"
        )
    return [Verdict(name, record.measures[name], ratio, foreign) for name, ratio in ratios.items()]
