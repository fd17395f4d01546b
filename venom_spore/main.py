"""`venom-spore`: a worker node as a process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from venom_core import __version__
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.daemon import prepare
from venom_core.domain.node import NodeProfile, check_capabilities, check_name, read_capabilities
from venom_core.errors import InvalidSetting, VenomError
from venom_core.event_loop import end_tasks, run
from venom_core.infrastructure.hive import Hive
from venom_core.log_format import FINDER, NODE, last_words, name_node
from venom_spore.execution import Executor, Limits
from venom_spore.heartbeat import MIB, Heartbeat
from venom_spore.lease_guard import LeaseGuard
from venom_spore.machine import MachineReader, MachineReading, PsutilReader
from venom_spore.orders import OrderDesk
from venom_spore.sandbox import Sandbox
from venom_spore.skills import SkillSet, load_skills
from venom_spore.threads import ThreadRunner
from venom_spore.worker import Worker

if TYPE_CHECKING:
    from venom_spore.release_link import ReleaseLink

log = logging.getLogger("venom.spore")

MISUSED = 2
"""The exit code for what no restart mends, as that of a wrong option."""
CONCURRENCY_MAX = 10_000
ASYNC_SLOTS, THREAD_SLOTS = 100, 16
BUILT_IN = "venom_spore.builtin.skill_set:skills"
SAFE_MODE = "safe-mode"
"""The tag of a Spore that runs no skills, because the release it should run does not work."""


@dataclass(frozen=True, slots=True)
class SporeOptions:
    """Who this Spore is; `concurrency` 0 = chosen by the kinds of skills, `capabilities` {name: proficiency 0-1}."""

    name: str = ""
    concurrency: int = 0
    tags: tuple[str, ...] = ()
    capabilities: Mapping[str, float] = field(default_factory=dict)


def default_concurrency(skills: SkillSet) -> int:
    """A slot per CPU if any skill runs in a process, 16 if any runs in a thread, else 100."""
    modes = {skill.mode for skill in skills}
    if "process" in modes:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return THREAD_SLOTS if "thread" in modes else ASYNC_SLOTS


class VenomSpore:
    """A worker node in this process: `connect`, `run` until `stop`, `disconnect`."""

    def __init__(
        self,
        skills: SkillSet,
        options: SporeOptions | None = None,
        settings: Settings | None = None,
        *,
        reader: MachineReader | None = None,
        clock: Clock | None = None,
        link: ReleaseLink | None = None,
    ) -> None:
        self._options = options or SporeOptions()
        self.settings = settings or Settings.load()
        self._skills = skills.located()
        self._link = link
        self._clock = clock or Clock()
        self._reader = reader or PsutilReader()
        self.name = check_name(self._options.name or socket.gethostname() or "spore")
        for tag in self._options.tags:
            check_name(tag)
        self._capabilities = check_capabilities(self._options.capabilities)
        slots = self._options.concurrency or default_concurrency(skills)
        if not 1 <= slots <= CONCURRENCY_MAX:
            raise InvalidSetting(f"--concurrency is 1 to {CONCURRENCY_MAX}, not {slots}")
        self._slots = slots
        if link is not None:
            self._skills.include(link.skills(self.name, self.settings))
        self._hive: Hive | None = None
        self._sandbox: Sandbox | None = None
        self._threads: ThreadRunner | None = None
        self._guard: LeaseGuard | None = None
        self._stops = 0
        self.worker: Worker | None = None

    async def connect(self) -> None:
        """Connect to Redis and get ready; raises what `MessageBroker.open` raises."""
        connect = partial(Hive.connect, self.settings, self._clock)
        hive = self._hive = await (
            connect() if self._link is None else self._link.patiently(connect, lambda: not self._stops)
        )
        guard = self._guard = LeaseGuard(hive.rhythm.lease_s, self._clock)
        self._sandbox = Sandbox(
            self._slots,
            result_bytes_max=self.settings.hive_result_bytes_max,
            secrets=self.settings.secrets(),
            board=guard.board,
        )
        limits = Limits(result_bytes_max=self.settings.hive_result_bytes_max)
        self._threads = ThreadRunner(self._slots)
        executor = Executor(self.name, hive.seal, self._skills, limits, self._threads, self._sandbox, guard)
        heartbeat = self._make_heartbeat()
        self.worker = Worker(hive, self._profile(), executor, heartbeat, self.settings.hive_drain_timeout)
        for _ in range(self._stops):
            self.worker.stop()

    def _make_heartbeat(self) -> Heartbeat:
        if self._link is None:
            return Heartbeat(self._reader, self._clock)
        return self._link.heartbeat(self._reader, self._clock, self.settings)

    def _profile(self) -> NodeProfile:
        machine = self._reader.read()
        return NodeProfile(
            name=self.name,
            release=__version__,
            concurrency=self._slots,
            skills=tuple(self._skills.names()),
            tags=self._options.tags,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_ms=self._clock.now_ms(),
            capabilities=self._capabilities,
            hardware={
                "cpu_count": machine.cpu_count,
                "memory_mb": round(machine.memory_total_bytes / MIB),
                "gpus": max(int(machine.gpu), machine.gpu_count),
                **_gpus_of(machine),
                **({} if self._link is None else {"app_release": self._link.release}),
            },
        )

    async def run(self) -> None:
        """Work until `stop`; raises `NameTaken` if another Spore of the same name takes over."""
        if self.worker is None:
            await self.connect()
        assert self.worker is not None
        NODE.set(self.name)
        FINDER.set(self.worker.attempts.at_work)
        hive, channel, link = self.worker.hive, self.settings.hive_broadcast_channel, self._link
        desk = OrderDesk(hive, self.worker, channel) if link is None else link.desk(hive, self.worker, channel)
        orders = asyncio.create_task(desk.run())
        telling = asyncio.create_task(hive.pen.keep_telling(self.name))
        try:
            async with contextlib.AsyncExitStack() as stack:
                if link is not None:
                    await stack.enter_async_context(link.watching(self._leave_alone))
                    await stack.enter_async_context(link.proving(hive, self.settings, self.name))
                await self.worker.run()
        finally:
            await end_tasks(orders, telling)

    def stop(self) -> None:
        """First call drains, second forces; one that comes before the Spore is connected counts too."""
        self._stops += 1
        if self.worker is not None:
            self.worker.stop()

    def _leave_alone(self) -> None:
        """Whoever was told to stop already is not told twice, which would force it."""
        if not self._stops:
            self.stop()

    async def disconnect(self) -> None:
        """End children and idle threads, and close connections."""
        if self._threads is not None:
            self._threads.close()
        if self._sandbox is not None:
            await self._sandbox.close()
        if self._hive is not None:
            await self._hive.close()
        if self._guard is not None:
            self._guard.board.close()
        self._hive = self._sandbox = self._threads = self._guard = self.worker = None
        self._stops = 0


def _gpus_of(machine: MachineReading) -> dict[str, Any]:
    """What else a profile says of GPUs, where there are any."""
    if not machine.gpu_count:
        return {}
    return {"gpu_names": list(machine.gpu_names), "gpu_memory_mb": round(machine.gpu_memory_total_bytes / MIB)}


async def serve(spore: VenomSpore) -> None:
    """Run a Spore until SIGTERM or SIGINT; the second signal forces."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, spore.stop)
    try:
        await spore.connect()
        await spore.run()
    finally:
        await spore.disconnect()


def _give_way(niceness: int) -> None:
    """Be at least so nice; nobody may be less so than he was started."""
    if not hasattr(os, "nice"):
        if niceness:
            log.warning("this system knows no niceness; HIVE_NICENESS changes nothing")
    elif (step := niceness - os.nice(0)) > 0:
        os.nice(step)


def _concurrency(asked: int | None) -> int:
    if asked is not None and not 1 <= asked <= CONCURRENCY_MAX:
        raise InvalidSetting(f"--concurrency is 1 to {CONCURRENCY_MAX}, not {asked}")
    return asked or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="venom-spore", description="Run tasks of a Venom Hive on this machine.")
    parser.add_argument(
        "--skills", default=BUILT_IN, metavar="pkg.module:skills", help="what it can do (default: the built-in skills)"
    )
    parser.add_argument("--name", default="", help="name of this node (default: the host name)")
    parser.add_argument("--redis-url", metavar="URL", help="where the hive's Redis is (default: REDIS_URL)")
    parser.add_argument(
        "--concurrency", type=int, metavar="N", help="tasks at the same time (default: by the kinds of skills)"
    )
    parser.add_argument("--tags", default="", metavar="a,b", help="tags of this node, for tasks that require them")
    parser.add_argument(
        "--capabilities", default="", metavar="a=0.9,b", help="what this node is good at, and how good, from 0 to 1"
    )
    parser.add_argument(
        "--safe-mode", action="store_true", help="run no skills at all; a launcher's last resort, tagged in the hive"
    )
    parser.add_argument("--log-level", default="", help="DEBUG, INFO, WARNING or ERROR (default: HIVE_LOG_LEVEL)")
    parser.add_argument("--log-format", default="", help="console or json (default: HIVE_LOG_FORMAT)")
    parser.add_argument("--version", action="version", version=f"venom-spore {__version__}")
    return parser


def _link_of_launcher() -> ReleaseLink | None:
    """The pipe to the launcher, if there is one; its module costs nobody else anything."""
    if not os.environ.get("VENOM_RELEASE_LINK"):
        return None
    link: ReleaseLink = importlib.import_module("venom_spore.release_link").ReleaseLink.from_environment(os.environ)
    link.settle_in()
    return link


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 after a clean stop, else one sentence: 2 for wrong options or settings, 1 for the rest."""
    parsed = _parser().parse_args(arguments)
    try:
        settings = prepare(parsed.redis_url, parsed.log_level, "a Spore", parsed.log_format)
        tags = tuple(tag.strip() for tag in parsed.tags.split(",") if tag.strip())
        tags += (SAFE_MODE,) if parsed.safe_mode else ()
        options = SporeOptions(
            parsed.name, _concurrency(parsed.concurrency), tags, read_capabilities(parsed.capabilities)
        )
        _give_way(settings.hive_niceness)
        link = _link_of_launcher()
        if parsed.safe_mode:
            log.warning("safe mode: no skills are run, because the release of this node does not work")
        skills = SkillSet() if parsed.safe_mode else load_skills(parsed.skills)
        spore = VenomSpore(skills, options, settings, link=link)
        name_node(spore.name)
        gc.freeze()  # what was imported stays: the collector need not walk through it again and again
        run(serve(spore))
    except VenomError as fault:
        last_words("venom-spore", fault)
        return MISUSED if isinstance(fault, InvalidSetting) else 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
