"""What one may ask of a task: to be first, to wait, to be tried again, to end in time, or not to run at all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.hives import running
from venom_core.clock import Clock, to_naive_local
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(word: str) -> str:
    return word


@skills.skill
async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


@skills.skill
async def work_the_second_time(ctx: TaskContext) -> str:
    if ctx.attempt == 1:
        raise RuntimeError("not today")
    return f"attempt {ctx.attempt}"


@skills.skill
async def never_work() -> None:
    raise RuntimeError("not ever")


async def test_the_most_urgent_task_is_first_and_equals_go_in_order(settings: Settings) -> None:
    said: list[str] = []
    own = SkillSet()

    @own.skill
    async def say(word: str) -> None:
        said.append(word)

    async with MessageBroker(settings) as broker:
        last = await broker.enqueue_task("say", {"word": "background"}, priority="background")
        await broker.enqueue_task("say", {"word": "high"}, priority="high_priority")
        await broker.enqueue_task("say", {"word": "high again"}, priority="high_priority")
        await broker.enqueue_task("say", {"word": "ten"}, priority=10)
        async with running(own, settings, slots=1):
            await broker.wait_for(last, timeout=10)
    assert said == ["ten", "high", "high again", "background"]


async def test_a_delayed_task_starts_when_its_time_has_come(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task = await broker.wait_for(await broker.enqueue_task("echo", {"word": "later"}, delay=0.2), timeout=10)
    assert task is not None
    assert task.started_at is not None
    assert task.created_at is not None
    assert task.started_at - task.created_at >= timedelta(seconds=0.19)


async def test_a_task_may_be_given_a_moment_to_run_at(settings: Settings) -> None:
    soon = to_naive_local(Clock().now_ms()) + timedelta(seconds=0.2)
    async with MessageBroker(settings) as broker, running(skills, settings):
        task = await broker.wait_for(await broker.enqueue_task("echo", {"word": "then"}, run_at=soon), timeout=10)
    assert task is not None
    assert task.started_at is not None
    assert task.started_at >= soon - timedelta(seconds=0.05)


async def test_a_task_that_fails_is_tried_again_after_a_while(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task = await broker.wait_for(await broker.enqueue_task("work_the_second_time"), timeout=20)
    assert task is not None
    assert (task.status, task.result) == ("completed", "attempt 2")


async def test_a_task_that_fails_for_good_is_a_dead_letter_and_says_why(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task_id = await broker.enqueue_task("never_work", max_retries=0)
        task = await broker.wait_for(task_id, timeout=10)
        letters = await broker.dead_letters.list()
    assert task is not None
    assert task.status == "failed"
    assert task.error is not None
    assert task.error.startswith("RuntimeError: not ever")
    assert [letter.task_id for letter in letters] == [task_id]


async def test_a_dead_letter_may_be_given_another_chance(settings: Settings) -> None:
    async with MessageBroker(settings) as broker:
        async with running(skills, settings):
            task_id = await broker.enqueue_task("work_the_second_time", max_retries=0)
            await broker.wait_for(task_id, timeout=10)
        mended = SkillSet()

        @mended.skill
        async def work_the_second_time() -> str:
            return "mended"

        assert await broker.dead_letters.requeue([task_id]) == 1
        async with running(mended, settings):
            task = await broker.wait_for(task_id, timeout=10)
    assert task is not None
    assert task.result == "mended"


async def test_an_argument_of_the_wrong_type_fails_at_once_and_is_named(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task = await broker.wait_for(await broker.enqueue_task("echo", {"word": 5}), timeout=10)
    assert task is not None
    assert (task.status, task.attempt) == ("failed", 1)
    assert "word" in str(task.error)


async def test_a_task_that_takes_too_long_is_ended(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task_id = await broker.enqueue_task("sleep", {"seconds": 60}, timeout=0.1, max_retries=0)
        task = await broker.wait_for(task_id, timeout=10)
    assert task is not None
    assert (task.status, task.error) == ("failed", "TaskTimeout: it ran longer than its timeout")


async def test_a_task_nobody_wants_any_more_is_cancelled_even_while_it_runs(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task_id = await broker.enqueue_task("sleep", {"seconds": 60})
        assert await broker.cancel_task(task_id)
        task = await broker.wait_for(task_id, timeout=10)
    assert task is not None
    assert task.status == "cancelled"


async def test_a_task_that_does_not_start_explains_itself(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        explanation = await broker.explain(await broker.enqueue_task("sing"))
    assert str(explanation).startswith("no Spore online has the skill 'sing'")
