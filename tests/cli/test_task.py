from __future__ import annotations

import asyncio
import json

import pytest

from tests.cli.conftest import Venom, refused, told
from tests.hives import running, until_running
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def steps(ctx: TaskContext) -> str:
    ctx.progress(0.5, "half\x1b way")
    for step in range(3):
        ctx.emit({"step": step})
    return "done"


@skills.skill
async def linger(ctx: TaskContext) -> None:
    ctx.progress(0.25, "a quarter")
    await asyncio.Event().wait()


def test_a_task_is_shown_with_the_reason_it_waits(venom: Venom) -> None:
    venom("submit", "steps", "number=4", "--id", "x")
    task = told(venom("task", "show", "x", "--json"))
    assert (task["task_id"], task["payload"], task["reason"]) == ("x", {"number": 4}, "no_nodes")
    lines = [line.split(maxsplit=1) for line in venom("task", "show", "x").stdout.splitlines()]
    assert lines[1] == ["status", "pending" + " " * (len(lines[1][1]) - len("pending"))]
    assert any(line[0] == "explanation" and "no Spore is online" in line[1] for line in lines)
    assert any(line[0] == "payload" and '{"number": 4}' in line[1] for line in lines)


def test_explain_is_one_sentence(venom: Venom) -> None:
    venom("submit", "steps", "--id", "x")
    assert venom("explain", "x").stdout.startswith("pending: no Spore is online")
    assert told(venom("explain", "x", "--json"))["reason"] == "no_nodes"


def test_a_long_value_is_cut_on_a_screen_but_not_in_json(venom: Venom) -> None:
    venom("submit", "steps", "--id", "x", f"text={'a' * 9_000}")
    assert "see --json" in venom("task", "show", "x").stdout
    assert told(venom("task", "show", "x", "--json"))["payload"]["text"] == "a" * 9_000


@pytest.mark.parametrize("command", ["show", "cancel", "retry", "logs", "watch"])
def test_an_unknown_task_is_one_sentence(venom: Venom, command: str) -> None:
    assert "task nope is known" in refused(venom("task", command, "nope"))


def test_a_waiting_task_is_cancelled_once_and_can_be_put_back(venom: Venom) -> None:
    venom("submit", "steps", "--id", "x")
    assert venom("task", "cancel", "x").stdout.startswith("cancelled at ")
    assert refused(venom("task", "cancel", "x")).startswith("nothing to do, cancelled at ")
    assert venom("task", "retry", "x").stdout.startswith("pending:")
    assert refused(venom("task", "retry", "x")).startswith("nothing to do, pending:")


async def test_a_running_task_is_stopped(venom: Venom, settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        task_id = await broker.enqueue_task("linger")
        await until_running(broker, task_id)
        assert "running on spore" in (await asyncio.to_thread(venom, "task", "show", task_id)).stdout
        logs = (await asyncio.to_thread(venom, "task", "logs", task_id)).stdout
        assert "on spore, attempt 1" in logs
        assert (await asyncio.to_thread(venom, "task", "cancel", task_id)).exit_code == 0
        ended = await broker.wait_for(task_id, 20)
    assert ended is not None
    assert ended.status == "cancelled"


async def test_watching_tells_what_it_emits_and_then_its_result(venom: Venom, settings: Settings) -> None:
    venom_in_thread = asyncio.to_thread
    await venom_in_thread(venom, "submit", "steps", "--id", "x")
    watching = asyncio.create_task(venom_in_thread(venom, "task", "watch", "x", "--for", "20"))
    async with running(skills, settings):
        result = await watching
    assert [json.loads(line) for line in result.stdout.splitlines()] == [*({"step": step} for step in range(3)), "done"]


def test_watching_too_short_ends_with_3(venom: Venom) -> None:
    venom("submit", "steps", "--id", "x")
    assert venom("task", "watch", "x", "--for", "0.01").exit_code == 3


async def test_the_log_of_a_task_is_its_life_as_the_hive_knows_it(
    venom: Venom, settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings, "here"):
        assert await broker.wait_for(await broker.enqueue_task("steps", task_id="x"), 20) is not None
    await broker.hive.tasks.audit("rescued", "x", "somebody said so", "watchdog")
    await broker.hive.tasks.audit("rescued", "y", "another one", "watchdog")
    lines = told(await asyncio.to_thread(venom, "task", "logs", "x", "--json"))
    assert [line["what"] for line in lines] == [
        "submitted", "rescued", "started", "emitted", "emitted", "emitted", "completed",
    ]  # fmt: skip
    assert lines[1]["detail"] == "somebody said so watchdog"
    assert lines[3]["detail"] == '0: {"step": 0}'
    assert lines[-1]["detail"] == "done"


def test_the_log_of_a_waiting_task_says_why_it_waits(venom: Venom) -> None:
    venom("submit", "steps", "--id", "x")
    last = told(venom("task", "logs", "x", "--json"))[-1]
    assert last["what"] == "pending"
    assert last["detail"].startswith("no Spore is online")
