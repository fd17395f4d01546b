"""The Foreman in a program of one's own: the best node, tasks given to it, and what it says of the hive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.hives import ended, running, stop_claiming, until, until_so
from venom_core.agents.foreman import ForemanAgent
from venom_core.config import Settings
from venom_core.errors import IllegalTransition, InvalidTask, UnknownTask
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.machine import MachineReading
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def where(ctx: TaskContext) -> str:
    return ctx.node_id


class Machine:
    """A machine as the test wants it."""

    def __init__(self, cpu: float = 0.0, *, gpu: bool = False, free_mb: int = 1_000) -> None:
        self.cpu, self.gpu, self.free_mb = cpu, gpu, free_mb

    def read(self) -> MachineReading:
        return MachineReading(
            cpu_percent=self.cpu,
            memory_percent=10.0,
            disk_percent=0.0,
            load_1m=0.0,
            cpu_count=2.0,
            memory_total_bytes=8 << 30,
            memory_available_bytes=self.free_mb << 20,
            gpu=self.gpu,
        )


@asynccontextmanager
async def foreman_of(broker: MessageBroker) -> AsyncIterator[ForemanAgent]:
    foreman = ForemanAgent(None, broker)
    await foreman.start()
    try:
        await until(lambda: foreman.leads)
        yield foreman
    finally:
        await foreman.stop()


async def known(foreman: ForemanAgent, *names: str) -> None:
    """Until every one of these nodes has said how it is."""

    async def heard() -> bool:
        await foreman.node_manager.refresh()
        nodes = {node.profile.name: node for node in foreman.node_manager.list_nodes(online_only=True)}
        return all(name in nodes and nodes[name].heard_ms for name in names)

    await until_so(heard)


async def test_the_least_loaded_node_is_the_best_and_only_among_those_that_fit(
    fast: Settings, broker: MessageBroker
) -> None:
    async with (
        running(skills, fast, "busy", reader=Machine(90.0, gpu=True)),
        running(skills, fast, "idle", reader=Machine(5.0)),
        foreman_of(broker) as foreman,
    ):
        await known(foreman, "busy", "idle")
        assert foreman.select_best_node() == "idle"
        assert foreman.select_best_node({"gpu": True}) == "busy"
        assert foreman.select_best_node({"tags": ["here"], "memory_mb": 900}) == "idle"
        assert foreman.select_best_node({"memory_mb": 5_000}) is None
        with pytest.raises(InvalidTask, match="there is no requirement 'cpus'; there are: gpu, "):
            foreman.select_best_node({"cpus": 3})


async def test_a_task_with_requirements_runs_on_the_node_that_meets_them(fast: Settings, broker: MessageBroker) -> None:
    async with (
        running(skills, fast, "plain", reader=Machine()),
        running(skills, fast, "gpu", reader=Machine(80.0, gpu=True)),
        foreman_of(broker),
    ):
        ids = await broker.enqueue_many("where", [{} for _ in range(20)], requirements={"gpu": True})
        assert [(await ended(broker, task_id)).result for task_id in ids] == ["gpu"] * 20
        stats = await broker.get_queue_stats()
        assert (stats["tasks_pending"], stats["tasks_completed"]) == (0, 20)


async def test_a_task_that_no_node_can_take_waits_and_explain_names_what_fails_where(
    fast: Settings, broker: MessageBroker
) -> None:
    async with running(skills, fast, "plain", reader=Machine()), foreman_of(broker) as foreman:
        await known(foreman, "plain")
        blocked = await broker.enqueue_task("where", {}, requirements={"gpu": True, "tags": "cellar"})
        after = await broker.enqueue_task("where", {}, requirements={"tags": "here"})
        assert (await ended(broker, after)).result == "plain"
        explanation = await broker.explain(blocked)
        assert explanation.reason == "no_fit"
        assert "plain: it has 0 GPUs of 1 and it lacks the tag 'cellar'" in explanation.sentence
        async with running(skills, fast, "gpu", tags=("cellar",), reader=Machine(gpu=True)):
            assert (await ended(broker, blocked)).result == "gpu"


async def test_assign_task_gives_a_waiting_task_to_the_best_node(fast: Settings, broker: MessageBroker) -> None:
    async with foreman_of(broker) as foreman:
        await broker.enqueue_task("where", {}, task_id="task_123")
        assert await foreman.assign_task("task_123", {"gpu": True}) is None
        assert (await broker.explain("task_123")).reason == "no_nodes"
        async with (
            running(skills, fast, "plain", reader=Machine()),
            running(skills, fast, "gpu", reader=Machine(50.0, gpu=True)),
        ):
            assert (await ended(broker, "task_123")).result == "gpu"
            assert await foreman.assign_task("task_123") is None
            with pytest.raises(UnknownTask):
                await foreman.assign_task("nobody-knows-it")


async def test_what_was_assigned_to_a_node_that_is_gone_returns(fast: Settings, broker: MessageBroker) -> None:
    async with foreman_of(broker) as foreman:
        async with running(skills, fast, "gone", slots=1, reader=Machine()) as gone:
            await known(foreman, "gone")
            await stop_claiming(gone)
            task_id = await broker.enqueue_task("where", {})
            assert await foreman.assign_task(task_id) == "gone"
            task = await broker.get_task_status(task_id)
            assert task is not None
            assert (task.status, task.assigned_node) == ("pending", "gone")
            assert (await broker.explain(task_id)).reason == "assigned"
        async with running(skills, fast, "other", reader=Machine()):
            assert (await ended(broker, task_id)).result == "other"


async def test_an_assigned_task_can_be_cancelled(fast: Settings, broker: MessageBroker) -> None:
    async with foreman_of(broker) as foreman, running(skills, fast, "here", slots=1, reader=Machine()) as here:
        await known(foreman, "here")
        await stop_claiming(here)
        given = await broker.enqueue_task("where", {})
        waiting = await broker.enqueue_task("where", {}, requirements={"gpu": True})
        assert await foreman.assign_task(given) == "here"
        for task_id in (given, waiting):
            assert await broker.cancel_task(task_id)
            assert (await ended(broker, task_id)).status == "cancelled"


async def test_the_status_of_the_cluster_and_in_prose(fast: Settings, broker: MessageBroker) -> None:
    async with foreman_of(broker) as foreman:
        assert foreman.get_cluster_status()["total_nodes"] == 0
        assert "No node is known yet" in await foreman.process("How are you?")
        async with running(skills, fast, "a", reader=Machine(20.0)), running(skills, fast, "b", reader=Machine(40.0)):
            await known(foreman, "a", "b")
            status = foreman.get_cluster_status()
            assert (status["online_nodes"], status["total_nodes"], status["offline_nodes"]) == (2, 2, 0)
            assert (status["avg_cpu_usage"], status["avg_memory_usage"]) == (30.0, 10.0)
            assert [node["node_name"] for node in status["nodes"]] == ["a", "b"]
            assert status["nodes"][0]["is_online"]
            assert "2 of 2 nodes are online" in await foreman.process("status")


async def test_only_who_claimed_a_task_may_complete_or_fail_it(fast: Settings, broker: MessageBroker) -> None:
    async with foreman_of(broker) as foreman:
        done, failed = [await broker.enqueue_task("by_hand", {}) for _ in range(2)]
        with pytest.raises(IllegalTransition):
            await foreman.complete_task(done, "me", 1)
        assert await broker.next_task()
        assert await broker.next_task()
        await foreman.complete_task(done, "me", {"n": 1})
        await foreman.fail_task(failed, "me", "no")
        assert (await ended(broker, done)).result == {"n": 1}
        assert (await ended(broker, failed)).error == "no"


async def test_start_and_stop_twice_and_beside_a_leader(broker: MessageBroker) -> None:
    async with foreman_of(broker) as first:
        await first.start()
        second = ForemanAgent(None, broker)
        await second.stop()
        await second.start()
        assert not second.leads
        await second.stop()
    await first.stop()
