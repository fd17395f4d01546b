"""What all storms of a run came to together, in one line: each leaves its figures in its folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from chaos.checker import Verdict
from chaos.hive_rules import GROWTH

FILE = "figures.json"


class Figures(msgspec.Struct):
    """What one storm came to."""

    clean: bool
    figures: dict[str, int]


def leave(folder: Path, verdict: Verdict) -> None:
    """Leave the figures of a storm in its folder."""
    (folder / FILE).write_bytes(msgspec.json.encode(Figures(verdict.clean, verdict.figures)))


def line(folder: Path) -> str:
    """The sums over all storms that were judged, and the most that anything has grown by."""
    storms = [msgspec.json.decode(path.read_bytes(), type=Figures) for path in sorted(folder.glob(f"*/{FILE}"))]
    sums: Counter[str] = Counter()
    most: dict[str, int] = {}
    for storm in storms:
        for name, count in storm.figures.items():
            if name in GROWTH:
                most[name] = max(count, most.get(name, count))
            else:
                sums[name] += count
    clean = sum(storm.clean for storm in storms)
    parts = [f"{count:,} {name}" for name, count in sums.items() if count]
    parts += [f"at most {count:,} {name}" for name, count in most.items()]
    return f"{len(storms)} storms, {clean} clean: {', '.join(parts)}"
