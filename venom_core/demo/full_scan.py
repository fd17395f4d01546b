"""The scan itself: every file once, by all Spores, whatever happens to these meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from venom_core.demo.job import Job
from venom_core.demo.ledger import Ledger
from venom_core.demo.rates import OneSlot, compare
from venom_core.demo.run import Run
from venom_core.demo.scene import Scene
from venom_core.demo.sources import SourceFile
from venom_core.event_loop import end_tasks, overlook

AHEAD = 24


@dataclass(frozen=True)
class Incident:
    """What happens during a scan. `to_its_end`: the run waits for it, though all files are done."""

    happen: Callable[[Scene, Job, Run], Awaitable[None]]
    to_its_end: bool = False


async def scan_all(
    scene: Scene, one: OneSlot, files: Sequence[SourceFile], nodes: Sequence[str], incident: Incident
) -> Run:
    """Scan `files` with Spores that are up, while something happens. Returns what is known then."""
    begun_s = scene.clock.monotonic_s()
    ledger = Ledger()
    job = scene.job(ledger)
    run = Run(scene.sources, files, ledger, one=one, slots=len(nodes))
    async with scene.shown(f"Scanning {len(files):,} files with {len(nodes)} Spores", len(files)):
        happening = asyncio.ensure_future(incident.happen(scene, job, run))
        work = asyncio.create_task(job.run(iter(files), AHEAD))
        try:
            await asyncio.wait([work, happening], return_when=asyncio.FIRST_COMPLETED)
            if happening.done():
                happening.result()
            await work
            run.seconds = scene.clock.monotonic_s() - begun_s
            if incident.to_its_end:
                await happening
        except BaseException:
            overlook(happening, work)
            raise
        finally:
            await end_tasks(happening, work)
    run.speed_up = compare(one, ledger.spans, nodes, run.undisturbed_until_s)
    return run
