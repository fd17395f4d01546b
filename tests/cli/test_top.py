from __future__ import annotations

import asyncio

import pytest

from tests.cli.conftest import Venom, told
from tests.hives import altered, running, until_running
from venom_core.commands import top as module
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def linger(ctx: TaskContext) -> None:
    ctx.progress(0.25, "a quarter")
    await asyncio.Event().wait()


async def test_machines_and_their_tasks_are_shown_together(
    venom: Venom, settings: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN_PER_NODE", 1)
    async with running(skills, settings, "a", slots=2), running(skills, settings, "b", slots=1):
        ids = [await broker.enqueue_task("linger") for _ in range(3)]
        for task_id in ids:
            await until_running(broker, task_id)
        await broker.enqueue_task("linger")
        data = told(await asyncio.to_thread(venom, "top", "--once", "--json"))
        screen = (await asyncio.to_thread(venom, "top", "--once")).stdout
    tasks = {node["name"]: [task["task_id"] for task in node["tasks"]] for node in data["nodes"]}
    assert sorted(len(listed) for listed in tasks.values()) == [1, 2]
    assert sorted(task_id for listed in tasks.values() for task_id in listed) == sorted(ids)
    assert data["counters"]["tasks_running"] == 3
    lines = screen.splitlines()
    assert lines[0].startswith("2 of 2 nodes online   3 running   1 waiting   0 completed")
    assert any("and 1 more" in line for line in lines)
    assert any("linger" in line and "25% a quarter" in line for line in lines)


async def test_what_is_not_ours_is_shown_as_such(venom: Venom, settings: Settings, broker: MessageBroker) -> None:
    signing = altered(settings, nexus_shared_token="a token of at least thirty-two characters")
    async with MessageBroker(signing) as foreign, running(skills, signing, "a"):
        await until_running(foreign, await foreign.enqueue_task("linger"))
        screen = (await asyncio.to_thread(venom, "top", "--once")).stdout
    assert "(not signed by this hive)" in screen
    assert (await broker.get_queue_stats())["connected"]


async def test_there_is_a_limit_to_what_is_looked_at(
    venom: Venom, settings: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RUNNING_MAX", 1)
    async with running(skills, settings, "a", slots=2):
        for task_id in [await broker.enqueue_task("linger") for _ in range(2)]:
            await until_running(broker, task_id)
        screen = (await asyncio.to_thread(venom, "top", "--once")).stdout
    assert "tasks beyond the first 1 are not shown" in screen


def test_an_empty_hive_says_how_to_begin(venom: Venom) -> None:
    assert "start a hive with: venom up" in venom("top", "--once").stderr


def test_the_rate_is_what_ended_between_two_looks() -> None:
    meter = module._Meter()
    assert meter.read(10, 1.0) is None
    assert meter.read(30, 3.0) == 10.0
    assert meter.read(0, 4.0) == 0.0
