from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.hives import ended, running, until_running, until_so
from venom_core.clock import Clock, to_naive_local
from venom_core.config import Settings
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.task_message import TaskMessage
from venom_core.infrastructure.explanation import Explanation, explain_ended
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo() -> None: ...


@skills.skill
async def fail() -> None:
    raise RuntimeError("as asked\nand more")


async def explained(broker: MessageBroker, task_id: str, reason: str) -> Explanation:
    """The explanation once it has this reason."""
    found = await broker.explain(task_id)

    async def so() -> bool:
        nonlocal found
        found = await broker.explain(task_id)
        return found.reason == reason

    await until_so(so)
    return found


async def test_no_node_at_all(broker: MessageBroker) -> None:
    found = await broker.explain(await broker.enqueue_task("echo"))
    assert (found.reason, found.status) == ("no_nodes", "pending")
    assert str(found) == "no Spore is online; start one with: venom-spore --skills module:skills"


async def test_no_node_with_the_skill(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("sing")
    async with running(skills, settings):
        found = await explained(broker, task_id, "no_skill")
        misspelt = await broker.explain(await broker.enqueue_task("Ecoh"))
    assert found.sentence == "no Spore online has the skill 'sing'; spore know: echo, fail"
    assert misspelt.sentence == "no Spore online has the skill 'Ecoh' (did you mean 'echo'?); spore know: echo, fail"
    found = await broker.explain(task_id)
    assert found.reason == "no_nodes"


async def test_a_hand_written_loop_is_no_spore(broker: MessageBroker) -> None:
    await broker.next_task(timeout=0)
    assert (await broker.explain(await broker.enqueue_task("echo"))).reason == "no_nodes"


async def test_a_passed_deadline(broker: MessageBroker) -> None:
    moment = to_naive_local(Clock().now_ms()) - timedelta(seconds=10)
    found = await broker.explain(await broker.enqueue_task("echo", deadline=moment))
    assert found.reason == "late"
    assert f"{moment:%H:%M:%S} has passed" in found.sentence


async def test_scheduled_for_later(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo", delay=3600)
    async with running(skills, settings):
        found = await explained(broker, task_id, "scheduled")
    assert "starts in 3599." in found.sentence or "starts in 3600.0 s" in found.sentence


async def test_waiting_for_the_next_attempt(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("fail", max_retries=20)
    async with running(skills, settings):
        found = await explained(broker, task_id, "retrying")
        assert "failed; the next starts in" in found.sentence
        task = await broker.get_task_status(task_id)
        assert task is not None
        assert task.attempt >= 1
    await broker.cancel_task(task_id)


async def test_in_line_behind_others_and_then_running(settings: Settings, broker: MessageBroker) -> None:
    go_on = asyncio.Event()
    own = SkillSet()

    @own.skill
    async def wait(ctx: TaskContext) -> None:
        ctx.progress(0.25, "a quarter")
        await go_on.wait()

    async with running(own, settings, slots=1):
        first, second, third = await broker.enqueue_many("wait", [{}] * 3)
        await until_running(broker, first)
        found = await broker.explain(third)
        assert found.reason == "queued"
        assert found.sentence == "1 of 2 tasks of its type are ahead; 1 Spores with 1 slots take it"

        async def told() -> bool:
            return "25% done" in (await broker.explain(first)).sentence

        await until_so(told)
        assert (await broker.explain(first)).sentence.startswith("running on spore since ")
        go_on.set()
        await ended(broker, second)
        await ended(broker, third)


async def test_ended_well(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    async with running(skills, settings):
        await ended(broker, task_id)
    found = await broker.explain(task_id)
    assert (found.reason, found.status) == ("completed", "completed")
    assert found.sentence.startswith("completed on spore at ")


async def test_ended_badly_with_the_first_line_of_the_error(settings: Settings, broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("fail", max_retries=0)
    async with running(skills, settings):
        await ended(broker, task_id)
    found = await broker.explain(task_id)
    assert found.reason == "failed"
    assert found.sentence.endswith("after attempt 1: RuntimeError: as asked")


@pytest.mark.parametrize(
    ("attempt", "crashes", "words"),
    [(1, 3, " after 3 crashes: "), (2, 3, " after 3 crashes: "), (1, 1, " after 1 crash: ")],
)
def test_a_quarantined_one_tells_its_crashes_and_not_its_attempts(attempt: int, crashes: int, words: str) -> None:
    task = TaskMessage("t", "die", status=TaskStatus.QUARANTINED, attempt=attempt, crashes=crashes, error="it died")
    task.completed_at = to_naive_local(Clock().now_ms())
    sentence = explain_ended(task).sentence
    assert words in sentence
    assert "attempt" not in sentence


async def test_nodes_that_died_under_it_are_mentioned(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await broker.hive.link.command("HSET", broker.hive.tasks.keyspace.key(0, "tries"), task_id, "0.2")
    assert (await broker.explain(task_id)).sentence.endswith("; 2 of its nodes died under it so far")
    await broker.cancel_task(task_id)


async def test_cancelled_before_any_node_had_it(broker: MessageBroker) -> None:
    task_id = await broker.enqueue_task("echo")
    await broker.cancel_task(task_id)
    found = await broker.explain(task_id)
    assert found.reason == "cancelled"
    assert "cancelled before it ran" in found.sentence
    assert "unknown node" not in found.sentence
