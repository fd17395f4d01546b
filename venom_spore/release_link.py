"""A Spore's side of the pipe to its launcher: how it shows that the release it runs is healthy.

It says that it is ready, each heartbeat that Redis answered, the end of a task that it gave to itself through the
hive, the end of the release's own check, and that it heard of an update. Loaded only under a launcher. When the
launcher is gone the Spore drains and leaves, or it would go on beside the one that the next launcher starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import json
import logging
import os
import secrets
import select
import stat
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.node import NodeLoad
from venom_core.domain.priority import PRIORITY_MAX
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidSetting, StoreError, StoreUnavailable, VenomError
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.intake import Intake
from venom_core.infrastructure.task_view import view_seen
from venom_spore.heartbeat import Heartbeat
from venom_spore.launcher.releases import BASE
from venom_spore.machine import MachineReader
from venom_spore.process_tree import die_with_parent
from venom_spore.skills import SkillSet
from venom_spore.state_audit import StateAudit
from venom_spore.update_hints import HintDesk
from venom_spore.worker import Worker

log = logging.getLogger("venom.spore")

SELF_TEST = "venom.self_test"
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 1 << 20
TEST_S, TEST_LOOK_S = 60.0, 0.2
CHECK_S = 30.0
# A little less than a launcher waits for a release to be ready.
AWAY_S, AWAY_PAUSE_S = 25.0, 0.5
# A Spore whose event loop is stuck cannot leave by itself when its launcher is gone: it is ended so long after a drain.
ORPHAN_S = 20.0
ORPHAN_EXIT = 71
WORDS_CHARS_MAX = 200


class ReleaseLink:
    """Who this Spore's launcher is, and what it runs. `release` is the name of the release's folder."""

    def __init__(self, descriptor: int, release: str, folder: Path, *, on_trial: bool) -> None:
        self.release, self._on_trial = release, on_trial
        self._descriptor, self._folder, self._node = descriptor, folder, ""
        self._poll = select.poll()
        self._poll.register(descriptor, 0)
        os.set_blocking(descriptor, False)
        os.set_inheritable(descriptor, False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ReleaseLink:
        """The link that a launcher left; `InvalidSetting` if there is no pipe."""
        text = environment.get("VENOM_RELEASE_LINK", "")
        try:
            descriptor = int(text)
            if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                raise ValueError
        except (ValueError, OverflowError, OSError):
            raise InvalidSetting(
                f"VENOM_RELEASE_LINK={text[:40]!r} is no pipe of a launcher; only venom-launcher sets it"
            ) from None
        folder, trial = Path(environment.get("VENOM_RELEASE_FOLDER", "")), environment.get("VENOM_RELEASE_TRIAL")
        return cls(descriptor, environment.get("VENOM_RELEASE", BASE), folder, on_trial=bool(trial))

    def settle_in(self) -> None:
        """The modules of a release, or of the base, come before those of the current folder."""
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))

    def say(self, word: str, **more: Any) -> None:
        """One line to the launcher, from any thread; lost if the launcher does not listen."""
        line = json.dumps({"say": word, **more}).encode() + b"\n"
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, line)

    def is_lost(self) -> bool:
        """Whether the launcher is gone."""
        return bool(self._poll.poll(0))

    def skills(self, node: str, settings: Settings) -> SkillSet:
        """What answers the self-test of this node.

        `InvalidSetting` if the folder that skills may write to holds, or lies in, what this launcher believes.
        """
        check_workspace(Path(settings.hive_workspace), home_of(self._folder))
        self._node = node
        found = SkillSet()
        found.skill(self_test_type(node))(_echo)
        return found

    def heartbeat(self, reader: MachineReader, clock: Clock, settings: Settings) -> Heartbeat:
        """One that says here what it hears there."""
        chain, home = settings.hive_audit_file, home_of(self._folder)
        audit = StateAudit(home, Path(chain), self._node) if chain else None
        return LinkedHeartbeat(reader, clock, self, settings, audit)

    def desk(self, hive: Hive, worker: Worker, channel: str) -> HintDesk:
        """Who hears orders, and of updates."""
        return HintDesk(hive, worker, channel, self._look)

    def _look(self, at_ms: int) -> None:
        self.say("look", at_ms=at_ms)

    # ------------------------------------------------------------------------------------------------- the trial

    @contextlib.asynccontextmanager
    async def watching(self, leave: Callable[[], None]) -> AsyncIterator[None]:
        """Say that this Spore could start. For the length of a block: `leave` is called when the launcher is gone.

        Until then the kernel's SIGTERM says so; beside this it would count as a second one, which forces.
        """
        loop = asyncio.get_running_loop()

        def lost() -> None:
            loop.remove_reader(self._descriptor)
            log.warning("the launcher is gone; leaving")
            leave()

        self.say("up")  # before any task: how one ends this process says nothing of options or settings
        loop.add_reader(self._descriptor, lost)
        die_with_parent(os.getppid(), 0)
        try:
            yield
        finally:
            loop.remove_reader(self._descriptor)

    async def patiently(self, connect: Callable[[], Awaitable[Hive]], wanted: Callable[[], bool]) -> Hive:
        """Connect; on trial, while `wanted`, wait for a server that is away: that is no fault of the release."""
        if not self._on_trial:
            return await connect()
        try:
            async with asyncio.timeout(AWAY_S):
                return await self._at_last(connect, wanted)
        except TimeoutError:
            return await connect()

    async def _at_last(self, connect: Callable[[], Awaitable[Hive]], wanted: Callable[[], bool]) -> Hive:
        told = False
        while True:
            try:
                return await connect()
            except StoreUnavailable as fault:
                if not wanted():
                    raise
                if not told:
                    log.warning("on trial, so it is waited for: %s", fault)
                told = True
                await asyncio.sleep(AWAY_PAUSE_S)

    @contextlib.asynccontextmanager
    async def proving(self, hive: Hive, settings: Settings, node: str) -> AsyncIterator[None]:
        """For the length of a block: show that this Spore works, if it is on trial.

        The task to itself is in line before the Spore claims its first one, or it could wait behind long ones.
        """
        if not self._on_trial:
            yield
            return
        nonce, task_type, intake = secrets.token_hex(16), self_test_type(node), Intake(hive, settings)

        async def give() -> str:
            """The same each time: however often it is given, it is one task."""
            options = {"priority": PRIORITY_MAX, "timeout": TEST_S}
            return await intake.one(task_type, {"nonce": nonce}, f"self-test-{nonce}", options)

        with contextlib.suppress(StoreError):  # it is tried again below
            await give()
        test, check = asyncio.create_task(self._test(hive, give, nonce)), asyncio.create_task(self._check())
        try:
            yield
        finally:
            await end_tasks(test, check)

    async def _test(self, hive: Hive, give: Callable[[], Awaitable[str]], nonce: str) -> None:
        try:
            async with asyncio.timeout(TEST_S):
                task = await _ended(hive, give)
        except TimeoutError:
            self.say("self-test", ok=False, why=f"a task to this node did not end within {TEST_S:g} s")
        except VenomError as fault:
            self.say("self-test", ok=False, why=str(fault)[:WORDS_CHARS_MAX])
        else:
            ok = task.status == "completed" and task.result == nonce
            self.say("self-test", ok=ok, why="" if ok else f"it ended {task.status}: {task.error}"[:WORDS_CHARS_MAX])

    async def _check(self) -> None:
        """The release's own check in a thread of its own: whoever hangs there keeps nobody from ending."""
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._check_in_thread, args=(told,), name="venom-check", daemon=True).start()
        try:
            why = await asyncio.wait_for(told, CHECK_S)
        except TimeoutError:
            why = f"it did not end within {CHECK_S:g} s"
        self.say("check", ok=not why, why=why)

    def _check_in_thread(self, told: asyncio.Future[str]) -> None:
        try:
            why = _why_not(self._folder)
        except BaseException as fault:
            # What it says may hold a secret: it belongs where secrets are masked, and neither to the launcher's log
            # nor to its state.
            log.error("the check of release %s failed", self.release, exc_info=fault)
            why = f"it raised {type(fault).__name__}; the Spore's log says more"
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            told.get_loop().call_soon_threadsafe(_tell, told, why)


class LinkedHeartbeat(Heartbeat):
    """Says on the link that Redis answers and the event loop lives; the first time, that the Spore is ready."""

    def __init__(
        self, reader: MachineReader, clock: Clock, link: ReleaseLink, settings: Settings, audit: StateAudit | None
    ) -> None:
        super().__init__(reader, clock)
        self._link, self._audit = link, audit
        self._gap_s, self._drain_s = settings.hive_lease, settings.hive_drain_timeout
        self._ready = self._saying = False
        self._lost_s: float | None = None

    def read(self) -> NodeLoad:
        """The load now. A Spore that is stuck long after its launcher has gone ends here."""
        if self._link.is_lost():
            now_s = self._clock.monotonic_s()
            self._lost_s = now_s if self._lost_s is None else self._lost_s
            if now_s - self._lost_s > self._drain_s + ORPHAN_S:
                log.error("the launcher is gone and this Spore does not leave; ending it")
                os._exit(ORPHAN_EXIT)
        return super().read()

    def hear(self, cancels: tuple[str, ...]) -> None:
        """In the lease thread, for each answer: the event loop says so, once for all partitions."""
        super().hear(cancels)
        if not self._saying and not self._loop.is_closed():
            self._saying = True
            self._loop.call_soon_threadsafe(self._say)

    def _say(self) -> None:
        self._saying = False
        if not self._ready:
            self._ready = True
            self._link.say("ready", gap_s=self._gap_s, drain_s=self._drain_s)
        self._link.say("beat")
        if self._audit is not None:
            self._audit.look(self._loop)


def home_of(release: Path) -> Path:
    """The home folder of the launcher that keeps this release."""
    return release.parent.parent


def check_workspace(workspace: Path, home: Path) -> None:
    """What a task may write must be nothing that is run or believed: neither a launcher's home nor the current folder.

    Raises `InvalidSetting`.
    """
    writable, home = workspace.resolve(), home.resolve()
    inside = writable == home or home in writable.parents
    if inside or writable in home.parents or writable in {Path.cwd(), *Path.cwd().parents}:
        raise InvalidSetting(
            f"HIVE_WORKSPACE={writable} is where skills write, so it may neither hold {home} or the current folder nor "
            "lie in the former; give it a folder of its own"
        )


def self_test_type(node: str) -> str:
    """The type of the task that a node gives itself: no other node has it, so no dispatcher is needed."""
    return f"{SELF_TEST}.{hashlib.sha256(node.encode()).hexdigest()[:16]}"


async def _echo(nonce: str) -> str:
    return nonce


async def _ended(hive: Hive, give: Callable[[], Awaitable[str]]) -> TaskMessage:
    """The task once it has ended; a server that is away is waited for."""
    while True:
        with contextlib.suppress(StoreError):
            task_id = await give()
            seen = (await hive.tasks.look([task_id]))[task_id]
            task = view_seen(hive.seal, task_id, seen, {})
            if task is not None and seen.outcome is not None:
                return task
        await asyncio.sleep(TEST_LOOK_S)


def _why_not(folder: Path) -> str:
    """Call the check that the release names in its manifest; "" if it is content, or names none."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            check = json.loads(file.read(MANIFEST_BYTES_MAX)).get("check", "")
    except FileNotFoundError:
        return ""
    if not check:
        return ""
    module, _, name = str(check).partition(":")
    return "" if getattr(importlib.import_module(module), name)() else f"{check} did not say yes"


def _tell(told: asyncio.Future[str], why: str) -> None:
    if not told.done():
        told.set_result(why)
