"""Budgets as the dispatcher sets them: of nodes that are busier than their peers for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from tests.agents.bench import Bench
from tests.agents.test_dispatcher import bench_of
from tests.stores import pairs
from venom_core.config import Settings
from venom_core.domain.node import NodeState


@pytest.fixture
async def bench(settings: Settings) -> AsyncIterator[Bench]:
    async with bench_of(settings, 1) as made:
        yield made


async def budgets(bench: Bench) -> dict[str, int]:
    found = pairs(await bench.hive.link.command("HGETALL", bench.hive.tasks.keyspace.key(0, "budget")))
    return {name.decode(): int(tasks) for name, tasks in found.items()}


async def test_a_busy_node_has_a_budget_until_its_load_is_like_the_others(bench: Bench) -> None:
    await bench.join("busy", 95, slots=4)
    await bench.join("idle", 5, slots=4)
    await bench.tick()
    assert await budgets(bench) == {"busy": 0}
    await bench.broker.enqueue_many("scan", [{} for _ in range(6)])
    await bench.tick()
    assert await budgets(bench) == {"busy": 2}
    for _ in range(10):
        await bench.beat("busy", cpu_percent=10.0)
        await bench.tick()
    assert await budgets(bench) == {}
    assert not bench.dispatcher._budgeted


async def test_a_moment_of_much_cpu_sets_no_budget_and_a_while_of_it_does(bench: Bench) -> None:
    """Spores of one machine look at its CPU in different moments."""
    dispatcher = bench.dispatcher
    await bench.join("a", slots=4)
    (node,) = await bench.hive.nodes.all()

    def seen(name: str, cpu: float, beat: int) -> NodeState:
        load = replace(node.load, cpu_percent=cpu)
        return replace(node, profile=replace(node.profile, name=name), load=load, heard_ms=beat)

    await dispatcher._set_budgets([seen("x", 30.0, 1), seen("y", 30.0, 1)])
    await dispatcher._set_budgets([seen("x", 90.0, 2), seen("y", 30.0, 2)])
    assert await budgets(bench) == {}
    for beat in range(3, 9):
        await dispatcher._set_budgets([seen("x", 90.0, beat), seen("y", 30.0, beat)])
    assert list(await budgets(bench)) == ["x"]


async def test_work_that_nobody_can_do_lifts_no_budget(bench: Bench) -> None:
    await bench.join("busy", 95, slots=4)
    await bench.join("idle", 5, slots=4)
    await bench.broker.enqueue_many("nobody_has_it", [{} for _ in range(50)])
    await bench.tick()
    assert await budgets(bench) == {"busy": 0}
    await bench.broker.enqueue_many("scan", [{} for _ in range(50)])
    await bench.tick()
    assert await budgets(bench) == {}
