"""Placement from end to end: real Spores, a Foreman beside them, and a server that goes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.test_foreman import Machine, foreman_of, known
from tests.hives import FAST, altered, claim_again, ended, running, stop_claiming, until, until_running, until_so
from tests.processes import spore
from tests.servers import PrivateServer
from venom_core.agents.foreman import ForemanAgent
from venom_core.config import Settings
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.placement import Requirements
from venom_core.domain.retry import RetryDecision, after_failure
from venom_core.errors import InvalidTask, StoreUnavailable
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.placement_store import Assignment, Move, PlacementStore
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def where(ctx: TaskContext) -> str:
    return ctx.node_id


@skills.skill
async def second_time_lucky(ctx: TaskContext) -> str:
    if ctx.attempt == 1:
        raise RuntimeError("the first time")
    return ctx.node_id


HERE = {"tags": "here"}


@pytest.fixture
async def foreman(broker: MessageBroker) -> AsyncIterator[ForemanAgent]:
    async with foreman_of(broker) as made:
        yield made


async def test_one_slot_and_many_quick_tasks_do_not_wait_for_heartbeats(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent
) -> None:
    slow = altered(fast, hive_heartbeat_interval=30, hive_lease=90)
    async with running(skills, slow, slots=1):
        ids = await broker.enqueue_many("where", [{} for _ in range(60)], requirements=HERE)
        assert {(await ended(broker, task_id)).result for task_id in ids} == {"spore"}


async def test_a_task_that_fails_is_placed_again(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(attempt: int, max_retries: int, jitter: float) -> RetryDecision:
        return RetryDecision(after_failure(attempt, max_retries, jitter).again)

    monkeypatch.setattr("venom_spore.execution.after_failure", at_once)
    async with running(skills, fast):
        task = await ended(broker, await broker.enqueue_task("second_time_lucky", requirements=HERE))
    assert (task.status, task.attempt, task.result) == ("completed", 2, "spore")


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_drained_spore_leaves_what_it_was_given_to_others(fast: Settings, partitions: int) -> None:
    hive = altered(fast, hive_partitions=partitions)
    async with MessageBroker(hive) as broker:
        async with foreman_of(broker) as foreman, running(skills, hive, "drained", slots=1) as drained:
            await known(foreman, "drained")
            await stop_claiming(drained)
            ids = await broker.enqueue_many("where", [{} for _ in range(4)], requirements=HERE)
            await until_so(lambda: _given(broker, 1))
        async with running(skills, hive, "heir"), foreman_of(broker):
            assert {(await ended(broker, task_id)).result for task_id in ids} == {"heir"}


async def _given(broker: MessageBroker, least: int) -> bool:
    return sum((await broker.hive.placement.given()).values()) >= least


async def test_a_killed_spore_leaves_what_it_ran_and_what_it_was_given(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    tags = ("--tags", "here", "--concurrency", "1")
    with spore("victim", fast, tmp_path, *tags) as victim:
        async with foreman_of(broker):
            first = await broker.enqueue_task("pause", {"seconds": 3600}, requirements=HERE, timeout=7_000)
            await until_running(broker, first)
            waiting = await broker.enqueue_task("pause", {"seconds": 0}, requirements=HERE)
            await until_so(lambda: _given(broker, 1))
        victim.kill()
    # No Nexus runs; the heir takes back what ran, and what has requirements waits.
    with spore("heir", fast, tmp_path, *tags):

        async def returned() -> bool:
            task = await broker.get_task_status(first)
            return task is not None and task.status == "pending"

        await until_so(returned)
        assert (await broker.explain(waiting)).reason == "no_nexus"
        assert await broker.cancel_task(first)
        async with foreman_of(broker):
            assert (await ended(broker, waiting)).assigned_node == "heir"


async def test_a_spore_that_returns_with_less_runs_nothing_it_was_given_before(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent
) -> None:
    async with running(skills, fast, "a", slots=1, tags=("here", "gpu")) as before:
        await known(foreman, "a")
        await stop_claiming(before)
        task_id = await broker.enqueue_task("where", requirements={"tags": "gpu"})
        await until_so(lambda: _given(broker, 1))
        await foreman.stop()

    async def given_back() -> bool:
        return (await broker.explain(task_id)).reason == "no_fit"

    async with running(skills, fast, "a"):
        await until_so(given_back)
        assert await broker.hive.placement.given() == {}
        async with running(skills, fast, "b", tags=("gpu",)), foreman_of(broker):
            assert (await ended(broker, task_id)).result == "b"


async def test_a_spore_that_cannot_give_that_back_at_first_neither_claims_it_nor_joins_twice(
    fast: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall, refused = PlacementStore.recall, [StoreUnavailable("away"), StoreUnavailable("away")]

    async def reluctant(store: PlacementStore, node: str) -> int:
        if refused:
            raise refused.pop()
        return await recall(store, node)

    monkeypatch.setattr(PlacementStore, "recall", reluctant)
    task_id = await broker.enqueue_task("where", requirements={"tags": "gpu"})
    note = Assignment("a", Requirements())
    assert await broker.hive.placement.move(0, [Move(task_id, WAITING, own_lane("a"), note)])
    async with running(skills, fast, "a") as spore:
        first = spore.worker._keeper.epoch
        assert (await ended(broker, await broker.enqueue_task("where"))).result == "a"
        assert not refused
        assert spore.worker._keeper.epoch == first
        assert (await broker.explain(task_id)).reason == "no_fit"


# ------------------------------------------------------------------------------------------------- assign_task


async def test_what_assign_task_asks_counts_also_if_nobody_can_take_it_yet(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent
) -> None:
    task_id = await broker.enqueue_task("where", requirements=HERE)
    async with running(skills, fast, "plain", slots=1) as plain:
        await stop_claiming(plain)
        await known(foreman, "plain")
        assert await foreman.assign_task(task_id, {"gpu": True}) is None
        assert (await broker.explain(task_id)).reason == "no_fit"
        claim_again(plain, 1)
        plain.worker._stir()
        async with running(skills, fast, "gpu", reader=Machine(90.0, gpu=True)):
            assert (await ended(broker, task_id)).result == "gpu"


async def test_assigned_again_with_more_it_stays_only_where_that_is_met(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent
) -> None:
    async with (
        running(skills, fast, "a", slots=1, reader=Machine(5.0)) as a,
        running(skills, fast, "b", slots=1, reader=Machine(50.0)) as b,
    ):
        await stop_claiming(a, b)
        await known(foreman, "a", "b")
        task_id = await broker.enqueue_task("where")
        assert await foreman.assign_task(task_id) == "a"
        assert await foreman.assign_task(task_id, {"memory_mb": 10}) == "a"
        assert (await broker.get_task_status(task_id)).assigned_node == "a"  # type: ignore[union-attr]  # it is there
        assert await foreman.assign_task(task_id, {"node": "b"}) == "b"
        assert await foreman.assign_task(task_id, {"memory_mb": 10_000}) is None
        explained = await broker.explain(task_id)
        assert "it is not 'b'" in explained.sentence
        assert "1,000 MiB of free RAM of 10,000" in explained.sentence


async def test_assign_task_takes_nothing_from_what_the_task_was_enqueued_with(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent
) -> None:
    async with running(skills, fast, "a"), running(skills, fast, "b"):
        await known(foreman, "a", "b")
        task_id = await broker.enqueue_task("where", requirements={"node": "c", "code>=": "99"}, task_id="mine")
        with pytest.raises(InvalidTask, match="task mine was enqueued for 'c'; it cannot be given to 'a'"):
            await foreman.assign_task(task_id, {"node": "a"})
        assert await foreman.assign_task(task_id, {"node": "c", "code>=": "0.1"}) is None
        assert (await broker.explain(task_id)).reason == "no_fit"


async def test_a_delayed_task_is_not_assigned(fast: Settings, broker: MessageBroker, foreman: ForemanAgent) -> None:
    async with running(skills, fast):
        await known(foreman, "spore")
        for wanted in (None, HERE):
            task_id = await broker.enqueue_task("where", delay=600, requirements=wanted)
            assert await foreman.assign_task(task_id) is None
            assert (await broker.explain(task_id)).reason == "scheduled"


async def test_tasks_assigned_one_after_the_other_are_spread(
    fast: Settings, broker: MessageBroker, foreman: ForemanAgent
) -> None:
    async with (
        running(skills, fast, "a", slots=1, reader=Machine()) as a,
        running(skills, fast, "b", slots=1, reader=Machine()) as b,
    ):
        await stop_claiming(a, b)
        await known(foreman, "a", "b")
        ids = await broker.enqueue_many("where", [{} for _ in range(6)])
        found = Counter([await foreman.assign_task(task_id) for task_id in ids])
        assert found == {"a": 3, "b": 3}


# ------------------------------------------------------------------------------------------- a server that goes away


async def test_a_foreman_goes_on_when_the_server_is_back(
    private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.load(redis_url=private_server.url, **FAST)
    async with MessageBroker(settings) as broker, running(skills, settings), foreman_of(broker) as foreman:
        await known(foreman, "spore")
        assert (await ended(broker, await broker.enqueue_task("where", requirements=HERE))).result == "spore"
        private_server.kill()
        await until(lambda: "venom.dispatcher" in {record.name for record in caplog.records} or not foreman.leads)
        await until(lambda: foreman.node_manager.list_nodes(online_only=True) == [])
        assert foreman.select_best_node() is None
        private_server.restart()
        await until(lambda: foreman.leads)
        assert (await ended(broker, await broker.enqueue_task("where", requirements=HERE))).result == "spore"
        assert foreman._work is not None
        assert not foreman._work.done()
