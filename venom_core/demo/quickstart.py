"""The quickstart: start a hive, measure one slot, scan with three Spores, kill one half-way, report, stop.

With `ota` nobody is killed: the Spores take a new release while they work, and then one that does not start.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial
from importlib.util import find_spec

from rich.console import Console

from venom_core.clock import Clock
from venom_core.demo.fleet import Fleet, open_fleet
from venom_core.demo.full_scan import Incident, scan_all
from venom_core.demo.half_way_kill import kill_half_way
from venom_core.demo.one_slot import choose, measure_one_slot
from venom_core.demo.report import report
from venom_core.demo.run import cores
from venom_core.demo.scene import Scene, Wishes
from venom_core.demo.sources import Sources, find_sources, installed_packages
from venom_core.demo.updates import TwoUpdates
from venom_core.demo.versions import THIRD
from venom_core.demo.view import LiveView, PlainView, View
from venom_core.errors import InputError, StoreError, VenomError
from venom_core.event_loop import LOOP_FACTORY, end_tasks, overlook
from venom_core.infrastructure.message_broker import MessageBroker

SPORES = ("spore-1", "spore-2", "spore-3")
VICTIM = "spore-2"


def run_quickstart(wishes: Wishes) -> int:
    """Run it and say on standard output how it went; the exit code.

    0: every file is in the result exactly once. 1: not so, or a component failed. 130, 143: stopped by
    SIGINT or SIGTERM. Raises `InputError`, before anything is started, if there is nothing to scan.
    """
    if find_spec("bandit") is None:
        raise InputError("The scanner is not installed; in the clone, run: pip install '.[demo]'")
    sources = find_sources(wishes.path or installed_packages())
    clock = Clock()
    console = Console(highlight=False)
    live = console.is_terminal and not console.is_dumb_terminal
    view: View = LiveView(console) if live else PlainView(console, clock)
    with asyncio.Runner(loop_factory=LOOP_FACTORY) as runner:
        return runner.run(_supervise(wishes, sources, view, clock))


async def _supervise(wishes: Wishes, sources: Sources, view: View, clock: Clock) -> int:
    """Run the work until it ends, a component dies or a signal comes; in any case nothing is left behind."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    fleet = open_fleet(clock)
    stopped = asyncio.create_task(signals.get())

    def on_signal(number: int) -> None:
        if stopped.done():
            fleet.force()  # the second one does not wait
        signals.put_nowait(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    work = asyncio.create_task(_run(wishes, sources, view, fleet, clock))
    watch = asyncio.create_task(fleet.watch())
    try:
        await asyncio.wait([work, watch, stopped], return_when=asyncio.FIRST_COMPLETED)
        view.end()
        if stopped.done():
            view.say("Stopping ...", "yellow")
            return 128 + stopped.result()
        return _outcome(fleet, work, watch)
    except VenomError as fault:
        overlook(work, watch)
        print(f"venom: {fault}", file=sys.stderr)
        return 1
    finally:
        await end_tasks(work, watch, stopped)
        await fleet.close()


def _outcome(fleet: Fleet, work: asyncio.Task[int], watch: asyncio.Task[None]) -> int:
    """The exit code, or what went wrong: a component that died says more than what its death did to us."""
    if watch.done():
        watch.result()
    try:
        return work.result()
    except StoreError:
        fleet.check()
        raise
    except ExceptionGroup as faults:
        fleet.check()
        raise faults.exceptions[0] from None


async def _run(wishes: Wishes, sources: Sources, view: View, fleet: Fleet, clock: Clock) -> int:
    """Start, measure, scan, report; the exit code."""
    _announce(sources, view)
    begun_s = clock.monotonic_s()
    await fleet.start_server()
    view.say(f"  {'embedded server':22} up after {clock.monotonic_s() - begun_s:.2f} s")
    if wishes.ota:
        await fleet.serve_releases()
    first, *others = SPORES
    async with MessageBroker(fleet.settings()) as broker:
        scene = Scene(wishes, sources, view, fleet, broker, clock)
        await scene.timed("venom-nexus", scene.start_nexus())
        await scene.timed(f"venom-spore {first}", scene.start_spore(first))
        one = await measure_one_slot(scene, first)
        files = choose(wishes, sources.files, one, min(len(SPORES), cores()))
        if len(files) < len(sources.files):
            view.say(f"  a sample of {len(files):,} files is worth about {wishes.sample_s:.0f} s here; --all takes all")
        async with asyncio.TaskGroup() as group:
            for name in others:
                group.create_task(scene.timed(f"venom-spore {name}", scene.start_spore(name)))
        run = await scan_all(scene, one, files, SPORES, _incident(fleet))
    proof = run.ledger.prove(run.files)
    for text, style in report(run, proof):
        view.say(text, style)
    view.say(f"now yours: ./scripts/quickstart ~/src{' --ota' if wishes.ota else ''}", "bold")
    return 0 if proof.holds and not run.ledger.failed and THIRD not in run.ledger.releases else 1


def _incident(fleet: Fleet) -> Incident:
    if fleet.releases is None:
        return Incident(partial(kill_half_way, victim=VICTIM))
    return Incident(TwoUpdates(fleet.releases, map(fleet.home_of, SPORES)).happen, to_its_end=True)


def _announce(sources: Sources, view: View) -> None:
    notes = f"{len(sources.files):,} Python files, {sources.size / 1e6:.1f} MB, under {sources.root}"
    if sources.folders_left_out:
        notes += f"; folders left out: {sources.folders_left_out} (.git, .venv, node_modules and the like)"
    if sources.folders_closed:
        notes += f"; folders that cannot be opened: {sources.folders_closed}"
    view.say(notes)
    view.say(f"Starting a hive on this machine ({cores()} cores), every part a process of its own:")
