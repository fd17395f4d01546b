"""The smallest things one can do with a hive, one a test. Read from top to bottom."""

from __future__ import annotations

import asyncio

from tests.hives import running
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def greet(name: str, punctuation: str = "!") -> str:
    return f"hello {name}{punctuation}"


@skills.skill
def add(left: int, right: int) -> int:
    return left + right


@skills.skill
async def copy_files(ctx: TaskContext, count: int) -> int:
    for number in range(count):
        ctx.progress(number / count, f"file {number}")
        ctx.emit({"file": number})
        await asyncio.sleep(0)
    return count


async def test_a_task_travels_to_a_spore_and_its_result_comes_back(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task_id = await broker.enqueue_task("greet", {"name": "Ada"})
        task = await broker.wait_for(task_id, timeout=10)
    assert task is not None
    assert task.status == "completed"
    assert task.result == "hello Ada!"


async def test_payload_keys_are_the_arguments_of_the_skill(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task_id = await broker.enqueue_task("greet", {"name": "Ada", "punctuation": "?"})
        task = await broker.wait_for(task_id, timeout=10)
    assert task is not None
    assert task.result == "hello Ada?"


async def test_a_plain_function_is_a_skill_too_and_runs_in_a_thread(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task = await broker.wait_for(await broker.enqueue_task("add", {"left": 2, "right": 3}), timeout=10)
    assert task is not None
    assert task.result == 5


async def test_many_tasks_of_one_type_are_enqueued_in_one_call(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        ids = await broker.enqueue_many("add", [{"left": n, "right": n} for n in range(100)])
        tasks = await asyncio.gather(*(broker.wait_for(task_id, timeout=10) for task_id in ids))
    assert [task.result for task in tasks if task] == [2 * n for n in range(100)]


async def test_an_id_of_your_own_makes_enqueueing_safe_to_repeat(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        assert await broker.enqueue_task("greet", {"name": "Ada"}, task_id="greeting-1") == "greeting-1"
        assert await broker.enqueue_task("greet", {"name": "Ada"}, task_id="greeting-1") == "greeting-1"
        await broker.wait_for("greeting-1", timeout=10)
        stats = await broker.get_queue_stats()
    assert stats["tasks_completed"] == 1


async def test_a_task_shows_how_far_it_is(settings: Settings) -> None:
    halfway, go_on = asyncio.Event(), asyncio.Event()
    own = SkillSet()

    @own.skill
    async def half(ctx: TaskContext) -> None:
        ctx.progress(0.5, "half of it")
        halfway.set()
        await go_on.wait()

    async with MessageBroker(settings) as broker, running(own, settings):
        task_id = await broker.enqueue_task("half")
        await halfway.wait()
        task = await broker.get_task_status(task_id)
        while task is not None and task.progress is None:  # what a task says travels a moment later
            task = await broker.get_task_status(task_id)
        go_on.set()
        await broker.wait_for(task_id, timeout=10)
    assert task is not None
    assert task.status == "running"
    assert task.progress == {"fraction": 0.5, "note": "half of it"}


async def test_partial_results_arrive_before_the_task_is_finished(settings: Settings) -> None:
    async with MessageBroker(settings) as broker, running(skills, settings):
        task_id = await broker.enqueue_task("copy_files", {"count": 3})
        parts = [part async for part in broker.stream(task_id)]
        task = await broker.wait_for(task_id, timeout=10)
    assert parts == [{"file": 0}, {"file": 1}, {"file": 2}]
    assert task is not None
    assert task.result == 3


async def test_several_spores_share_the_work(settings: Settings) -> None:
    meeting = asyncio.Barrier(2)
    own = SkillSet()

    @own.skill
    async def meet() -> None:
        await meeting.wait()

    async with (
        MessageBroker(settings) as broker,
        running(own, settings, "left", slots=1),
        running(own, settings, "right", slots=1),
    ):
        ids = await broker.enqueue_many("meet", [{}, {}])
        tasks = [await broker.wait_for(task_id, timeout=10) for task_id in ids]
    assert {task.assigned_node for task in tasks if task} == {"left", "right"}
