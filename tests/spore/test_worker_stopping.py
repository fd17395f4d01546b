"""Timeout and cancel really end the work, whatever kind it is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.hives import altered, done, ended, running, until, until_listening, until_running, until_so
from tests.spore import worker_skills
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore import attempts
from venom_spore.context import TaskContext
from venom_spore.execution import ESCAPED_FORK_EXIT
from venom_spore.skills import SkillSet

skills = worker_skills.skills
SLEEPERS = ["sleep_in_loop", "sleep_in_thread", "sleep_in_process"]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Where a skill says that it has begun, and under which process ids."""
    return tmp_path / "note"


def lines_of(note: Path) -> list[str]:
    return note.read_text().splitlines() if note.exists() else []


async def pids_noted(note: Path) -> list[int]:
    """The process ids that a skill left, once it has begun."""
    await until(lambda: bool(lines_of(note)))
    return [int(pid) for line in lines_of(note) for pid in line.split()]


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def slept(broker: MessageBroker, name: str, note: Path, **options: Any) -> str:
    """The id of a task that takes a minute."""
    return await broker.enqueue_task(name, {"seconds": 60, "note": str(note)}, **options)


# ------------------------------------------------------------------------------------------------------ timeout


@pytest.mark.parametrize("name", [*SLEEPERS, "block_loop"])
async def test_a_timeout_ends_the_work_of_every_kind(
    fast: Settings, broker: MessageBroker, note: Path, name: str
) -> None:
    async with running(skills, fast):
        begun = Clock().monotonic_s()
        task = await ended(broker, await slept(broker, name, note, timeout=0.7, max_retries=0))
        assert Clock().monotonic_s() - begun < 8
        assert (task.status, task.attempt) == ("failed", 1)
        assert task.error == "TaskTimeout: it ran longer than its timeout"
        assert await done(broker, "in_loop", {"left": 1})
        for pid in [pid for pid in await pids_noted(note) if pid not in (0, os.getpid())]:
            await until(lambda: not alive(pid))  # noqa: B023 - it is called before the loop goes on


async def test_a_loop_without_end_in_the_event_loop_is_ended_by_its_timeout(
    fast: Settings, broker: MessageBroker, note: Path
) -> None:
    async with running(skills, fast) as spore:
        epoch = spore.worker._keeper.epoch
        task_id = await broker.enqueue_task("spin_loop", {"note": str(note)}, timeout=0.5, max_retries=0)
        assert (await ended(broker, task_id)).error == "TaskTimeout: it ran longer than its timeout"
        assert spore.worker._keeper.epoch == epoch


async def test_a_task_that_blocks_the_loop_longer_than_the_lease_keeps_it(
    fast: Settings, broker: MessageBroker
) -> None:
    async with running(skills, fast) as spore:
        epoch = spore.worker._keeper.epoch
        task = await ended(broker, await broker.enqueue_task("block_loop", {"seconds": 2}))
        assert (task.status, task.attempt, task.crashes) == ("completed", 1, 0)
        assert spore.worker._keeper.epoch == epoch


async def test_a_timeout_counts_as_an_attempt(fast: Settings, broker: MessageBroker, note: Path) -> None:
    async with running(skills, fast):
        task = await ended(broker, await slept(broker, "sleep_in_loop", note, timeout=0.05, max_retries=1))
    assert (task.status, task.attempt) == ("failed", 2)
    assert len(lines_of(note)) == 2


async def test_a_timeout_does_not_put_off_the_next_one(
    fast: Settings, broker: MessageBroker, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "STUBBORN_S", 1_000.0)  # when the first is looked at again
    async with running(skills, fast):
        # As many as there are slots: whatever starts later looks at the time, too.
        later = await slept(broker, "sleep_in_loop", note, timeout=0.9, max_retries=0)
        sooner = await slept(broker, "sleep_in_loop", note, timeout=0.5, max_retries=0)
        for task_id in (sooner, later):
            assert (await ended(broker, task_id)).error == "TaskTimeout: it ran longer than its timeout"


async def test_the_default_timeout_is_that_of_the_settings(settings: Settings, note: Path) -> None:
    brisk = altered(settings, hive_task_timeout=0.1, hive_max_retries=0)
    async with MessageBroker(brisk) as broker, running(skills, brisk):
        task = await ended(broker, await slept(broker, "sleep_in_loop", note))
    assert task.error == "TaskTimeout: it ran longer than its timeout"


# ------------------------------------------------------------------------------------------------------ cancel


@pytest.mark.parametrize("name", SLEEPERS)
async def test_a_cancel_ends_the_work_of_every_kind_soon(
    settings: Settings, broker: MessageBroker, note: Path, name: str
) -> None:
    slow_beat = altered(settings, hive_heartbeat_interval=30, hive_lease=90)
    async with running(skills, slow_beat) as spore:
        await until_listening(broker, spore)
        task_id = await slept(broker, name, note)
        pids = [pid for pid in await pids_noted(note) if pid not in (0, os.getpid())]
        assert await broker.cancel_task(task_id)
        task = await ended(broker, task_id, within_s=8)
        assert (task.status, task.error, task.attempt) == ("cancelled", "cancelled while it ran", 1)
        for pid in pids:
            await until(lambda: not alive(pid))  # noqa: B023 - it is called before the loop goes on
        assert await done(broker, "in_loop", {"left": 1})
    assert (await broker.get_queue_stats())["tasks_cancelled"] == 1


async def test_a_cancel_whose_message_was_lost_arrives_with_the_next_heartbeat(
    fast: Settings, broker: MessageBroker, note: Path
) -> None:
    async with running(skills, fast):
        task_id = await slept(broker, "sleep_in_loop", note)
        await pids_noted(note)
        await broker.hive.link.command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await broker.cancel_task(task_id)
        assert (await ended(broker, task_id, within_s=5)).status == "cancelled"


@pytest.mark.parametrize("name", ["block_loop", "spin_loop"])
async def test_a_cancel_reaches_a_task_that_blocks_the_event_loop(
    fast: Settings, broker: MessageBroker, note: Path, name: str
) -> None:
    payload = {"note": str(note)} | ({"seconds": 60} if name == "block_loop" else {})

    # The thread is there before the task: once that has begun, nothing of this loop runs any more.
    cancelling = asyncio.get_running_loop().run_in_executor(None, _cancel_once_begun, fast, note, "blocks")
    async with running(skills, fast):
        await broker.enqueue_task(name, payload, task_id="blocks")
        assert (await ended(broker, "blocks")).status == "cancelled"
        await cancelling


def _cancel_once_begun(settings: Settings, note: Path, task_id: str) -> None:
    """From another event loop, because this one is blocked."""

    async def cancel() -> None:
        async with MessageBroker(settings) as broker:
            await pids_noted(note)
            assert await broker.cancel_task(task_id)

    asyncio.run(cancel())


async def test_a_cancel_that_meets_a_retry_ends_the_task(settings: Settings, broker: MessageBroker) -> None:
    own, begun, go_on = SkillSet(), asyncio.Event(), asyncio.Event()

    @own.skill
    async def fail_when_told() -> None:
        begun.set()
        await go_on.wait()
        raise RuntimeError("no")

    async with running(own, settings) as spore:
        task_id = await broker.enqueue_task("fail_when_told")
        await begun.wait()
        # The wish is in the store, but neither message nor heartbeat has reached the node.
        space = broker.hive.tasks.keyspace
        held = await broker.hive.link.command("HGET", space.key(0, "run"), task_id)
        await broker.hive.link.command("HSET", space.key(0, "cancel"), task_id, held.partition(b"|")[0] + b"|")
        go_on.set()
        task = await ended(broker, task_id)
        assert (task.status, task.error) == ("cancelled", "cancelled while it ran")
        assert not spore.work.done()


async def test_a_task_may_see_that_it_is_to_stop(settings: Settings, broker: MessageBroker) -> None:
    own, begun = SkillSet(), asyncio.Event()
    seen: list[bool] = []

    @own.skill
    async def watch(ctx: TaskContext) -> None:
        seen.append(ctx.cancelled)
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(ctx.cancelled)

    async with running(own, settings):
        task_id = await broker.enqueue_task("watch")
        await begun.wait()
        await broker.cancel_task(task_id)
        await ended(broker, task_id)
    assert seen == [False, True]


async def test_a_task_that_swallows_its_cancel_is_told_again(
    settings: Settings, broker: MessageBroker, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "STUBBORN_S", 0.1)
    async with running(skills, settings):
        task_id = await broker.enqueue_task("swallow_once", {"note": str(note)})
        await pids_noted(note)
        await broker.cancel_task(task_id)
        assert (await ended(broker, task_id)).status == "cancelled"


async def test_a_task_that_never_gives_in_is_ended_without_it_and_keeps_its_slot(
    settings: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "STUBBORN_S", 0.05)
    own, give_in = SkillSet(), asyncio.Event()

    @own.skill
    async def stubborn() -> None:
        while not give_in.is_set():
            with suppress(asyncio.CancelledError):
                await give_in.wait()

    async with running(own, settings) as spore:
        task_id = await broker.enqueue_task("stubborn", timeout=0.1, max_retries=0)
        task = await ended(broker, task_id)
        assert (task.status, task.error) == ("failed", "it was told to stop (timed_out) and did not")
        assert len(spore.worker.attempts) == 1
        give_in.set()
        await until(lambda: len(spore.worker.attempts) == 0)
        stats = await broker.get_queue_stats()
        assert (stats["tasks_failed"], stats["tasks_completed"]) == (1, 0)


async def test_cancelling_a_finished_task_changes_nothing(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        await done(broker, "in_loop", {"left": 1}, task_id="done")
        assert not await broker.cancel_task("done")
        assert (await ended(broker, "done")).status == "completed"


async def test_a_cancelled_task_requeued_by_hand_is_not_cancelled_again(
    settings: Settings, broker: MessageBroker, note: Path
) -> None:
    async with running(skills, settings):
        task_id = await slept(broker, "sleep_in_loop", note)
        await pids_noted(note)
        await broker.cancel_task(task_id)
        await ended(broker, task_id)
        assert await broker.retry_task(task_id)
        await until_running(broker, task_id)
        await until(lambda: len(lines_of(note)) == 2)
        await broker.cancel_task(task_id)
        assert (await ended(broker, task_id)).status == "cancelled"


@pytest.mark.parametrize(
    "skill",
    [
        "fork_and_return",
        pytest.param(
            "fork_in_c_and_return",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of such a fork"),
        ),
    ],
)
async def test_a_fork_in_a_task_does_not_disturb_the_spore(
    settings: Settings, broker: MessageBroker, skill: str
) -> None:
    async with running(skills, settings) as spore:
        assert await done(broker, skill) == ESCAPED_FORK_EXIT
        assert await done(broker, "in_loop", {"left": 1})
        assert not spore.work.done()
    assert (await broker.get_queue_stats())["tasks_completed"] == 2


async def test_a_task_that_eats_memory_dies_alone(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings) as spore:
        task = await ended(broker, await broker.enqueue_task("eat_memory", max_retries=0))
        assert task.status in ("failed", "quarantined")
        assert task.error is not None
        assert "memory" in task.error.lower()
        assert not spore.work.done()


@pytest.mark.parametrize("code", [0, 1, 9])
async def test_a_process_that_leaves_abruptly_is_quarantined_after_three(
    settings: Settings, broker: MessageBroker, code: int
) -> None:
    async with running(skills, settings) as spore:
        task = await ended(broker, await broker.enqueue_task("leave_abruptly", {"code": code}))
        assert (task.status, task.crashes) == ("quarantined", 3)
        assert task.error is not None
        assert f"exit code {code}" in task.error
        assert not spore.work.done()
    assert (await broker.get_queue_stats())["tasks_quarantined"] == 1
    assert [letter.task_id for letter in await broker.dead_letters.list()] == [task.task_id]


async def test_the_signal_of_the_guard_is_given_back(settings: Settings) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    async with MessageBroker(settings) as broker, running(skills, settings):
        await done(broker, "in_loop", {"left": 1})
        assert signal.getsignal(signal.SIGUSR2) is not before
    assert signal.getsignal(signal.SIGUSR2) is before

    async def nobody() -> bool:
        async with MessageBroker(settings) as broker:
            return await broker.hive.nodes.all() == []

    await until_so(nobody)
