"""How much faster than one slot: pure arithmetic over when each file was worked on.

Like is compared with like: the same files are scanned by one slot and later by all. What a file took on the
one slot, with that slot's pause before the next, is the work it stands for; what all slots get done of that
work in a stretch of time, divided by that time, is the speed-up. A file counts with the part of its time
that lies in the stretch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Span:
    """One file on one node: from claim to end, in seconds of one clock; `size` in bytes."""

    path: str
    node: str
    size: int
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class OneSlot:
    """What one slot did alone: seconds each file took, and over all of them seconds and bytes."""

    costs: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    size: int = 0

    @property
    def bytes_per_s(self) -> float:
        """Bytes scanned in a second; 0 if nothing was."""
        return self.size / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """Work worth `work_s` seconds of one slot was done in `seconds`."""

    work_s: float
    seconds: float

    @property
    def factor(self) -> float:
        """How many times as fast as one slot."""
        return self.work_s / self.seconds


def warm_from(spans: Iterable[Span]) -> float:
    """When the last of the nodes had its first file behind it, with which it loads the scanner; 0 if none has."""
    first: dict[str, float] = {}
    for span in spans:
        first[span.node] = min(first.get(span.node, span.ended_s), span.ended_s)
    return max(first.values(), default=0.0)


def one_slot(spans: Collection[Span]) -> OneSlot:
    """The work of one node with one slot, but for its first file; its pauses are shared out evenly."""
    warm_s = warm_from(spans)
    measured = [span for span in spans if span.started_s >= warm_s]
    if not measured:
        return OneSlot()
    seconds = max(span.ended_s for span in measured) - warm_s
    pause_s = (seconds - sum(span.ended_s - span.started_s for span in measured)) / len(measured)
    costs = {span.path: span.ended_s - span.started_s + pause_s for span in measured}
    return OneSlot(costs, seconds, sum(span.size for span in measured))


def compare(one: OneSlot, spans: Collection[Span], nodes: Collection[str], until_s: float) -> SpeedUp | None:
    """How fast all `nodes` worked on the files that `one` had worked on.

    Between the moment when all are warm, and `until_s`, the first file that is not among them or the last that
    was begun, after which slots stand idle. None if there is no such stretch.
    """
    if not {span.node for span in spans} >= set(nodes):
        return None
    begin_s = warm_from(spans)
    others = [span.started_s for span in spans if span.path not in one.costs and span.started_s >= begin_s]
    end_s = min([until_s, max(span.started_s for span in spans), *others])
    work_s = sum(one.costs.get(span.path, 0.0) * _share(span, begin_s, end_s) for span in spans)
    return SpeedUp(work_s, end_s - begin_s) if end_s > begin_s and work_s > 0 else None


def _share(span: Span, begin_s: float, end_s: float) -> float:
    """The part of a file's time that lies in a stretch, 0 to 1."""
    inside_s = min(span.ended_s, end_s) - max(span.started_s, begin_s)
    return max(inside_s, 0.0) / max(span.ended_s - span.started_s, 1e-9)
