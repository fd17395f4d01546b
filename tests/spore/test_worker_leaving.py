"""How a Spore stops, is replaced, and loses its lease."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.hives import FAST, Running, altered, audit_lines, done, ended, running, until, until_listening
from tests.servers import PrivateServer
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore import worker as worker_module
from venom_spore.context import TaskContext
from venom_spore.main import SporeOptions, VenomSpore
from venom_spore.skills import SkillSet
from venom_spore.worker import NameTaken


class Gate:
    """Skills that a test holds until it lets them go."""

    def __init__(self) -> None:
        self.skills = SkillSet()
        self.begun = asyncio.Semaphore(0)
        self.stopped = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

        @self.skills.skill
        async def hold(ctx: TaskContext) -> str:
            self.begun.release()
            try:
                await self.go_on.wait()
            except asyncio.CancelledError:
                self.stopped.release()
                raise
            return ctx.node_id

        @self.skills.skill
        async def echo(value: str = "") -> str:
            return value


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def lose_lease(broker: MessageBroker, spore: Running) -> int:
    """As if the node had been silent until others buried it; the epoch it had."""
    epoch = spore.worker._keeper.epoch
    await broker.hive.link.command("ZREM", broker.hive.tasks.keyspace.key(0, "lease"), epoch)
    return epoch


async def rescue(broker: MessageBroker, task_id: str) -> None:
    """As the watchdog does with a task that shows no sign of life."""
    hive = broker.hive
    held = (await hive.tasks.look([task_id]))[task_id].held
    assert held is not None
    assert await hive.upkeep.rescue(task_id, held, "loser", hive.now_ms()) == "pending"


async def rescue_unheard(broker: MessageBroker, spore: Running, task_id: str) -> None:
    """The same, while no message reaches the node: it has lost its line, and looks for another after a pause."""
    await until_listening(broker, spore)
    await broker.hive.link.command("CLIENT", "KILL", "TYPE", "pubsub")
    await rescue(broker, task_id)


# ----------------------------------------------------------------------------------------------------- stopping


async def test_the_first_stop_lets_running_tasks_finish_and_takes_no_more(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with running(gate.skills, settings, slots=1) as spore:
        first, second = await broker.enqueue_many("hold", [{}, {}])
        await gate.begun.acquire()
        spore.spore.stop()
        gate.go_on.set()
        await spore.work
        assert (await ended(broker, first)).status == "completed"
        task = await broker.get_task_status(second)
        assert task is not None
        assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)
    assert await broker.hive.nodes.all() == []


async def test_the_second_stop_hands_back_what_runs_and_it_counts_nothing(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with running(gate.skills, settings) as spore:
        ids = await broker.enqueue_many("hold", [{}, {}])
        await gate.begun.acquire()
        await gate.begun.acquire()
        spore.spore.stop()
        spore.spore.stop()
        await asyncio.wait_for(spore.work, 5)
    gate.go_on.set()
    async with running(gate.skills, settings, "other"):
        tasks = [await ended(broker, task_id) for task_id in ids]
    assert {(task.result, task.attempt, task.crashes) for task in tasks} == {("other", 1, 0)}


async def test_what_does_not_finish_within_the_drain_is_handed_back(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with running(gate.skills, altered(settings, hive_drain_timeout=0.1)) as spore:
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        spore.spore.stop()
        await asyncio.wait_for(spore.work, 5)
        task = await broker.get_task_status(task_id)
        assert task is not None
        assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)


async def test_a_task_that_will_not_stop_is_handed_back_all_the_same(
    settings: Settings, broker: MessageBroker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STUBBORN_S", 0.1)
    begun, give_in = asyncio.Event(), asyncio.Event()

    @gate.skills.skill
    async def stubborn() -> str:
        begun.set()
        while not give_in.is_set():
            try:
                await give_in.wait()
            except asyncio.CancelledError:
                continue
        return "after all"

    async with running(gate.skills, settings) as spore:
        task_id = await broker.enqueue_task("stubborn")
        await begun.wait()
        spore.spore.stop()
        spore.spore.stop()
        await asyncio.wait_for(spore.work, 5)
        task = await broker.get_task_status(task_id)
        assert task is not None
        assert (task.status, task.crashes) == ("pending", 0)
        give_in.set()


async def test_an_idle_spore_stops_at_once(settings: Settings, broker: MessageBroker, gate: Gate) -> None:
    async with running(gate.skills, settings) as spore:
        await done(broker, "echo")
        begun = Clock().monotonic_s()
        spore.spore.stop()
        await spore.work
    assert Clock().monotonic_s() - begun < 3


async def test_a_delayed_task_is_not_late_because_the_spore_that_would_have_woken_stopped(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with AsyncExitStack() as stack:
        spores = [await stack.enter_async_context(running(gate.skills, settings, name)) for name in ("a", "b", "c")]
        task_id = await broker.enqueue_task("echo", delay=0.6)
        await until(lambda: any(spore.worker._claimer._watched for spore in spores))
        for spore in spores[:2]:
            spore.spore.stop()
            await spore.work
        task = await ended(broker, task_id, within_s=4)
    assert task.assigned_node == "c"


# ---------------------------------------------------------------------------------------------------- its name


async def test_the_same_name_again_ends_the_older_and_takes_over_its_tasks_at_once(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    patient = altered(settings, hive_heartbeat_interval=0.2, hive_lease=60)
    async with running(gate.skills, patient, "twin") as older:
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        async with running(gate.skills, patient, "twin"):
            await asyncio.wait_for(gate.begun.acquire(), 5)
            with pytest.raises(NameTaken, match="another Spore named 'twin' took over; give each its own --name"):
                await asyncio.wait_for(older.work, 5)
            await gate.stopped.acquire()
            gate.go_on.set()
            task = await ended(broker, task_id)
            assert (task.status, task.crashes) == ("completed", 1)
            nodes = await broker.hive.nodes.all()
            assert [(node.profile.name, node.online) for node in nodes] == [("twin", True)]


async def test_a_name_is_free_again_after_a_clean_stop(settings: Settings, broker: MessageBroker, gate: Gate) -> None:
    for _ in range(2):
        async with running(gate.skills, settings, "again"):
            assert await done(broker, "echo", {"value": "a"}) == "a"


# ---------------------------------------------------------------------------------------------------- its lease


async def test_a_lost_lease_stops_the_work_at_once_and_the_spore_joins_again(
    fast: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with running(gate.skills, fast, slots=5) as spore:
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        epoch = await lose_lease(broker, spore)
        await asyncio.wait_for(gate.stopped.acquire(), 3)
        await until(lambda: spore.worker._keeper.epoch > epoch)
        assert not spore.work.done()
        await until_listening(broker, spore)
        gate.go_on.set()
        task = await ended(broker, task_id)
        assert (task.status, task.crashes) == ("completed", 1)


async def test_orders_are_heard_at_once_also_under_a_new_lease(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with running(gate.skills, altered(settings, **FAST)) as spore:
        epoch = await lose_lease(broker, spore)
        await until(lambda: spore.worker._keeper.epoch > epoch)
        await until_listening(broker, spore)


async def test_a_lease_that_ran_out_but_was_not_taken_is_renewed_and_nothing_stops(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    async with running(gate.skills, altered(settings, **FAST)) as spore:
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        epoch = spore.worker._keeper.epoch
        await broker.hive.link.command("ZADD", broker.hive.tasks.keyspace.key(0, "lease"), 1, epoch)
        assert await done(broker, "echo", {"value": "a"}) == "a"
        gate.go_on.set()
        task = await ended(broker, task_id)
        assert (task.status, task.attempt, task.crashes) == ("completed", 1, 0)
        assert spore.worker._keeper.epoch == epoch


async def test_what_a_node_says_of_a_task_it_lost_is_refused_and_noted(
    settings: Settings, broker: MessageBroker, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    slow_beat = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with running(gate.skills, slow_beat, "loser", slots=1) as spore:
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        await rescue_unheard(broker, spore, task_id)
        claimed = await broker.next_task(["hold"], timeout=5)
        assert claimed is not None
        assert (claimed.task_id, claimed.attempt, claimed.crashes) == (task_id, 1, 1)
        gate.go_on.set()
        await until(lambda: f"the end of {task_id} was refused" in caplog.text)
        await broker.update_task_status(task_id, "completed", result="mine")
        assert (await ended(broker, task_id)).result == "mine"
    assert [line["what"] for line in await audit_lines(broker)] == ["rescued", "stale_settle"]


async def test_a_node_is_told_to_stop_what_was_rescued_from_it(
    settings: Settings, broker: MessageBroker, gate: Gate
) -> None:
    slow_beat = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with running(gate.skills, slow_beat, slots=1) as spore:
        await until_listening(broker, spore)
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        await rescue(broker, task_id)
        await asyncio.wait_for(gate.stopped.acquire(), 5)
        gate.go_on.set()
        task = await ended(broker, task_id)
        assert (task.status, task.crashes) == ("completed", 1)
    # It hands back what it was told to stop, which is refused because it was really taken.
    assert [line["what"] for line in await audit_lines(broker)] == ["rescued", "stale_settle"]


# --------------------------------------------------------------------------------------------- Redis out of reach


async def test_redis_killed_and_started_again_in_the_middle_loses_and_repeats_nothing(
    private_server: PrivateServer,
) -> None:
    counts: dict[int, int] = {}
    own = SkillSet()

    @own.skill
    async def count(number: int) -> int:
        await asyncio.sleep(0.002)
        counts[number] = counts.get(number, 0) + 1
        return number

    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker, running(own, settings, slots=5):
        ids = await broker.enqueue_many("count", [{"number": number} for number in range(600)])
        for _ in range(2):
            before = len(counts)
            await until(lambda before=before: len(counts) > before + 100)  # type: ignore[misc]  # mypy cannot infer it
            await asyncio.to_thread(private_server.restart)
        tasks = [await ended(broker, task_id) for task_id in ids]
        assert [task.result for task in tasks] == list(range(600))
        assert {(task.status, task.crashes) for task in tasks} == {("completed", 0)}
        assert set(counts.values()) == {1}
        stats = await broker.get_queue_stats()
        assert (stats["tasks_completed"], stats["tasks_pending"], stats["tasks_running"]) == (600, 0, 0)


async def test_redis_stalled_for_longer_than_the_lease_stops_nothing(private_server: PrivateServer, gate: Gate) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker, running(gate.skills, settings) as spore:
        task_id = await broker.enqueue_task("hold")
        await gate.begun.acquire()
        private_server.stall()
        begun = Clock().monotonic_s()
        await until(lambda: Clock().monotonic_s() - begun > 2)
        private_server.resume()
        assert await done(broker, "echo", {"value": "a"}) == "a"
        gate.go_on.set()
        task = await ended(broker, task_id)
        assert (task.status, task.attempt, task.crashes) == ("completed", 1, 0)
        assert not spore.work.done()


async def test_a_spore_that_is_stopped_while_redis_is_away_stops(
    private_server: PrivateServer, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "STUBBORN_S", 0.3)
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker:
        async with running(gate.skills, settings) as spore:
            task_id = await broker.enqueue_task("hold")
            await gate.begun.acquire()
            await asyncio.to_thread(private_server.kill)
            spore.spore.stop()
            spore.spore.stop()
            await asyncio.wait_for(spore.work, 8)
        await asyncio.to_thread(private_server.restart)
        gate.go_on.set()
        async with running(gate.skills, settings, "other"):
            task = await ended(broker, task_id)
        assert (task.status, task.result) == ("completed", "other")


async def test_a_spore_stopped_before_it_could_join_stops(private_server: PrivateServer, gate: Gate) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    spore = VenomSpore(gate.skills, SporeOptions("early"), settings)
    await spore.connect()
    await asyncio.to_thread(private_server.kill)
    work = asyncio.create_task(spore.run())
    await asyncio.wait([work], timeout=0.2)
    spore.stop()
    spore.stop()
    try:
        await asyncio.wait_for(work, 8)
    finally:
        await spore.disconnect()


async def test_a_spore_waits_for_a_redis_that_is_not_there_yet(private_server: PrivateServer, gate: Gate) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    spore = VenomSpore(gate.skills, SporeOptions("patient"), settings)
    await spore.connect()
    await asyncio.to_thread(private_server.kill)
    work = asyncio.create_task(spore.run())
    await asyncio.wait([work], timeout=0.3)
    await asyncio.to_thread(private_server.restart)
    async with MessageBroker(settings) as broker:
        assert await done(broker, "echo", {"value": "a"}) == "a"
    spore.stop()
    await work
    await spore.disconnect()


async def test_what_nobody_foresaw_ends_the_spore_loudly(settings: Settings, broker: MessageBroker, gate: Gate) -> None:
    space = broker.hive.tasks.keyspace
    async with running(gate.skills, settings) as spore:
        await done(broker, "echo")
        await broker.hive.link.command("DEL", space.key(0, "ready"))
        await broker.hive.link.command("SET", space.key(0, "ready"), "not a sorted set")
        await broker.hive.link.command("LPUSH", space.type_keys(0, "echo")[2], "1")
        with pytest.raises(Exception, match="WRONGTYPE"):
            await asyncio.wait_for(spore.work, 5)
    await broker.hive.link.command("DEL", space.key(0, "ready"))
