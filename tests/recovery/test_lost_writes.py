"""A server that loses its last writes: what it had acknowledged and forgot is done again, with nobody's help."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

from tests.hives import ended, running, until, until_so
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet


class Journal:
    """The server's file, to be cut back to what it was."""

    def __init__(self, server: PrivateServer) -> None:
        self._server = server
        self._path: Path = next(server.data_dir.glob("appendonlydir/*.incr.aof"))
        self._bytes = 0

    def mark(self) -> None:
        self._bytes = self._path.stat().st_size

    async def lose_what_came_after(self) -> None:
        """As if the machine had lost its power before the file was on the disk."""
        self._server.kill()
        os.truncate(self._path, self._bytes)
        await asyncio.to_thread(self._server.restart)


def settings_of(server: PrivateServer) -> Settings:
    return Settings.load(redis_url=server.url, hive_heartbeat_interval=0.2, hive_lease=600)


async def test_a_task_whose_end_the_server_forgot_runs_again_although_its_spore_lives(
    private_server: PrivateServer,
) -> None:
    runs: Counter[str] = Counter()
    skills = SkillSet()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @skills.skill
    async def count(name: str) -> int:
        runs[name] += 1
        begun.set()
        await go_on.wait()
        return runs[name]

    settings = settings_of(private_server)
    async with MessageBroker(settings) as broker, running(skills, settings, slots=2):
        journal = Journal(private_server)
        before = await broker.enqueue_task("count", {"name": "before"})
        await begun.wait()
        journal.mark()
        go_on.set()
        assert (await ended(broker, before)).result == 1
        await journal.lose_what_came_after()

        async def forgotten() -> bool:
            return runs["before"] == 2

        await until_so(forgotten)
        task = await ended(broker, before)
        assert (task.result, task.attempt, task.crashes) == (2, 1, 0)
        after = await broker.enqueue_task("count", {"name": "after"})
        assert (await ended(broker, after)).result == 1
        stats = await broker.get_queue_stats()
        assert (stats["tasks_completed"], stats["tasks_pending"], stats["tasks_running"]) == (2, 0, 0)


async def test_what_runs_when_the_server_comes_back_is_left_alone(private_server: PrivateServer) -> None:
    runs: Counter[str] = Counter()
    skills = SkillSet()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @skills.skill
    async def count(name: str) -> int:
        runs[name] += 1
        begun.set()
        await go_on.wait()
        return runs[name]

    settings = settings_of(private_server)
    async with MessageBroker(settings) as broker, running(skills, settings) as spore:
        journal = Journal(private_server)
        task_id = await broker.enqueue_task("count", {"name": "long"})
        await begun.wait()
        journal.mark()
        beats = spore.worker._keeper._connections
        await journal.lose_what_came_after()

        async def heard() -> bool:
            return spore.worker._keeper._connections > beats and not spore.worker._chores._running

        await until_so(heard)
        go_on.set()
        assert (await ended(broker, task_id)).result == 1
    assert runs["long"] == 1


async def test_a_task_of_a_hand_written_loop_whose_end_was_forgotten_is_there_again(
    private_server: PrivateServer,
) -> None:
    settings = settings_of(private_server)
    async with MessageBroker(settings) as broker:
        journal = Journal(private_server)
        task_id = await broker.enqueue_task("by-hand")
        first = await broker.next_task(["by-hand"], timeout=5)
        assert first is not None
        journal.mark()
        await broker.update_task_status(task_id, "completed", result="lost")
        await journal.lose_what_came_after()
        second = await broker.next_task(["by-hand"], timeout=10)
        assert second is not None
        assert (second.task_id, second.attempt, second.crashes) == (task_id, 1, 0)
        await broker.update_task_status(task_id, "completed", result="kept")
        assert (await ended(broker, task_id)).result == "kept"


async def test_each_partition_is_looked_through_once_for_what_the_server_forgot(
    private_server: PrivateServer,
) -> None:
    settings = Settings.load(
        redis_url=private_server.url, hive_partitions=4, hive_heartbeat_interval=0.2, hive_lease=600
    )
    client = private_server.client()

    def scans() -> int:
        info: Any = client.info("commandstats")
        return int(info.get("cmdstat_hscan", {"calls": 0})["calls"])

    async with running(SkillSet(), settings) as spore:
        keeper, chores = spore.worker._keeper, spore.worker._chores

        def heard() -> bool:
            beaten = [keeper._beaten_over.get(partition) for partition in range(4)]
            return beaten == [keeper._connections] * 4 and not chores._running

        await until(lambda: scans() >= 4 and heard())
        assert scans() == 4
        made = keeper._connections
        client.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: keeper._connections > made and scans() >= 8 and heard())
        assert scans() == 8
    client.close()
