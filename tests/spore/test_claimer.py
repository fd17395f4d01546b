"""Tokens that a Spore took and does not use: another is woken by them, and none is left where nothing waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.hives import altered, done, ended, running, until
from tests.servers import PrivateServer
from tests.stores import Stores
from venom_core.config import Settings
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.placement import Requirements
from venom_core.errors import LeaseLate
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.placement_store import Assignment, Move
from venom_core.infrastructure.task_records import Batch
from venom_core.infrastructure.wakeup import WakeLists
from venom_spore.claimer import Claimer
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def quick() -> None: ...


@asynccontextmanager
async def claiming(broker: MessageBroker, name: str = "a") -> AsyncIterator[Claimer]:
    """A claimer of `quick` and of what node `name` is given, that knows its lanes are empty."""
    claimer = Claimer(broker.hive, ("quick", own_lane(name)), asyncio.Event())
    joined = await Stores(broker.hive.link, broker.hive.tasks.keyspace).join(name)
    assert await claimer.claim(joined, 1) is None
    try:
        yield claimer
    finally:
        await claimer.let_go(joined)


def stores_of(broker: MessageBroker) -> Stores:
    return Stores(broker.hive.link, broker.hive.tasks.keyspace)


@pytest.fixture(params=[1, 4])
async def any_broker(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[MessageBroker]:
    async with MessageBroker(altered(settings, hive_partitions=request.param)) as connected:
        yield connected


async def asleep(*claimers: Claimer) -> list[asyncio.Task[Batch | None]]:
    """Claimers that sleep, in this order."""
    tasks = []
    for claimer in claimers:
        tasks.append(asyncio.create_task(claimer.sleep(0, 0)))
        await until(claimer._wake._one_at_a_time.locked)
        # The server knows of it once it has answered something asked later, over whichever connection.
        await claimer._tasks.link.command("PING")
    return tasks


async def test_who_hesitates_wakes_the_next(any_broker: MessageBroker) -> None:
    async with claiming(any_broker) as first, claiming(any_broker, "b") as second:
        sleeping = await asleep(first, second)
        task_id = await any_broker.enqueue_task("quick")
        woken, still = await asyncio.wait(sleeping, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert len(woken) == len(still) == 1
        hesitant, other = (first, second) if sleeping[0] in woken else (second, first)
        await hesitant.pass_on()
        await asyncio.wait_for(asyncio.gather(*still), 5)
        batch = await other.claim(await stores_of(any_broker).join("c"), 5)
        assert batch is not None
        assert [lease.task_id for lease in batch.leases] == [task_id]


async def test_never_more_than_one_token_lies_there(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        (sleeping,) = await asleep(claimer)
        await broker.enqueue_task("quick")
        await asyncio.wait_for(sleeping, 5)
        await broker.enqueue_task("quick")
        await claimer.pass_on()
        await claimer.pass_on()
        assert await stores_of(broker).tokens("quick") == 1


async def test_no_token_is_left_where_nothing_waits_any_more(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        (sleeping,) = await asleep(claimer)
        task_id = await broker.enqueue_task("quick")
        await asyncio.wait_for(sleeping, 5)
        assert await broker.cancel_task(task_id)
        await claimer.pass_on()
        assert await stores_of(broker).tokens("quick") == 0


async def test_who_was_not_woken_passes_nothing_on(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        await broker.enqueue_task("quick")
        assert await stores_of(broker).take_token("quick")
        await claimer.pass_on()
        assert await stores_of(broker).tokens("quick") == 0


async def test_what_woke_a_spore_that_was_told_to_stop_wakes_another(any_broker: MessageBroker) -> None:
    async with claiming(any_broker, "stays") as stays:
        async with claiming(any_broker, "leaves") as leaves:
            (sleeping,) = await asleep(leaves)
            await any_broker.enqueue_task("quick")
            await asyncio.wait_for(sleeping, 5)
        await asyncio.wait_for(stays.sleep(0, 0), 5)


async def test_what_a_spore_is_given_wakes_it_alone(any_broker: MessageBroker) -> None:
    hive = any_broker.hive
    async with claiming(any_broker) as mine, claiming(any_broker, "b") as other:
        sleeping = await asleep(mine, other)
        task_id = await any_broker.enqueue_task("quick", requirements={"node": "a"})
        partition = hive.tasks.keyspace.partition_of(task_id)
        note = Assignment("a", Requirements())
        assert await hive.placement.move(partition, [Move(task_id, WAITING, own_lane("a"), note)])
        await asyncio.wait_for(sleeping[0], 5)
        assert not sleeping[1].done()
        joined = await stores_of(any_broker).join("c")
        batch = await mine.claim(joined, 1)
        assert batch is not None
        assert [(lease.task_id, lease.given) for lease in batch.leases] == [(task_id, True)]
        other.disturb()
        await sleeping[1]


async def test_a_spore_with_a_small_budget_and_quick_tasks_does_them_all(
    settings: Settings, broker: MessageBroker
) -> None:
    steady = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with running(skills, steady, slots=100) as spore:
        spore.worker._pace.mean_s = 0.0001
        spore.worker._pace.budget = 30
        ids = await broker.enqueue_many("quick", [{} for _ in range(300)])
        for task_id in ids:
            assert (await ended(broker, task_id)).status == "completed"


# ---------------------------------------------------------------------------------- claims sent ahead of being woken


async def test_what_is_enqueued_is_claimed_by_the_server_the_moment_it_wakes_the_sleeper(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        sleeping = asyncio.create_task(claimer.sleep(epoch, 5))
        await until(claimer._wake._one_at_a_time.locked)
        await broker.hive.link.command("PING")
        ids = await broker.enqueue_many("quick", [{}] * 3)
        batch = await sleeping
        assert batch is not None
        assert [lease.task_id for lease in batch.leases] == ids
        assert claimer.emptied


async def test_work_that_one_claim_ahead_leaves_has_a_token_for_the_next(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        await broker.enqueue_many("quick", [{}] * 3)
        batch = await claimer.sleep(epoch, 2)
        assert batch is not None
        assert len(batch.leases) == 2
        assert not claimer.emptied
        assert await stores_of(broker).tokens("quick") == 1


async def test_a_claim_ahead_whose_answer_nobody_read_is_given_again(broker: MessageBroker) -> None:
    """The node was disturbed at the moment in which it was woken."""
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        await broker.enqueue_task("quick")
        unread = broker.hive.tasks.claim_command(0, epoch, claimer._number + 1, claimer._lanes, 5, "")
        await WakeLists(broker.hive.link).pop_and(claimer._wake_keys, 1, unread)
        batch = await claimer.claim(epoch, 5)
        assert batch is not None
        assert len(batch.leases) == 1


async def test_a_claim_on_a_line_that_was_given_up_leases_nothing_once_a_later_one_was_answered(
    broker: MessageBroker,
) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        number = claimer._number + 1
        late = broker.hive.tasks.claim_command(0, epoch, number, claimer._lanes, 5, "")
        assert await claimer.claim(epoch, 5) is None
        await broker.enqueue_task("quick")
        popped = await WakeLists(broker.hive.link).pop_and(claimer._wake_keys, 1, late)
        assert popped is not None
        assert broker.hive.tasks.read_claim(0, epoch, number, popped[1]).old
        assert (await broker.get_queue_stats())["tasks_running"] == 0
        assert await stores_of(broker).tokens("quick") == 1


async def test_a_server_that_forgot_its_scripts_delays_nothing(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        await broker.enqueue_task("quick")
        await broker.hive.link.command("SCRIPT", "FLUSH")
        assert await claimer.sleep(epoch, 5) is None
        assert not claimer.emptied
        batch = await claimer.claim(epoch, 5)
        assert batch is not None
        assert len(batch.leases) == 1


async def test_a_node_whose_lease_ran_out_passes_its_token_on(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        await stores_of(broker).expire_lease(epoch)
        await broker.enqueue_task("quick")
        with pytest.raises(LeaseLate):
            await claimer.sleep(epoch, 5)
        assert await stores_of(broker).tokens("quick") == 1


async def test_a_token_that_a_dead_machine_took_wakes_the_next_sleeper(broker: MessageBroker) -> None:
    """Nobody is there to read that its lease ran out, and to pass the token on."""
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        await stores_of(broker).expire_lease(epoch)
        await broker.enqueue_task("quick")
        unread = broker.hive.tasks.claim_command(0, epoch, claimer._number + 1, claimer._lanes, 5, "")
        await WakeLists(broker.hive.link).pop_and(claimer._wake_keys, 1, unread)
        assert await stores_of(broker).tokens("quick") == 1


async def test_an_empty_claim_whose_answer_was_lost_is_asked_anew_and_watches(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        await broker.hive.tasks.claim(0, epoch, claimer._number + 1, claimer._lanes, 5)
        await broker.enqueue_task("quick", delay=60)
        assert await claimer.claim(epoch, 5) is None
        assert 0 < claimer._wait_ms <= 60_000
        assert claimer._watched == {0: "quick"}


async def test_a_delayed_task_is_claimed_when_it_comes_due(broker: MessageBroker) -> None:
    async with claiming(broker) as claimer:
        epoch = await _epoch(broker, "a")
        task_id = await broker.enqueue_task("quick", delay=0.2)
        first = await claimer.sleep(epoch, 5)
        assert first is not None
        assert first.leases == []
        batch = await claimer.sleep(epoch, 5)
        assert batch is not None
        assert [lease.task_id for lease in batch.leases] == [task_id]


async def _epoch(broker: MessageBroker, name: str) -> int:
    return next(node.epoch for node in await broker.hive.nodes.all() if node.profile.name == name)


async def test_that_nobody_answers_claims_is_said_once_an_outage(
    private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    """By who was asking, and by who asks again after that."""
    caplog.set_level(logging.DEBUG, "venom.spore")
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")

    def said() -> list[tuple[str, int]]:
        begins = ("cannot claim", "a claim was not answered")
        return [(line.msg, line.levelno) for line in caplog.records if line.msg.startswith(begins)]

    async with MessageBroker(settings) as broker, running(skills, settings):
        for outages in (1, 2):
            before = len(said())
            private_server.kill()
            await until(lambda before=before: len(said()) >= before + 4)  # type: ignore[misc]  # mypy cannot infer it
            await asyncio.to_thread(private_server.restart)
            assert await done(broker, "quick") is None
            warnings = [message for message, level in said() if level == logging.WARNING]
            assert outages <= len(warnings) <= 2 * outages
