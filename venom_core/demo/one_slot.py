"""The yardstick: what one slot does alone, with files that all slots will scan again."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from venom_core.demo.ledger import Ledger
from venom_core.demo.rates import OneSlot, one_slot, warm_from
from venom_core.demo.scene import Scene, Wishes
from venom_core.demo.sources import SourceFile

SHARE = 0.1
SECONDS_MAX = 6.0
FILES_MIN = 30
AHEAD = 2
# Three Spores on two cores do not quite reach twice the pace of one slot, and a Spore is killed half-way.
EXPECTED_EFFICIENCY = 0.8


async def measure_one_slot(scene: Scene, node: str) -> OneSlot:
    """Give the one Spore there is a tenth of the files (at least 30), or as many as it does in a few seconds."""
    files = scene.sources.files
    most = min(len(files), max(round(len(files) * SHARE), FILES_MIN))
    seconds = min(SECONDS_MAX, scene.wishes.sample_s * SHARE)
    ledger = Ledger()

    def enough() -> bool:
        warm_s = warm_from(ledger.spans)
        return warm_s > 0 and scene.now_s() - warm_s > seconds

    async with scene.shown(f"Measuring one slot: {node} alone, up to {most} files or {seconds:.0f} s", most):
        await scene.job(ledger).run(iter(files[:most]), AHEAD, enough)
    measured = one_slot(ledger.spans)
    pace = f"{measured.bytes_per_s / 1000:.0f} kB/s, {len(measured.costs) / max(measured.seconds, 1e-9):.1f} files/s"
    scene.view.say(f"  one slot: {pace} over {measured.seconds:.1f} s; the same files come first in the scan")
    return measured


def choose(wishes: Wishes, files: Sequence[SourceFile], one: OneSlot, slots: int) -> Sequence[SourceFile]:
    """The files to scan: all, or if only a sample is wanted, as many as the measured pace allows."""
    if not wishes.sampled or not one.bytes_per_s:
        return files
    pace = one.bytes_per_s * slots * EXPECTED_EFFICIENCY
    budget = pace * max(wishes.sample_s - one.seconds, 1.0)
    sizes = itertools.accumulate(file.size for file in files)
    return files[: max(sum(size <= budget for size in sizes), len(one.costs) + 1)]
