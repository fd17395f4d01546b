from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.hives import altered, audit_lines, done, ended, running, until, until_so
from tests.spore import worker_skills
from venom_core.clock import Clock, to_naive_local
from venom_core.config import Settings
from venom_core.domain.retry import RetryDecision, after_failure
from venom_core.domain.task_message import TaskMessage
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = worker_skills.skills


async def failed(broker: MessageBroker, task_type: str, payload: dict[str, Any] | None = None, **options: Any) -> str:
    """Enqueue one task and return the error it failed with; fails if it did not."""
    task = await ended(broker, await broker.enqueue_task(task_type, payload, **options))
    assert task.status == "failed"
    assert task.error is not None
    return task.error


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Retries without a pause; the attempts that failed are noted."""
    noted: list[int] = []

    def at_once(attempt: int, max_retries: int, jitter: float) -> RetryDecision:
        assert 0 <= jitter < 1
        noted.append(attempt)
        return RetryDecision(after_failure(attempt, max_retries, jitter).again)

    monkeypatch.setattr("venom_spore.execution.after_failure", at_once)
    return noted


# ------------------------------------------------------------------------------------------- running and arguments


@pytest.mark.parametrize("name", ["in_loop", "in_thread", "in_process"])
async def test_every_kind_of_skill_gets_typed_arguments_and_returns_its_result(
    settings: Settings, broker: MessageBroker, name: str
) -> None:
    async with running(skills, settings):
        assert await done(broker, name, {"left": 2, "right": [3, 4]}) == {"sum": 9, "text": "äöü"}
        assert await done(broker, name, {"left": 2}) == {"sum": 2, "text": "äöü"}


@pytest.mark.parametrize("name", ["in_loop", "in_thread", "in_process"])
@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"left": "two"}, "left"),
        ({}, "left"),
        ({"left": 1, "middle": 2}, "middle"),
        ({"left": 1, "right": [None]}, "right"),
    ],
)
async def test_an_argument_that_does_not_fit_fails_once_and_is_named(
    settings: Settings, broker: MessageBroker, name: str, payload: dict[str, Any], named: str
) -> None:
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task(name, payload))
    assert (task.status, task.attempt) == ("failed", 1)
    assert task.error is not None
    assert task.error.startswith("InvalidTask: ")
    assert named in task.error


@pytest.mark.parametrize("name", ["told_in_loop", "told_in_thread", "told_in_process"])
async def test_every_kind_of_skill_may_ask_who_it_is(settings: Settings, broker: MessageBroker, name: str) -> None:
    async with running(skills, settings, "a-node"):
        task_id = await broker.enqueue_task(name, {"word": "hello"})
        parts = [part async for part in broker.stream(task_id)]
        assert (await ended(broker, task_id)).result == [task_id, name, 1, 0, "a-node"]
    assert parts == ["hello", "hello again"]


@pytest.mark.parametrize("name", ["in_loop_wrong", "in_thread_wrong", "in_process_wrong"])
async def test_a_result_that_json_cannot_carry_fails_at_once(
    settings: Settings, broker: MessageBroker, name: str
) -> None:
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task(name))
    assert (task.status, task.attempt) == ("failed", 1)
    assert task.error is not None
    assert "InvalidTask: result" in task.error
    assert "type set" in task.error


async def test_a_result_over_the_limit_fails_at_once(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, altered(settings, hive_result_bytes_max=100)):
        assert "limit is 100" in await failed(broker, "in_loop_long", {"size": 101})
        assert await done(broker, "in_loop_long", {"size": 90}) == "x" * 90


# --------------------------------------------------------------------------------------------------- going wrong


@pytest.mark.parametrize("where", ["loop", "thread", "process"])
@pytest.mark.parametrize("kind", ["RuntimeError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError"])
async def test_whatever_a_task_raises_ends_the_task_and_not_the_spore(
    settings: Settings, broker: MessageBroker, where: str, kind: str
) -> None:
    async with running(skills, settings) as spore:
        error = await failed(broker, f"raise_in_{where}", {"kind": kind}, max_retries=0)
        assert kind in error
        assert await done(broker, "in_loop", {"left": 1}) == {"sum": 1, "text": "äöü"}
        assert not spore.work.done()


async def test_a_failed_attempt_is_tried_again_as_often_as_asked(
    settings: Settings, broker: MessageBroker, impatient: list[int]
) -> None:
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task("raise_in_loop", {"kind": "ValueError"}, max_retries=2))
        assert (task.status, task.attempt, task.crashes) == ("failed", 3, 0)
        assert impatient == [1, 2, 3]
        impatient.clear()
        await failed(broker, "raise_in_loop", {"kind": "ValueError"}, max_retries=0)
        assert impatient == [1]
    stats = await broker.get_queue_stats()
    assert (stats["tasks_failed"], stats["dead_letters"]) == (2, 2)


async def test_a_later_attempt_may_succeed_and_knows_its_number(
    settings: Settings, broker: MessageBroker, impatient: list[int]
) -> None:
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task("succeed_at", {"attempt": 3}))
    assert (task.status, task.result, task.attempt, task.error) == ("completed", 3, 3, None)


async def test_between_two_attempts_lies_a_backoff(
    settings: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.4)
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task("succeed_at", {"attempt": 2}))
    assert task.created_at is not None
    assert task.started_at is not None
    assert task.started_at - task.created_at >= timedelta(seconds=0.4)


async def test_the_error_of_a_child_process_holds_its_traceback(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        error = await failed(broker, "raise_in_process", {"kind": "ValueError"}, max_retries=0)
    assert error.startswith("ValueError: as asked")
    assert "raise_in_process" in error


async def test_a_very_long_error_is_cut_in_the_middle(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        error = await failed(broker, "raise_at_length", {"size": 100_000}, max_retries=0)
    assert len(error) < 9_000
    assert "characters cut" in error


async def test_a_task_past_its_deadline_fails_without_running(settings: Settings, broker: MessageBroker) -> None:
    moment = to_naive_local(Clock().now_ms()) - timedelta(seconds=1)
    async with running(skills, settings):
        error = await failed(broker, "in_loop", {"left": 1}, deadline=moment)
    assert error == "its deadline passed before it could start"


async def test_a_deadline_ends_a_running_task_like_a_timeout(
    settings: Settings, broker: MessageBroker, impatient: list[int]
) -> None:
    moment = to_naive_local(Clock().now_ms()) + timedelta(seconds=0.4)
    async with running(skills, settings):
        error = await failed(broker, "sleep_in_loop", {"seconds": 30}, deadline=moment)
    assert "deadline passed" in error
    assert impatient == [1]


# --------------------------------------------------------------------------------------------------- what is claimed


async def test_only_types_that_are_installed_are_claimed(settings: Settings, broker: MessageBroker) -> None:
    unknown = await broker.enqueue_task("sing", priority=10)
    async with running(skills, settings):
        await done(broker, "in_loop", {"left": 1})
        assert (await broker.explain(unknown)).reason == "no_skill"
    own = SkillSet()

    @own.skill
    async def sing() -> str:
        return "la"

    async with running(own, settings):
        assert (await ended(broker, unknown)).result == "la"


async def test_a_node_with_slow_tasks_holds_only_what_it_runs(settings: Settings, broker: MessageBroker) -> None:
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()
    own = SkillSet()

    @own.skill
    async def wait() -> None:
        begun.release()
        await go_on.wait()

    ids = await broker.enqueue_many("wait", [{}] * 5)
    async with running(own, settings, slots=2):
        await begun.acquire()
        await begun.acquire()
        stats = await broker.get_queue_stats()
        assert (stats["tasks_running"], stats["tasks_pending"]) == (2, 3)
        go_on.set()
        assert {(await ended(broker, task_id)).status for task_id in ids} == {"completed"}


async def test_what_was_claimed_ahead_and_cannot_start_goes_to_an_idle_node(
    settings: Settings, broker: MessageBroker
) -> None:
    stuck, go_on = asyncio.Event(), asyncio.Event()
    own = SkillSet()

    @own.skill
    async def quick() -> None: ...

    @own.skill
    async def slow() -> None:
        stuck.set()
        await go_on.wait()

    async with running(own, settings, "busy", slots=10) as busy:
        busy.worker._pace.mean_s = 0.0001
        slow_ids = await broker.enqueue_many("slow", [{}] * 10, priority=9)
        quick_ids = await broker.enqueue_many("quick", [{}] * 10)
        await stuck.wait()
        async with running(own, settings, "idle"):
            tasks = [await ended(broker, task_id) for task_id in quick_ids]
        assert {(task.assigned_node, task.attempt, task.crashes) for task in tasks} == {("idle", 1, 0)}
        assert not busy.worker._ready
        go_on.set()
        for task_id in slow_ids:
            await ended(broker, task_id)


async def test_hundreds_of_quick_tasks_run_once_each_on_two_nodes(settings: Settings, broker: MessageBroker) -> None:
    counts: dict[int, int] = {}
    own = SkillSet()

    @own.skill
    async def count(number: int) -> int:
        counts[number] = counts.get(number, 0) + 1
        return number

    async with running(own, settings, "left", slots=5), running(own, settings, "right", slots=50):
        ids = await broker.enqueue_many("count", [{"number": number} for number in range(1_000)])
        tasks = await asyncio.gather(*(ended(broker, task_id) for task_id in ids))
    assert [task.result for task in tasks] == list(range(1_000))
    assert set(counts.values()) == {1}


# -------------------------------------------------------------------------------------------------- what is seen


async def test_the_heartbeat_shows_what_the_node_is_and_how_it_is_loaded(fast: Settings, broker: MessageBroker) -> None:
    async with running(skills, fast, "a-node", slots=7):
        task_id = await broker.enqueue_task("sleep_in_loop", {"seconds": 30})

        async def loaded() -> bool:
            nodes = await broker.hive.nodes.all()
            return bool(nodes) and nodes[0].load.active_tasks == 1

        await until_so(loaded)
        node = (await broker.hive.nodes.all())[0]
        await broker.cancel_task(task_id)
        await ended(broker, task_id)
    profile, load = node.profile, node.load
    assert node.online
    assert (profile.name, profile.kind, profile.concurrency, profile.tags) == ("a-node", "spore", 7, ("here",))
    assert set(profile.skills) == set(skills.names())
    assert 0 < load.memory_percent <= 100
    assert 0 < load.disk_percent <= 100
    assert 0 <= load.cpu_percent <= 100
    assert load.load_1m >= 0
    assert load.loop_silent_ms < 2_000
    assert await broker.hive.nodes.all() == []


async def test_a_refused_envelope_leaves_a_line_in_the_audit(settings: Settings, broker: MessageBroker) -> None:
    space = broker.hive.tasks.keyspace
    task_id = await broker.enqueue_task("in_loop", {"left": 1})
    await broker.hive.link.command("HSET", space.key(0, "task"), task_id, b"\x01\x00\x00\x02\xc1")
    async with running(skills, settings):

        async def noted() -> bool:
            return [line["task"] for line in await audit_lines(broker)] == [task_id]

        await until_so(noted)


async def test_progress_from_a_thread_reaches_the_caller(settings: Settings, broker: MessageBroker) -> None:
    go_on = threading.Event()
    own = SkillSet()

    @own.skill
    def work(ctx: TaskContext) -> None:
        ctx.progress(0.5, "half")
        assert go_on.wait(20)

    async with running(own, settings):
        task_id = await broker.enqueue_task("work")
        seen: TaskMessage | None = None

        async def told() -> bool:
            nonlocal seen
            seen = await broker.get_task_status(task_id)
            return seen is not None and seen.progress == {"fraction": 0.5, "note": "half"}

        await until_so(told)
        go_on.set()
        task = await ended(broker, task_id)
    assert task.progress is None


async def test_a_task_that_says_much_in_little_time_sends_only_its_latest_progress(
    settings: Settings, broker: MessageBroker
) -> None:
    own = SkillSet()
    go_on = asyncio.Event()

    @own.skill
    async def work(ctx: TaskContext) -> None:
        for number in range(10_001):
            ctx.progress(number / 10_000)
        await go_on.wait()

    async with running(own, settings) as spore:
        task_id = await broker.enqueue_task("work")
        await until(lambda: len(spore.worker.attempts) == 1)

        async def told() -> bool:
            task = await broker.get_task_status(task_id)
            return task is not None and task.progress == {"fraction": 1.0, "note": ""}

        await until_so(told)
        go_on.set()
        await ended(broker, task_id)
