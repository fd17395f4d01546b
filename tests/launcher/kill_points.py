"""Kill at every change of a file, and again at every change of the recovery; let a full or read-only disk refuse each.

    python -m tests.launcher.kill_points [--long [--again N]] [name of a scenario …]

It runs the real state machine in forked copies of this process; only the workers are left out, their verdict is given.
After each death `current` must lead to a complete release, and after the recovery the state must say the same.
What other rooms do to a home folder can be put through it too: a `Scenario` of their own, handed to `main`.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.launcher.faults import KILLED, Fault, changes, in_child
from venom_core.errors import VenomError
from venom_core.ota.durable import sync_tree
from venom_spore.launcher.layout import LauncherFault, Layout
from venom_spore.launcher.machine import Machine
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import BASE, Releases, read_complete, write_complete
from venom_spore.launcher.state import StateFile

POINTS_MAX = 5_000
OLD, NEW = "1.0-aaaaaaaaaaaa", "2.0-bbbbbbbbbbbb"
Work = Callable[[Path], object]
Healthy = Callable[[str], bool]


@dataclass(frozen=True)
class Scenario:
    """What is killed. `prepare` makes the home folder as it was before, `act` is what dies at one of its changes.

    `recover` is what comes after the death, and may die too: by default a launcher that starts and runs on.
    `check` gives what is wrong once a recovery has come to its end; `OSError`, `LauncherFault` and `VenomError` are how
    `act` may say that the disk refused.
    """

    name: str
    prepare: Work
    act: Work
    recover: Work
    check: Callable[[Path], list[str]]


@dataclass
class Tally:
    """How many moments there were, how many cases were run, and what went wrong in which."""

    points: int = 0
    cases: int = 0
    wrong: list[str] = field(default_factory=list)


def launch(home: Path, healthy: Healthy) -> None:
    """A launcher's life as far as files go: put in order what is there, and take what is staged to its end."""
    layout = Layout(home)
    layout.prepare()
    machine = Machine(layout, sys.executable, lambda: 1.0)
    try:
        machine.recover()
        while machine.state.phase not in {Phase.IDLE, Phase.FAILED}:
            _step(machine, healthy)
    except (OSError, LauncherFault):
        held_on = machine.runnable()
        assert held_on == BASE or Releases(layout).is_complete(held_on), f"{held_on} would be run, and is not complete"
        assert held_on != NEW or healthy(NEW), f"{held_on} would be run while the disk is full, and is sick"
        raise


def _step(machine: Machine, healthy: Healthy) -> None:
    phase = machine.state.phase
    if phase is Phase.STAGED:
        machine.drain()
    elif phase is Phase.DRAINING:
        machine.switch()
    elif phase is Phase.GO_BACK:
        machine.roll_back("withdrawn", blame=False)
    elif machine.boot():
        _judge(machine, healthy(machine.state.current))


def _judge(machine: Machine, well: bool) -> None:
    on_probation = machine.state.phase is Phase.PROBATION
    if well:
        machine.commit() if on_probation else machine.settle()
    elif on_probation:
        machine.roll_back("sick")
    else:
        machine.fail("sick")


def put_release(home: Path, name: str) -> None:
    """A small release, complete in the right order."""
    layout = Layout(home)
    folder = layout.release(name)
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "tasks.py").write_text(f"NAME = {name!r}\n")
    sync_tree(folder)
    write_complete(folder, name.partition("-")[0], sys.executable)


def stage(home: Path, name: str) -> None:
    """What an updater does in the end."""
    put_release(home, name)
    StateFile(Layout(home)).change(lambda state: state.move(Phase.STAGED, next=name).accept(1.0))


def go_back(home: Path) -> None:
    """What an updater does when the release was withdrawn."""
    StateFile(Layout(home)).change(lambda state: state.move(Phase.GO_BACK))


# ------------------------------------------------------------------------------------------------------ the checks


def is_sound(home: Path) -> list[str]:
    """What must hold at any moment: `current` leads to a complete release, once there was one."""
    layout = Layout(home)
    if not os.path.lexists(layout.current):
        return [] if not layout.state_file.exists() else ["there is a state, and no current release"]
    name = Releases(layout).current()
    found = read_complete(layout.current)
    if not name or found is None:
        return [f"current leads to {name or 'nothing of ours'}, which is not complete"]
    return [] if os.access(found.python, os.X_OK) else [f"{found.python} of {name} cannot be started"]


def is_in_order(home: Path, *, ends: dict[str, Phase]) -> list[str]:
    """What must hold after a recovery: the state is at rest, says what is there, and nothing half-made is left.

    `ends`: the releases that may run now, each with the phase that goes with it.
    """
    layout = Layout(home)
    state, releases = StateFile(layout).load(), Releases(layout)
    wrong = is_sound(home)
    if releases.current() != state.current:
        wrong.append(f"current leads to {releases.current()}, the state says {state.current}")
    if ends.get(state.current) is not state.phase:
        wrong.append(f"{state.current} is {state.phase}, expected {ends}")
    wrong += [f"{each.name} is left half-made" for each in layout.releases.iterdir() if read_complete(each) is None]
    for name in (state.previous, state.older):
        if name and not releases.is_complete(name):
            wrong.append(f"the way back, {name}, is not complete")
    return wrong


# --------------------------------------------------------------------------------------------------------- running


def run(scenario: Scenario, place: Path, *, long: bool, sample: int = 1, again: int = 1) -> Tally:
    """All cases of a scenario in folders below `place`; not `long`: every `sample`-th, with two deaths in recovery.

    `long` with `again`: of each recovery every so manieth moment, beginning at another with each first death.
    """
    before, tally = place / "before", Tally()
    scenario.prepare(before)
    tally.points = count_points(scenario, before, place / "counting")
    step = 1 if long else sample
    for at in range(1, tally.points + 1, step):
        deaths = range(1 + at % again, POINTS_MAX, again) if long else (2, 7)
        _die_at(scenario, before, place, at, tally, deaths)
    for error in (errno.ENOSPC, errno.EROFS):
        for lasting in (False, True):
            for at in range(1, tally.points + 1, step):
                _refuse_at(scenario, before, place, Fault(at, error=error, lasting=lasting), tally)
    return tally


def count_points(scenario: Scenario, before: Path, home: Path) -> int:
    """How many changes of files `act` makes when nothing goes wrong; then a recovery must find all in order."""
    _copy(before, home)
    fault = Fault()
    _with(fault, scenario.act, home)
    assert fault.count < POINTS_MAX, f"{scenario.name} changes files {fault.count} times"
    scenario.recover(home)
    assert not (wrong := scenario.check(home)), f"{scenario.name} goes wrong by itself: {wrong}"
    return fault.count


def _die_at(scenario: Scenario, before: Path, place: Path, at: int, tally: Tally, deaths: Iterable[int]) -> None:
    dead, home = place / "dead", place / "home"
    _copy(before, dead)
    in_child(lambda: _with(Fault(at, kill=True), scenario.act, dead))
    _note(tally, f"{scenario.name} killed at {at}", is_sound(dead))
    for again in (0, *deaths):
        _copy(dead, home)
        fault = Fault(again, kill=True)
        code = in_child(lambda fault=fault: _with(fault, scenario.recover, home))  # type: ignore[misc]  # binds now
        name = f"{scenario.name} killed at {at}, its recovery at {again or 'no moment'}"
        wrong = [] if code in {0, KILLED} else [f"the recovery ended with {code}"]
        wrong += is_sound(home)
        if code == KILLED:
            wrong += _recovered(scenario, home)
        _note(tally, name, wrong + scenario.check(home))
        if again and code != KILLED:
            return


def _refuse_at(scenario: Scenario, before: Path, place: Path, fault: Fault, tally: Tally) -> None:
    home = place / "home"
    _copy(before, home)
    word = errno.errorcode[fault.error]
    name = f"{scenario.name} with {word} at {fault.at}{' and ever after' if fault.lasting else ''}"
    wrong = []
    try:
        _with(fault, scenario.act, home)
    except (OSError, LauncherFault, VenomError):
        pass  # that is how it may be refused
    except Exception as surprise:  # noqa: BLE001 - whatever else comes out is what this looks for
        wrong = [f"it ended with {surprise!r}"]
    _note(tally, name, wrong + is_sound(home) + _recovered(scenario, home) + scenario.check(home))


def _recovered(scenario: Scenario, home: Path) -> list[str]:
    code = in_child(lambda: scenario.recover(home))
    return [] if code == 0 else [f"the last recovery ended with {code}"]


def _with(fault: Fault, work: Work, home: Path) -> None:
    with changes(fault):
        work(home)


def _note(tally: Tally, name: str, wrong: list[str]) -> None:
    tally.cases += 1
    tally.wrong += [f"{name}: {what}" for what in wrong]


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    if source.exists():
        shutil.copytree(source, target, symlinks=True)


# ------------------------------------------------------------------------------------------------------- scenarios


def _all_well(_: str) -> bool:
    return True


def _new_is_sick(name: str) -> bool:
    return name != NEW


def _only_base_is_well(name: str) -> bool:
    return name == BASE


def _nothing_there(home: Path) -> None:
    assert not home.exists()


def _base_runs(home: Path) -> None:
    launch(home, _all_well)


def _old_runs(home: Path) -> None:
    launch(home, _all_well)
    for name in ("0.8-cccccccccccc", "0.9-dddddddddddd", OLD):
        stage(home, name)
        launch(home, _all_well)


def _starting(healthy: Healthy) -> Work:
    return lambda home: launch(home, healthy)


def _installing(healthy: Healthy) -> Work:
    def act(home: Path) -> None:
        stage(home, NEW)
        launch(home, healthy)

    return act


def _withdrawing(home: Path) -> None:
    go_back(home)
    launch(home, _all_well)


def _ending(**ends: Phase) -> Callable[[Path], list[str]]:
    names = {"base": BASE, "old": OLD, "new": NEW, "older": "0.9-dddddddddddd"}
    return lambda home: is_in_order(home, ends={names[name]: phase for name, phase in ends.items()})


def _failing_ends(home: Path) -> dict[str, Phase]:
    """If the death came before the new release was on trial, the old one was never tried, and goes on."""
    notes = StateFile(Layout(home)).load().notes
    tried = any(note.phase is Phase.PROBATION and note.release == NEW for note in notes)
    return {OLD: Phase.FAILED if tried else Phase.IDLE}


_idle = Phase.IDLE
SCENARIOS = (
    Scenario("first start", _nothing_there, _base_runs, _base_runs, _ending(base=_idle)),
    Scenario("install", _base_runs, _installing(_all_well), _starting(_all_well), _ending(base=_idle, new=_idle)),
    Scenario(
        "install over others", _old_runs, _installing(_all_well), _starting(_all_well), _ending(old=_idle, new=_idle)
    ),
    Scenario(
        "install and roll back", _old_runs, _installing(_new_is_sick), _starting(_new_is_sick), _ending(old=_idle)
    ),
    Scenario(
        "install and fail",
        _old_runs,
        _installing(_only_base_is_well),
        _starting(_only_base_is_well),
        lambda home: is_in_order(home, ends=_failing_ends(home)),
    ),
    Scenario("go back", _old_runs, _withdrawing, _starting(_all_well), _ending(old=_idle, older=_idle)),
)


def main(scenarios: Sequence[Scenario] = SCENARIOS) -> int:
    """Run scenarios; 0 if nothing went wrong. In a process without threads, because it forks."""
    parser = argparse.ArgumentParser(prog="python -m tests.launcher.kill_points")
    parser.add_argument("--long", action="store_true", help="every moment, and every moment of each recovery")
    parser.add_argument("--sample", type=int, default=9, help="without --long: each how manieth moment (default: 9)")
    parser.add_argument("--again", type=int, default=1, help="with --long: each how manieth moment of a recovery")
    parser.add_argument("names", nargs="*", help="of scenarios (default: all)")
    parsed = parser.parse_args()
    wrong = cases = 0
    for scenario in scenarios:
        if parsed.names and scenario.name not in parsed.names:
            continue
        with tempfile.TemporaryDirectory() as place:
            tally = run(scenario, Path(place), long=parsed.long, sample=parsed.sample, again=parsed.again)
        sys.stdout.write(f"{scenario.name}: {tally.points} moments, {tally.cases} cases, {len(tally.wrong)} wrong\n")
        sys.stdout.writelines(f"  {line}\n" for line in tally.wrong[:20])
        wrong, cases = wrong + len(tally.wrong), cases + tally.cases
    sys.stdout.write(f"all: {cases} cases, {wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
