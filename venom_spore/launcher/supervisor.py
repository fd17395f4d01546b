"""Keeps one worker running, puts staged releases on trial, and goes back when they fail. One thread, one loop.

The state on the disk decides what is to run (`machine`); this loop makes it so. If the disk takes no change, it goes
on with what last proved itself and tries again now and then.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from venom_spore.launcher.backoff import Backoff
from venom_spore.launcher.child import Child, adopt_orphans, kill_strays, reap
from venom_spore.launcher.commands import (
    MISUSED_EXIT,
    updater_command,
    updater_environment,
    worker_command,
    worker_environment,
)
from venom_spore.launcher.gate import Gate, Terms, Verdict
from venom_spore.launcher.layout import LauncherFault, Layout
from venom_spore.launcher.life import Life, how_it_ended
from venom_spore.launcher.link import Link, Word
from venom_spore.launcher.looks import HINT_EVERY_S, POLL_S, Looks
from venom_spore.launcher.machine import Machine
from venom_spore.launcher.phases import Mode, Phase, mode_of
from venom_spore.launcher.releases import BASE
from venom_spore.launcher.signals import Wakeful

log = logging.getLogger("venom.launcher")

DISK_PAUSE_S = 30.0
RETRY_S, RETRY_S_MAX = 60.0, 3600.0
UPDATER_S_MAX = 3600.0
STAGED_EXIT, REFUSED_EXIT = 10, 20
JOINED = "joined.json"
_STRAYS_S_MAX, _STRAYS_PAUSE_S = 5.0, 0.02
_AGAIN_S = 5.0
"""Seconds until what was killed is looked at again."""
_DRAIN_S_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """What one launcher was told: `arguments` of `venom-spore`, `python` of the base environment, times in seconds."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    python: str
    updater: tuple[str, ...]
    terms: Terms
    poll_s: float = POLL_S
    hint_every_s: float = HINT_EVERY_S
    disk_pause_s: float = DISK_PAUSE_S
    retry_s: float = RETRY_S


class Supervisor:
    """One launcher at work."""

    def __init__(self, layout: Layout, options: Options, now_s: Callable[[], float] = time.monotonic) -> None:
        self._layout, self._options, self._now_s = layout, options, now_s
        self._machine = Machine(layout, options.python)
        self._looks = Looks(options.poll_s, options.hint_every_s)
        self._deaths, self._retries = Backoff(), Backoff(options.retry_s, max(options.retry_s, RETRY_S_MAX))
        self._wakeful = Wakeful()
        self._life: Life | None = None
        self._updater: Child | None = None
        self._updater_until_s = math.inf
        self._start_s = self._retry_s = -math.inf
        self._disk_s = math.inf
        self._sick = ""
        self._heard_ms = 0
        self._told = self._asked = 0
        self._leaving = self._was_up = self._misused = False
        self._exit = 0

    def run(self) -> int:
        """Until told to leave, or until the worker leaves of its own accord; the exit code, 2 for a wrong use of it."""
        adopt_orphans()
        if not (self._layout.trust / JOINED).exists():
            log.warning(
                "this home follows no repository, so no update comes; to follow one: "
                "venom ota join URL FINGERPRINT --home %s",
                self._layout.home,
            )
        with self._wakeful:
            self._trusting_the_disk(self._recover)
            while not (self._leaving and self._life is None and self._updater is None):
                self._wakeful.wait(self._next_s() - self._now_s())
                self._hear_signals()
                self._hear_words()
                self._bury(reap())
                self._act(self._now_s())
        return self._exit

    # ---------------------------------------------------------------------------------------------- what happened

    def _hear_signals(self) -> None:
        while self._told < self._wakeful.told:
            self._told += 1
            self._leaving = True
            if self._life is not None and self._told == 1:
                log.info("told to leave; the worker finishes what it runs")
                self._life.drain(self._now_s())
            elif self._life is not None:
                self._life.harder(self._now_s())
        if self._asked < self._wakeful.asked:
            self._asked = self._wakeful.asked
            self._machine.reload()
            self._looks.next_s = self._now_s()
            self._disk_s = min(self._disk_s, self._now_s()) if self._disk_s != math.inf else math.inf

    def _hear_words(self) -> None:
        life = self._life
        if life is None or life.link.ended():
            return
        for word in life.link.read():
            self._hear(life, word)
        if life.link.ended():
            self._wakeful.ignore(life.link.descriptor)

    def _hear(self, life: Life, word: Word) -> None:
        now_s, gate = self._now_s(), life.gate
        self._was_up = self._was_up or word.say in {"up", "ready"}
        if word.say == "look" and word.at_ms > self._heard_ms and self._machine.is_news(word.at_ms):
            self._heard_ms = word.at_ms
            self._looks.hint(now_s)
        elif word.say == "staged":
            self._machine.reload()
        elif word.say == "ready" and word.drain_s:
            life.drain_s = min(word.drain_s, _DRAIN_S_MAX)
        if gate is None:
            return
        if word.say == "ready":
            gate.ready(now_s, word.gap_s)
        elif word.say == "beat":
            gate.beat(now_s)
        elif word.say in {"self-test", "check"}:
            gate.tested(word.say, ok=word.ok, why=word.why)

    def _bury(self, ended: Mapping[int, int]) -> None:
        life, updater = self._life, self._updater
        if updater is not None and updater.pid in ended:
            self._updater = None
            updater.kill_group()
            self._report(ended[updater.pid])
        if life is not None and life.child.pid in ended:
            self._life = None
            life.child.kill_group()
            self._wakeful.ignore(life.link.descriptor)
            self._hear_last(life)
            self._end_strays()
            self._mourn(life, ended[life.child.pid])

    def _hear_last(self, life: Life) -> None:
        """What it said before it died."""
        for word in life.link.read():
            self._hear(life, word)
        life.link.close()

    def _end_strays(self) -> None:
        """A new worker begins with nothing left of the last one."""
        until_s = self._now_s() + _STRAYS_S_MAX
        spared = [self._updater.pid] if self._updater is not None else []
        while kill_strays(spared) and self._now_s() < until_s:
            time.sleep(_STRAYS_PAUSE_S)
            ended = reap()
            if self._updater is not None and self._updater.pid in ended:
                self._updater = None
                self._report(ended[spared[0]])

    def _mourn(self, life: Life, code: int) -> None:
        """Decide what the end of a worker means; what is written for it is written by `_steer`."""
        now_s, how = self._now_s(), how_it_ended(code)
        self._start_s = now_s
        if self._leaving:
            log.info("%s", how)
        elif (
            life.mode is Mode.ON_TRIAL and life.gate is not None and (life.sick or not (life.told or _left(life, code)))
        ):
            self._sick = life.sick or how
        elif life.told:
            log.info("%s, as it was told to", how)
        elif self._machine.reload().phase in {Phase.STAGED, Phase.GO_BACK}:
            log.info("%s; an update waits for it", how)
        elif code == 0:
            log.info("the worker left of its own accord; so does its launcher")
            self._leaving = True
        elif code == MISUSED_EXIT and life.mode is Mode.PLAIN and not self._was_up:
            self._start_s, self._misused = math.inf, True
            log.error("%s: its options (after --) or settings are wrong, and no restart mends that; see above", how)
        else:
            self._start_s = now_s + self._deaths.after(now_s - life.started_s)
            log.error("%s; it is started again in %.1f s", how, self._start_s - now_s)

    def _report(self, code: int) -> None:
        self._machine.reload()
        if code not in {0, STAGED_EXIT, REFUSED_EXIT}:  # what it found, it says itself
            log.error("looking for an update failed with exit code %d", code)

    # ------------------------------------------------------------------------------------------------- what to do

    def _act(self, now_s: float) -> None:
        if self._life is not None:
            self._life.tick(now_s)
        if self._updater is not None and (self._leaving or now_s >= self._updater_until_s):
            self._updater.kill_group()
            self._updater_until_s = now_s + _AGAIN_S
        if self._leaving:
            return
        if now_s >= self._disk_s:
            self._trusting_the_disk(self._recover)
        if self._disk_s == math.inf:
            self._trusting_the_disk(self._steer)
        if self._disk_s != math.inf:
            self._hold_out(now_s)
        if self._misused and self._updater is None:
            self._leave_or_mend(now_s)

    def _leave_or_mend(self, now_s: float) -> None:
        """The worker was used wrongly, and no look is under way that could bring a release which takes it."""
        self._misused = False
        if self._machine.state.phase is Phase.IDLE and self._life is None:
            self._leaving, self._exit = True, MISUSED_EXIT
        else:
            self._start_s = now_s + self._deaths.after(0.0)

    def _hold_out(self, now_s: float) -> None:
        """The disk takes no change: run what last proved itself, and nothing that is sick."""
        life = self._life
        if life is None and now_s >= self._start_s:
            try:
                safe = self._machine.state.phase is Phase.FAILED
                self._start(self._machine.runnable(), Mode.SAFE if safe else Mode.PLAIN)
            except OSError as fault:
                self._start_s = now_s + self._deaths.after(0.0)
                log.error("no worker can be started: %s", fault)
        elif life is not None and life.mode is Mode.ON_TRIAL and life.gate is not None and not life.told:
            verdict, life.sick = life.gate.verdict(now_s)
            if verdict is Verdict.SICK:
                life.end(now_s)

    def _trusting_the_disk(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, LauncherFault) as fault:
            self._disk_s = self._now_s() + self._options.disk_pause_s
            log.error("%s; going on with what runs, and trying again in %g s", fault, self._options.disk_pause_s)

    def _recover(self) -> None:
        if self._disk_s != math.inf:
            self._machine.try_disk()  # or what runs would be stopped each time for a step that cannot be taken
        self._machine.recover()
        self._disk_s = math.inf

    def _steer(self) -> None:
        """Make what runs agree with the state."""
        if self._sick and self._life is None:
            self._go_back()
        elif self._life is None:
            self._install()
        else:
            self._judge(self._life)
        if self._life is None and self._now_s() >= self._start_s:
            self._start_as_stated()
        self._look_now_and_then()

    def _go_back(self) -> None:
        why, phase = self._sick, self._machine.state.phase
        if phase is Phase.PROBATION:
            self._machine.roll_back(why)
        elif phase is Phase.ROLLING_BACK:
            self._machine.fail(why)
            self._put_off_retry()
        self._sick = ""
        self._looks.hint(self._now_s())

    def _install(self) -> None:
        """No worker runs: whatever waited for that is done now."""
        machine = self._machine
        if machine.state.phase is Phase.STAGED:
            machine.drain()
        if machine.state.phase is Phase.DRAINING:
            machine.switch()
        if machine.state.phase is Phase.GO_BACK:
            machine.roll_back("it was withdrawn", blame=False)

    def _judge(self, life: Life) -> None:
        """A worker runs: is it the right one, and how is it?"""
        machine, now_s = self._machine, self._now_s()
        if life.told:
            return
        if machine.state.phase is Phase.STAGED:
            machine.drain()
        phase = machine.state.phase
        wanted = BASE if phase is Phase.FAILED else machine.state.current
        if phase in {Phase.DRAINING, Phase.GO_BACK} or life.release != wanted or life.mode is not self._mode(life):
            life.drain(now_s)
        elif life.gate is not None:
            self._weigh(life, life.gate, now_s)

    def _mode(self, life: Life) -> Mode:
        """How it should run; who has passed its trial goes on as it is."""
        mode = mode_of(self._machine.state.phase)
        return life.mode if mode is Mode.PLAIN and life.mode is Mode.ON_TRIAL else mode

    def _weigh(self, life: Life, gate: Gate, now_s: float) -> None:
        verdict, why = gate.verdict(now_s)
        phase = self._machine.state.phase
        if verdict is Verdict.SICK and life.mode is Mode.SAFE:
            if not gate.again(now_s):
                life.drain(now_s)
        elif verdict is Verdict.SICK:
            log.error("release %s is not healthy: %s", life.release, why)
            life.sick = why
            life.end(now_s)
        elif verdict is Verdict.HEALTHY and phase is Phase.FAILED:
            if now_s >= self._retry_s:
                self._machine.retry()
        elif verdict is Verdict.HEALTHY:
            if phase is Phase.PROBATION:
                self._machine.commit()
            elif phase is Phase.ROLLING_BACK:
                self._machine.settle()
            life.gate = None
            self._looks.hint(now_s)

    def _put_off_retry(self) -> None:
        self._retry_s = self._now_s() + self._retries.after(0.0)

    # ---------------------------------------------------------------------------------------------------- starting

    def _start_as_stated(self) -> None:
        mode = mode_of(self._machine.state.phase)
        if mode is Mode.ON_TRIAL and not self._machine.boot():
            return
        self._start(BASE if mode is Mode.SAFE else self._machine.state.current, mode)

    def _start(self, release: str, mode: Mode) -> None:
        ear, mouth = os.pipe()
        given, python = self._options, self._machine.how_to_run(release).python
        command = worker_command(python, release, mode, given.arguments)
        environment = worker_environment(self._layout, given.environment, release, mode, mouth)
        log.info("starting %s%s", release, "" if mode is Mode.PLAIN else f" ({mode})")
        try:
            child = Child(command, environment, keep=[mouth])
        except OSError:
            os.close(ear)
            raise
        finally:
            os.close(mouth)
        now_s = self._now_s()
        gate = None if mode is Mode.PLAIN else Gate(self._options.terms, now_s)
        self._life = Life(release, mode, child, Link(ear), now_s, gate)
        self._wakeful.hear(ear)

    def _look_now_and_then(self) -> None:
        now_s, phase = self._now_s(), self._machine.state.phase
        if self._updater is not None or now_s < self._looks.next_s or phase not in {Phase.IDLE, Phase.FAILED}:
            return
        self._looks.begun(now_s)
        if not (self._layout.trust / JOINED).exists():
            return
        self._machine.hear(self._heard_ms)
        given, layout = self._options, self._layout
        command = updater_command(given.updater, layout, given.terms.ready_s, given.arguments)
        self._updater = Child(command, updater_environment(layout, given.environment))
        self._updater_until_s = now_s + UPDATER_S_MAX

    def _next_s(self) -> float:
        """When to act again though nothing happens."""
        moments = [self._disk_s, self._next_look_s()]
        life = self._life
        if life is None:
            moments.append(math.inf if self._leaving else self._start_s)
        else:
            moments.append(life.again_s)
            if life.gate is not None and not life.told:
                # Safe mode that is well waits for the moment to try again what failed, a full disk for its own.
                waits = [life.gate.next_s(), self._retry_s if life.mode is Mode.SAFE else -math.inf]
                moments.append(max(*waits, self._disk_s if self._disk_s != math.inf else -math.inf))
        return min(moments)

    def _next_look_s(self) -> float:
        if self._updater is not None:
            return self._updater_until_s
        looking = self._machine.state.phase in {Phase.IDLE, Phase.FAILED}
        return self._looks.next_s if looking and not self._leaving and self._disk_s == math.inf else math.inf


def _left(life: Life, code: int) -> bool:
    """Whether somebody told a worker on trial to leave the hive, which says nothing of its release."""
    return code == 0 and life.gate is not None and life.gate.joined
