"""What the report says of updates: how long each took, and what it cost the work that went on meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from venom_core.demo.rates import Span, warm_from
from venom_core.demo.run import Line, Run, Update

WINDOW_S = 1.0


def update_lines(run: Run) -> Iterator[Line]:
    """The lines, each with its style."""
    spans = run.ledger.spans
    before = rate(spans, warm_from(spans), run.updates[0].begun_s)
    for update in run.updates:
        yield _one(update, spans, before)
    counts = ", ".join(f"{version} {count:,}" for version, count in sorted(run.ledger.releases.items()))
    yield f"Files by release: {counts}", ""


def _one(update: Update, spans: Collection[Span], before: float) -> Line:
    meanwhile = rate(spans, update.begun_s, update.ended_s)
    dip = f"{(meanwhile / before - 1) * 100:+.0f} %" if before else "not measured before"
    slowest = slowest_window(spans, update.begun_s, update.ended_s)
    cost = f"{before:.1f} files/s before, {meanwhile:.1f} meanwhile ({dip}), {slowest:.0f} in the slowest second"
    how = f"all {update.nodes} Spores kept it"
    if update.fails:
        how = f"it died at its start, and all {update.nodes} Spores were back by themselves,"
    return f"Update to {update.version}: {how} after {update.seconds:.1f} s; {cost}", "green"


def rate(spans: Collection[Span], begin_s: float, end_s: float) -> float:
    """Files that ended in a stretch of time, a second; 0 for no time."""
    count = sum(begin_s < span.ended_s <= end_s for span in spans)
    return count / (end_s - begin_s) if end_s > begin_s else 0.0


def slowest_window(spans: Collection[Span], begin_s: float, end_s: float) -> float:
    """Files that ended in the second in which the fewest did, of those that lie whole in a stretch of time."""
    starts = [begin_s + number * WINDOW_S for number in range(int((end_s - begin_s) / WINDOW_S))]
    return min((rate(spans, start, start + WINDOW_S) * WINDOW_S for start in starts), default=0.0)
