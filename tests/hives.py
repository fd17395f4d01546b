"""Spores in the test's own event loop, brokers beside them, and waiting for what announces itself to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.task_message import TaskMessage
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.attempts import Attempts
from venom_spore.execution import Attempt
from venom_spore.machine import MachineReader
from venom_spore.main import SporeOptions, VenomSpore
from venom_spore.skills import SkillSet
from venom_spore.worker import Worker

PATIENCE_S = 20.0
FAST = {"hive_heartbeat_interval": 0.3, "hive_lease": 1.2}


def altered(settings: Settings, **changes: Any) -> Settings:
    """The same hive under other settings; times in seconds."""
    given = settings.model_dump() | changes
    return Settings.load(**{name: value for name, value in given.items() if value is not None})


class ShiftedClock(Clock):
    """The clock of a machine that is wrong by so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._ms = round(seconds * 1000)

    def now_ms(self) -> int:
        return super().now_ms() + self._ms

    def jump(self, seconds: float) -> None:
        """Somebody sets it while it is in use."""
        self._ms += round(seconds * 1000)


@dataclass(slots=True)
class Running:
    """A Spore at work and the task that runs it."""

    spore: VenomSpore
    work: asyncio.Task[None]

    @property
    def worker(self) -> Worker:
        assert self.spore.worker is not None
        return self.spore.worker


@asynccontextmanager
async def running(
    skills: SkillSet,
    settings: Settings,
    name: str = "spore",
    *,
    slots: int = 0,
    tags: tuple[str, ...] = ("here",),
    clock: Clock | None = None,
    reader: MachineReader | None = None,
) -> AsyncIterator[Running]:
    """A Spore that works until the block ends; then it is forced. What ended it before is raised by its `work`."""
    spore = VenomSpore(skills, SporeOptions(name, slots, tags), settings, clock=clock, reader=reader)
    await spore.connect()
    work = asyncio.create_task(spore.run())
    assert spore.worker is not None
    keeper = spore.worker._keeper
    try:
        await until(lambda: keeper.epoch > 0 or work.done())
        yield Running(spore, work)
    finally:
        try:
            if not work.done():
                spore.stop()
                spore.stop()
                await work
        finally:
            await spore.disconnect()


async def stop_claiming(*spores: Running) -> None:
    """These sleeping Spores claim nothing more, as if all their slots were taken; the server knows it too."""
    for spore in spores:
        one_at_a_time = spore.worker._claimer._wake._one_at_a_time
        await until(one_at_a_time.locked)
        spore.worker._pace.slots = 0
        spore.worker._claimer.disturb()
        async with one_at_a_time:  # given up by whoever slept
            pass
        # What was sent after a line was closed is answered after the server saw that.
        await spore.worker.hive.link.command("PING")


def claim_again(spore: Running, slots: int) -> None:
    """The reverse of `stop_claiming`."""
    spore.worker._pace.slots = slots
    spore.worker.attempts.freed.set()


def once_launched(attempts: Attempts, act: Callable[[Attempt], None]) -> None:
    """From now on do something to each attempt in the moment between its launch and its first step."""
    launch = attempts.launch

    def launch_and_act(attempt: Attempt, now_ms: int) -> None:
        launch(attempt, now_ms)
        act(attempt)

    attempts.launch = launch_and_act  # type: ignore[method-assign]  # the moment between two loop turns


async def until(met: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait for a state that announces itself to nobody."""
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def until_so(met: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S) -> None:
    """Like `until`, for a look at the store."""
    async with asyncio.timeout(within_s):
        while not await met():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def until_listening(broker: MessageBroker, running: Running) -> None:
    """Wait until the Spore hears orders the moment they are sent."""
    channel = broker.hive.tasks.keyspace.node_channel(running.worker._keeper.epoch)

    async def subscribed() -> bool:
        return bool((await broker.hive.link.command("PUBSUB", "NUMSUB", channel))[1])

    await until_so(subscribed)


async def until_running(broker: MessageBroker, task_id: str) -> None:
    """Wait until a node has claimed the task."""

    async def claimed() -> bool:
        task = await broker.get_task_status(task_id)
        return task is not None and task.status == "running"

    await until_so(claimed)


async def ended(broker: MessageBroker, task_id: str, within_s: float = PATIENCE_S) -> TaskMessage:
    """The task once it has ended; fails if it does not."""
    task = await broker.wait_for(task_id, within_s)
    assert task is not None, f"{task_id} has not ended: {await broker.explain(task_id)}"
    return task


async def done(broker: MessageBroker, task_type: str, payload: dict[str, Any] | None = None, **options: Any) -> Any:
    """Enqueue one task, wait for it, and return its result; fails if it did not complete."""
    task = await ended(broker, await broker.enqueue_task(task_type, payload, **options))
    assert task.status == "completed", task.error
    return task.result


async def audit_lines(broker: MessageBroker) -> list[dict[str, str]]:
    """The security audit, oldest first."""
    hive = broker.hive
    lines = await hive.link.command("XRANGE", hive.tasks.keyspace.key(0, "audit"), "-", "+")
    return [_fields(fields) for _, fields in lines]


def _fields(flat: list[bytes]) -> dict[str, str]:
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
