"""Takes the persisted state from one phase to the next, each step so that dying in the middle of it is no harm.

The order is always: say what is about to be done, do it, say that it is done. What a launcher finds when it starts
is put in order by `recover`, which may be killed at any moment too.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from venom_spore.launcher.layout import LauncherFault, Layout, held
from venom_spore.launcher.phases import BOOTS_MAX, Mode, Phase, after_boots, mode_of
from venom_spore.launcher.releases import BASE, Complete, Releases
from venom_spore.launcher.state import Damaged, State, StateFile

log = logging.getLogger("venom.launcher")

AHEAD_MS_MAX = 86_400_000


class Machine:
    """The state machine of one home folder. `python`: the interpreter of the base environment.

    Every method raises `OSError` or `LauncherFault` if the disk does not take a step; then `recover` may be tried
    again later, and `runnable` says what to run meanwhile.
    """

    def __init__(self, layout: Layout, python: str, now_s: Callable[[], float] = time.time) -> None:
        self._layout, self._python, self._now_s = layout, python, now_s
        self._file, self._releases = StateFile(layout), Releases(layout)
        self.state = State()

    # ------------------------------------------------------------------------------------------------- at start

    def try_disk(self) -> None:
        """Raises as any step does, but changes nothing: worth a try before a worker is stopped for a step."""
        if self.state.current:
            self._file.write_again()

    def recover(self) -> State:
        """Put in order what is found: after it `current` leads to a complete release, and the state says so."""
        self._releases.make_base(self._python)
        try:
            self.state = self._file.load()
        except Damaged as fault:
            log.error("%s; it is kept as %s, and what runs must prove itself again", fault, self._file.set_aside())
            self.state = State()
        if not self.state.current:
            self._begin()
        self._resume()
        self._align()
        self.collect()
        return self.state

    def _begin(self) -> None:
        """No state is known: the base is trusted, anything else that runs goes on trial."""
        found = self._releases.current()
        if found in {"", BASE} or not self._releases.is_complete(found):
            self._releases.switch(BASE)
            self._save(lambda state: replace(state, phase=Phase.IDLE, current=BASE), BASE)
        else:
            self._save(
                lambda state: replace(state, phase=Phase.PROBATION, current=found, previous=BASE, boots=0),
                found,
                "its history is not known",
            )

    def _resume(self) -> None:
        """What a launcher was about to do when it ended."""
        phase = self.state.phase
        if phase is Phase.DRAINING:
            self._move(Phase.STAGED, self.state.next)
        elif phase is Phase.SWITCHING:
            self._releases.switch(self._safe_place(self.state.current))
            tries = self.state.boots + 1
            wanted = Phase.STAGED if tries <= BOOTS_MAX else Phase.IDLE
            self._move(wanted, self.state.next, "the switch was cut short", boots=tries)
        elif phase is Phase.ROLLING_BACK:
            self._point_back()
        elif phase is Phase.COMMITTED:
            self._move(Phase.IDLE, self.state.current)
        if self.state.phase is Phase.STAGED and not self._releases.is_complete(self.state.next):
            self._move(Phase.IDLE, self.state.next, "it is not complete", next="")
        if self.state.phase is Phase.IDLE and self.state.next:
            self._save(lambda state: replace(state, next="", boots=0))

    def _align(self) -> None:
        """Whatever somebody else did to `current` or to the release it led to."""
        place = self._safe_place(self.state.current)
        if place != self.state.current and self.state.phase is Phase.PROBATION:
            self.roll_back(f"{self.state.current} is not complete any more", blame=False)  # the disk is to blame
            return
        self._releases.switch(place)
        if place != self.state.current:
            log.error("release %s is not complete any more; going on with %s", self.state.current, place)
            self._save(lambda state: replace(state, current=place, previous=""), place, "what ran before is gone")

    def _safe_place(self, *wanted: str) -> str:
        """The first of these that can be run, else the base."""
        known = (*wanted, self.state.previous, self.state.older)
        return next((name for name in known if self._releases.is_complete(name)), BASE)

    def runnable(self) -> str:
        """The release to run while the disk takes no change: the last that is not on trial."""
        state = self.state
        if state.phase is Phase.FAILED:
            return BASE
        trial = mode_of(state.phase) is Mode.ON_TRIAL
        names = (state.previous, state.current) if trial else (state.current, state.previous)
        return next((name for name in names if self._releases.is_complete(name)), BASE)

    def how_to_run(self, name: str) -> Complete:
        """The version and interpreter of a release; the base runs with this launcher's own."""
        found = self._releases.complete(name)
        return found if found is not None and name != BASE else Complete("0", self._python)

    # ------------------------------------------------------------------------------------------------- an update

    def reload(self) -> State:
        """The state as another process may have left it; kept as known if it cannot be read now."""
        try:
            self.state = self._file.load()
        except LauncherFault as fault:
            log.error("%s; going on with what is known", fault)
        return self.state

    def is_news(self, given_ms: int) -> bool:
        """Whether a hint of this moment was not followed yet; one of the day after tomorrow would hide all others."""
        return self.state.heard_ms < given_ms < self._now_s() * 1000 + AHEAD_MS_MAX

    def hear(self, given_ms: int) -> None:
        """Remember that the hint of this moment is followed, so that it is not followed twice."""
        if given_ms > self.state.heard_ms:
            self._save(lambda state: replace(state, heard_ms=given_ms))

    def drain(self) -> None:
        """STAGED -> DRAINING: the worker is about to be told; or IDLE if what was staged is gone, or runs already."""
        wanted = self.state.next
        if wanted == self.state.current:
            self._move(Phase.IDLE, wanted, "it runs already", next="")
        elif self._releases.is_complete(wanted):
            self._move(Phase.DRAINING, wanted)
        else:
            self._move(Phase.IDLE, wanted, "it is not complete", next="")

    def switch(self) -> None:
        """DRAINING -> SWITCHING -> PROBATION: no worker runs, and the next one will be of the new release."""
        new, old, older = self.state.next, self.state.current, self.state.previous
        self._move(Phase.SWITCHING, new)
        self._releases.switch(new)
        older = older if older not in {new, old} else ""
        self._move(Phase.PROBATION, new, current=new, previous=old, older=older, next="", boots=0)

    def boot(self) -> bool:
        """Count a start on trial before it is made; False if there were too many and another release is to start."""
        boots = self.state.boots + 1
        wanted = after_boots(self.state.phase, boots)
        if wanted is self.state.phase:
            self._save(lambda state: replace(state, boots=boots))
            return True
        why = f"no verdict in {BOOTS_MAX} starts"
        if wanted is Phase.ROLLING_BACK:
            self.roll_back(why)
        else:
            self.fail(why)
        return False

    def commit(self) -> None:
        """PROBATION -> COMMITTED -> IDLE: the release is healthy and stays."""
        found = self._releases.complete(self.state.current)
        floor = self.state.app_version_floor if found is None or self.state.current == BASE else found.version
        self._move(Phase.COMMITTED, self.state.current, boots=0, app_version_floor=floor)
        self.collect()
        self._move(Phase.IDLE, self.state.current)

    def roll_back(self, why: str, *, blame: bool = True) -> None:
        """PROBATION or GO_BACK -> ROLLING_BACK: `current` leads back. `blame`: the version is not tried again here."""
        bad, target = self.state.current, self._safe_place(self.state.previous)
        if bad == BASE:
            self._move(Phase.IDLE, bad, "there is nothing to go back to")
            return
        version = self._version_of(bad)
        older = self.state.older if self.state.older not in {target, bad} else ""

        def make(state: State) -> State:
            moved = state.move(Phase.ROLLING_BACK, previous=target, older=older, next="", boots=0)
            return moved.blame(version) if blame else moved

        self._save(make, bad, why)
        self._point_back()

    def _point_back(self) -> None:
        target = self._safe_place(self.state.previous)
        self._releases.switch(target)
        if self.state.current != target:
            self._save(lambda state: replace(state, current=target, previous=target))

    def settle(self) -> None:
        """ROLLING_BACK -> IDLE: what was gone back to is healthy."""
        self._move(Phase.IDLE, self.state.current, previous=self.state.older, older="", boots=0)
        self.collect()

    def fail(self, why: str) -> None:
        """ROLLING_BACK -> FAILED: it is not; only safe mode is left.

        The version that was gone back from may be tried again: what was well before fails too, so it may not have been
        to blame. The interval between updates bounds how often.
        """
        version = self._version_of(self._gone_back_from())
        self._save(lambda state: state.move(Phase.FAILED, boots=0).forgive(version), self.state.current, why)

    def _gone_back_from(self) -> str:
        notes = (note for note in reversed(self.state.notes) if note.phase is Phase.ROLLING_BACK)
        return next((note.release for note in notes if note.release != self.state.current), "")

    def retry(self) -> None:
        """FAILED -> ROLLING_BACK: give what was gone back to another chance, because its surroundings are well."""
        self._move(Phase.ROLLING_BACK, self.state.current, "tried again", previous=self.state.current, boots=0)

    def collect(self) -> None:
        """Remove releases that nobody may want; not while an update makes one. What cannot go now goes later."""
        state = self.state
        try:
            with held(self._layout.update_lock, "an update is under way"):
                gone = self._releases.collect((state.current, state.previous, state.older, state.next))
        except (LauncherFault, OSError) as fault:
            log.info("old releases stay for now: %s", fault)
        else:
            if gone:
                log.info("removed %s", ", ".join(gone))

    # ------------------------------------------------------------------------------------------------- the file

    def _version_of(self, name: str) -> str:
        found = self._releases.complete(name)
        return found.version if found is not None else name.rpartition("-")[0] or name

    def _move(self, phase: Phase, release: str, why: str = "", **changes: object) -> None:
        self._save(lambda state: state.move(phase, **changes), release, why)

    def _save(self, make: Callable[[State], State], release: str = "", why: str = "") -> None:
        """Persist a change, with a note if it is about a release; only then it is the state."""

        def change(state: State) -> State:
            made = make(state)
            return made.noted(self._now_s(), release, why) if release else made

        self.state = self._file.change(change)
        if release:
            log.info("%s%s", self._words(release), f": {why}" if why else "")

    def _words(self, release: str) -> str:
        """What is done, with which release; while one drains, it is another that comes next."""
        if self.state.phase is Phase.DRAINING:
            return f"draining {self.state.current}; {release} comes next"
        return f"{self.state.phase} {release}"
