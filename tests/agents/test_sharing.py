"""The load score decides who gets the mass of tasks, and never lets a slot idle while work waits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.agents.test_foreman import Machine, foreman_of, known
from tests.hives import Running, ended, running, until
from tests.processes import spore
from venom_core.agents.foreman import ForemanAgent
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def short(ctx: TaskContext) -> str:
    await asyncio.sleep(0.02)
    return ctx.node_id


@skills.skill
async def long(ctx: TaskContext) -> str:
    await asyncio.sleep(0.5)
    return ctx.node_id


async def shares(broker: MessageBroker, ids: list[str]) -> Counter[str]:
    return Counter([(await ended(broker, task_id)).result for task_id in ids])


async def budgeted(busy: Running) -> None:
    """Until the Foreman has told the busy node to hold back."""
    await until(lambda: busy.worker._pace.budget is not None)


async def test_a_busy_node_gets_less_of_what_others_can_do_at_once(fast: Settings, broker: MessageBroker) -> None:
    async with (
        running(skills, fast, "busy", slots=4, reader=Machine(95.0)) as busy,
        running(skills, fast, "idle", slots=4, reader=Machine(5.0)) as idle,
        foreman_of(broker) as foreman,
    ):
        await known(foreman, "busy", "idle")
        await budgeted(busy)
        assert idle.worker._pace.budget is None
        found: Counter[str] = Counter()
        for _ in range(30):  # never more at once than the idle node has slots for
            found += await shares(broker, await broker.enqueue_many("short", [{}, {}]))
        assert found["idle"] >= 50, found


async def test_no_slot_idles_while_work_waits_for_everybody(fast: Settings, broker: MessageBroker) -> None:
    async with (
        running(skills, fast, "busy", slots=4, reader=Machine(95.0)) as busy,
        running(skills, fast, "idle", slots=4, reader=Machine(5.0)),
        foreman_of(broker) as foreman,
    ):
        await known(foreman, "busy", "idle")
        await budgeted(busy)
        found = await shares(broker, await broker.enqueue_many("long", [{} for _ in range(32)]))
        assert found["busy"] >= 12, found


async def test_nodes_of_like_load_have_no_budget(fast: Settings, broker: MessageBroker) -> None:
    async with (
        running(skills, fast, "a", slots=4, reader=Machine(12.0)) as a,
        running(skills, fast, "b", slots=4, reader=Machine(20.0)) as b,
        foreman_of(broker) as foreman,
    ):
        await known(foreman, "a", "b")
        await shares(broker, await broker.enqueue_many("short", [{} for _ in range(100)]))
        assert (a.worker._pace.budget, b.worker._pace.budget) == (None, None)


async def test_a_budget_ends_when_the_load_does_or_the_foreman_is_gone(fast: Settings, broker: MessageBroker) -> None:
    machine = Machine(95.0)
    async with (
        running(skills, fast, "busy", slots=4, reader=machine) as busy,
        running(skills, fast, "idle", slots=4, reader=Machine(5.0)),
    ):
        async with foreman_of(broker):
            await budgeted(busy)
            machine.cpu = 5.0
            await until(lambda: busy.worker._pace.budget is None)
            machine.cpu = 95.0
            await budgeted(busy)
        await until(lambda: busy.worker._pace.budget is None)


@contextmanager
def hog(core: int) -> Iterator[None]:
    """A process that eats one core for the length of a block."""
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def cores() -> Iterator[list[int]]:
    """The cores of this machine; the test itself runs on the first of them, so that the second is left in peace."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not pin processes to a core")
    found = os.sched_getaffinity(0)
    if len(found) < 2 or max(found) >= len(psutil.cpu_percent(percpu=True)):
        pytest.skip("two nodes of unequal load need two cores")
    busy = psutil.cpu_percent(interval=1.0, percpu=True)[max(found)]
    if busy > 50:
        pytest.skip(f"the core that is to be free is {busy:.0f} % busy with other work")
    os.sched_setaffinity(0, {min(found)})
    yield sorted(found)
    os.sched_setaffinity(0, found)


async def test_the_share_of_a_spore_falls_when_something_else_eats_its_cpu(
    fast: Settings, broker: MessageBroker, tmp_path: Path, cores: list[int]
) -> None:
    with spore("beside", fast, tmp_path) as beside, spore("apart", fast, tmp_path) as apart:
        # A Spore counts the CPU of the cores it may use: each of these has one of its own.
        os.sched_setaffinity(beside.process.pid, {cores[0]})
        os.sched_setaffinity(apart.process.pid, {cores[-1]})
        async with foreman_of(broker) as foreman:
            await known(foreman, "beside", "apart")
            before = [await _share(broker, "beside")]
            while before[-1] < 0.35:
                assert len(before) < 20, before
                before.append(await _share(broker, "beside"))
            with hog(cores[0]):
                await until(lambda: foreman.select_best_node() == "apart" and _gap(foreman) > 20, within_s=60)
                # Whatever else this machine does may level the two for a moment.
                shares = [await _share(broker, "beside")]
                while shares[-1] > 0.25:
                    assert len(shares) < 20, (before, shares)
                    shares.append(await _share(broker, "beside"))


def _gap(foreman: ForemanAgent) -> float:
    scores = {node["node_name"]: node["load_score"] for node in foreman.get_cluster_status()["nodes"]}
    return float(scores["beside"] - scores["apart"])


async def _share(broker: MessageBroker, node: str) -> float:
    """The part of 60 tasks that a node runs, of which never more are there than either has slots for."""
    where: Counter[str | None] = Counter()
    for _ in range(30):
        ids = await broker.enqueue_many("pause", [{"seconds": 0.02}] * 2)
        where += Counter([(await ended(broker, task_id)).assigned_node for task_id in ids])
    return where[node] / where.total()
