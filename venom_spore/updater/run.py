"""One look for an update, from the lock to the staged release: every way it can end is an `Outcome`.

What it may install is decided by what is signed and by facts of this machine. What a message says only ever makes a
look happen, or names what the one who asks expects (`expected`), which can turn a look into a refusal and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.errors import VenomError
from venom_core.ota.durable import local_faults
from venom_core.ota.fetcher import Patience
from venom_core.ota.floors import read_floor
from venom_core.ota.joining import FLOOR
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.suitability import Choice, choose
from venom_core.ota.trust import Trust
from venom_core.ota.verifying import Signed
from venom_spore.launcher.layout import LauncherFault, Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import Releases, release_name
from venom_spore.launcher.state import State, StateFile
from venom_spore.updater.base import base_of
from venom_spore.updater.download import Downloader, Pace, drop_old_parts
from venom_spore.updater.facts import Node, facts_of
from venom_spore.updater.progress import Progress, alone
from venom_spore.updater.set_back import SetBack
from venom_spore.updater.staging import Stage, clear_rubbish
from venom_spore.updater.wheel_cache import WheelCache

log = logging.getLogger("venom.updater")

Audit = Callable[[str, dict[str, Any]], None]
"""Takes down an event (`update_staged`, `update_refused`, …) and its particulars."""
# Not for this node, or known not to work here: no news, however often one looks.
_NO_NEWS = frozenset({Code.NOT_FOR_THIS_NODE, Code.KNOWN_BAD})


class Exit(IntEnum):
    """The exit codes of the updater."""

    NOTHING = 0
    STAGED = 10
    REFUSED = 20
    FAULT = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a look ended; true if something is to be done about it. `moved`: bytes that were downloaded."""

    exit: Exit
    words: str
    code: Code | None = None
    release: str = ""
    moved: int = 0

    def __bool__(self) -> bool:
        return self.exit is Exit.STAGED


Expected = Callable[[Sequence[Signed]], None]
"""Raises `UpdateRefused` if what is signed is not what a message promised."""


class Look:
    """One look of one node at what is signed."""

    def __init__(
        self, home: Path, node: Node, settings: Settings, audit: Audit, *, clock: Clock | None = None,
        pace: Pace | None = None, patience: Patience | None = None,
    ) -> None:  # fmt: skip
        self._layout, self._node, self._settings, self._audit = Layout(home.absolute()), node, settings, audit
        self._clock, self._pace, self._patience = clock or Clock(), pace, patience
        self._moved = 0

    def run(self, expected: Expected | None = None) -> Outcome:
        """Look, and stage what is found; blocks, in no event loop. Never raises what an update can bring about."""
        try:
            trust = Trust(self._layout.trust, clock=self._clock, patience=self._patience)
            with local_faults("preparing the home folder"):
                self._layout.prepare()
            with local_faults("keeping the update"), alone(self._layout) as progress:
                return self._look(trust, progress, expected)
        except UpdateRefused as fault:
            return self._refused(fault.code, str(fault))
        except LauncherFault as fault:
            return self._refused(Code(fault.code), str(fault))
        except VenomError as fault:
            return self._refused(Code.LOCAL_FAULT, f"{Code.LOCAL_FAULT}: {fault}")

    def _refused(self, code: Code, words: str) -> Outcome:
        self._audit("update_refused", {"code": str(code), "why": words, "moved_bytes": self._moved})
        return Outcome(Exit.REFUSED, words, code, moved=self._moved)

    def _look(self, trust: Trust, progress: Progress, expected: Expected | None) -> Outcome:
        state_file = StateFile(self._layout)
        state = state_file.load()
        if state.phase not in {Phase.IDLE, Phase.FAILED}:
            about = state.next or state.current
            raise UpdateRefused(Code.BUSY, f"{about} is {state.phase.replace('_', ' ')}; it is tried again later")
        clear_rubbish(self._layout)
        drop_old_parts(self._layout.staging, self._now_s())
        signed = trust.refresh()
        if expected is not None:
            expected(signed)
        choice = self._choose(trust, signed, state)
        if choice.take is not None:
            return self._stage(trust, signed, choice.take, state_file, progress)
        if choice.go_back:
            return self._go_back(state_file, state)
        return self._nothing(state, choice)

    def _choose(self, trust: Trust, signed: Sequence[Signed], state: State) -> Choice[Signed]:
        layout, interval_s = self._layout, self._settings.hive_ota_interval
        floor, seen = self._floor(trust, state), read_floor(trust.folder / FLOOR).seen
        spore = base_of(layout).spore
        facts = facts_of(self._node, trust.app, spore, state, Releases(layout), floor, seen, interval_s)
        waiting = SetBack(layout.trust).names(self._now_s(), interval_s)
        return choose(signed, replace(facts, known_bad=facts.known_bad | waiting), self._clock.now_ms())

    @staticmethod
    def _floor(trust: Trust, state: State) -> str:
        """The version that was last kept. The trust folder remembers it too: a state can be lost or set aside."""
        if state.app_version_floor and state.app_version_floor != trust.app_floor:
            trust.raise_app_floor(state.app_version_floor)
        return state.app_version_floor or trust.app_floor

    def _stage(
        self, trust: Trust, signed: Sequence[Signed], taken: Signed, state_file: StateFile, progress: Progress
    ) -> Outcome:
        assert taken.listing is not None
        layout = self._layout
        downloader = Downloader(trust.base_url, trust.joined.trusted(), self._pace)
        cache = WheelCache(layout.wheels, layout.staging, downloader, signed)
        most = self._settings.hive_ota_package_bytes_max
        stage = Stage(layout, downloader, cache, progress, most, self._node.skills)
        try:
            name = stage.make(taken, taken.listing)
        except UpdateRefused as fault:
            name = release_name(taken.listing.manifest.version, taken.sha256)
            SetBack(layout.trust).add(name, fault.code, self._now_s())
            raise
        finally:
            self._moved = downloader.moved
        words = f"{name} is staged; {self._moved:,} bytes were moved for {taken.length:,} bytes of package"

        def accept(state: State) -> State:
            return state.move(Phase.STAGED, next=name, boots=0).accept(self._now_s()).noted(self._now_s(), name, words)

        state_file.change(accept)
        cache.drop_unused(self._now_s())
        self._audit("update_staged", {"release": name, "sha256": taken.sha256, "moved_bytes": self._moved})
        return Outcome(Exit.STAGED, words, release=name, moved=self._moved)

    def _go_back(self, state_file: StateFile, state: State) -> Outcome:
        words = f"{state.current} was withdrawn; going back"
        state_file.change(lambda now: now.move(Phase.GO_BACK).noted(self._now_s(), now.current, "it was withdrawn"))
        self._audit("update_go_back", {"release": state.current})
        return Outcome(Exit.STAGED, words, release=state.current)

    def _nothing(self, state: State, choice: Choice[Signed]) -> Outcome:
        news = [fault for _, fault in choice.refused if fault.code not in _NO_NEWS]
        for fault in news[1:]:
            log.warning("%s", fault)
            self._refused(fault.code, str(fault))
        if news:
            return self._refused(news[0].code, str(news[0]))
        beside = f" ({choice.refused[0][1]})" if choice.refused else ""
        return Outcome(Exit.NOTHING, f"nothing newer than {state.current or 'what is installed'} is for it{beside}")

    def _now_s(self) -> float:
        return self._clock.now_ms() / 1000
