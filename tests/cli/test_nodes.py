from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cli.conftest import Venom, refused, told
from tests.hives import altered, ended, running, until_running, until_so
from tests.processes import spore
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def nothing() -> None: ...


async def test_nodes_are_shown_with_what_they_do(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings, "here", slots=3):
        table = (await asyncio.to_thread(venom, "nodes")).stdout
        nodes = told(await asyncio.to_thread(venom, "nodes", "--json"))
    assert [(node["name"], node["online"], node["concurrency"]) for node in nodes] == [("here", True, 3)]
    assert nodes[0]["skills"] == ["nothing"]
    assert table.split()[:4] == ["name", "kind", "state", "running"]
    assert "here" in table
    assert "online" in table


def test_a_hive_without_nodes_is_an_empty_list_and_a_next_step(venom: Venom) -> None:
    assert told(venom("nodes", "--json")) == []
    assert "start a hive with: venom up" in venom("nodes").stderr


async def test_of_a_node_that_is_gone_no_load_is_shown(
    venom: Venom, fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with spore("gone", fast, tmp_path) as process:
        await process.said("joined")
        process.kill()

    async def offline() -> bool:
        return [node.online for node in await broker.hive.nodes.all()] == [False]

    await until_so(offline)
    [node] = told(await asyncio.to_thread(venom, "nodes", "--json"))
    assert (node["state"], node["active_tasks"], node["cpu_percent"], node["load_score"]) == ("offline",) + (None,) * 3
    row = (await asyncio.to_thread(venom, "nodes")).stdout.splitlines()[1].split()
    assert row[:4] == ["gone", "spore", "offline", "-"]


async def test_a_spore_is_cordoned_opened_and_drained(
    venom: Venom, fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with spore("a", altered(fast, hive_drain_timeout=0.2), tmp_path) as process:
        await process.said("joined")
        lingers = await broker.enqueue_task("pause", {"seconds": 60})
        await until_running(broker, lingers)
        assert (await asyncio.to_thread(venom, "node", "cordon", "a")).stdout == "a is cordoned.\n"
        [node] = told(await asyncio.to_thread(venom, "nodes", "--json"))
        assert (node["state"], node["active_tasks"]) == ("cordoned", 1)
        assert (await asyncio.to_thread(venom, "node", "uncordon", "a")).stdout == "a takes tasks again.\n"
        assert (await asyncio.to_thread(venom, "node", "drain", "a")).stdout == "a has left the hive.\n"
        assert await process.ended() == 0
    task = await broker.get_task_status(lingers)
    assert task is not None
    assert (task.status, task.attempt) == ("pending", 0)


async def test_a_drain_that_does_not_wait(venom: Venom, settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, altered(settings, hive_drain_timeout=3600), "a") as here:
        await ended(broker, await broker.enqueue_task("nothing"))
        assert (await asyncio.to_thread(venom, "node", "drain", "a", "--now")).exit_code == 0
        await asyncio.wait_for(asyncio.shield(here.work), 20)


@pytest.mark.parametrize("command", ["cordon", "uncordon", "drain"])
def test_a_node_that_is_not_there_takes_no_orders(venom: Venom, command: str) -> None:
    assert "no Spore named 'nobody' is online; see them with: venom nodes" in refused(venom("node", command, "nobody"))


async def test_a_spore_that_does_not_answer_is_a_failure_that_says_why(
    venom: Venom, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.commands.nodes.CONFIRM_S", 0.1)
    deaf = altered(settings, hive_broadcast_channel="elsewhere")
    async with running(skills, deaf, "a"):
        result = await asyncio.to_thread(venom, "node", "cordon", "a")
    assert "a does not answer the order" in refused(result)
