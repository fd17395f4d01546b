"""Each kind of work, ended in each way: what its caller is told, that nothing of it is left, that its slot is free."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hives import Running, altered, done, ended, running, until, until_listening, until_running
from tests.processes import NodeProcess
from tests.spore import ending_skills
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore import threads

skills = ending_skills.skills
UNHEARD = "in_thread_unheard"
STOPPABLE = ["in_loop", "in_thread", "in_process", "in_process_with_brood"]
KINDS = [*STOPPABLE, UNHEARD]
GOES_ON = "; its thread goes on, and keeps its slot until it ends by itself"


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Where a skill says that it has begun, and under which process ids."""
    return tmp_path / "note"


@pytest.fixture(autouse=True)
def _nothing_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The thread that hears nothing is given up soon, and let go when its test is over."""
    monkeypatch.setattr(threads.ThreadRunner.__init__, "__defaults__", (0.3,))
    ending_skills.stop_waiting.clear()
    yield
    ending_skills.stop_waiting.set()


def pids_of(note: Path) -> list[int]:
    """The processes that have begun, without this one."""
    text = note.read_text() if note.exists() else ""
    return [int(pid) for line in text.splitlines() for pid in line.split() if int(pid) != os.getpid()]


def times_begun(note: Path) -> int:
    return len(note.read_text().splitlines())


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def begun(broker: MessageBroker, kind: str, note: Path, timeout: float = 60.0) -> str:
    """The id of a task whose body has begun."""
    task_id = await broker.enqueue_task(kind, {"note": str(note)}, timeout=timeout, max_retries=0)
    await until(note.exists)
    return task_id


async def nothing_is_left(broker: MessageBroker, spore: Running, kind: str, note: Path) -> None:
    """Of the only slot's work; a thread that hears nothing has kept the slot, and says so, until it ends."""
    if kind == UNHEARD:
        await until(lambda: spore.worker._executor.stuck == 1)
        waiting = await broker.enqueue_task("quick")
        await until_active(broker, 1)
        assert (await broker.explain(waiting)).status == "pending"
        ending_skills.stop_waiting.set()
        assert (await ended(broker, waiting)).result == "quick"
    await until(lambda: not any(map(alive, pids_of(note))))
    assert await done(broker, "quick") == "quick"
    assert spore.worker._executor.stuck == 0
    await until_active(broker, 0)


async def until_active(broker: MessageBroker, count: int) -> None:
    """Until the node's heartbeat says that so many slots are taken."""
    loads: list[int] = []
    while loads != [count]:
        loads = [node.load.active_tasks for node in await broker.hive.nodes.all()]


def as_told(error: str, kind: str) -> str:
    return error + GOES_ON if kind == UNHEARD else error


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_cancelled_while_it_waits_for_a_slot_never_begins(
    fast: Settings, broker: MessageBroker, note: Path, kind: str
) -> None:
    async with running(skills, fast, slots=1) as spore:
        first = await begun(broker, "in_loop", note)
        queued = await broker.enqueue_task(kind, {"note": str(note)})
        assert await broker.cancel_task(queued)
        task = await ended(broker, queued)
        assert (task.status, task.attempt, task.started_at) == ("cancelled", 0, None)
        await broker.cancel_task(first)
        await nothing_is_left(broker, spore, "in_loop", note)
        assert times_begun(note) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_cancelled_while_it_runs_is_ended(
    fast: Settings, broker: MessageBroker, note: Path, kind: str
) -> None:
    async with running(skills, fast, slots=1) as spore:
        await until_listening(broker, spore)
        task_id = await begun(broker, kind, note)
        assert await broker.cancel_task(task_id)
        task = await ended(broker, task_id)
        assert (task.status, task.attempt, task.error) == ("cancelled", 1, as_told("cancelled while it ran", kind))
        await nothing_is_left(broker, spore, kind, note)
    assert (await broker.get_queue_stats())["tasks_cancelled"] == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_runs_out_of_time_is_ended(fast: Settings, broker: MessageBroker, note: Path, kind: str) -> None:
    async with running(skills, fast, slots=1) as spore:
        await done(broker, "quick")
        # A child must have started before.
        task_id = await begun(broker, kind, note, timeout=4.0 if kind.startswith("in_process") else 0.5)
        begun_s = Clock().monotonic_s()
        task = await ended(broker, task_id)
        assert Clock().monotonic_s() - begun_s < 14.0
        assert (task.status, task.attempt) == ("failed", 1)
        assert task.error == as_told("TaskTimeout: it ran longer than its timeout", kind)
        await nothing_is_left(broker, spore, kind, note)
    assert (await broker.get_queue_stats())["tasks_failed"] == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_what_does_not_end_within_the_drain_is_ended_and_goes_back_in_line(
    fast: Settings, broker: MessageBroker, note: Path, kind: str
) -> None:
    async with running(skills, altered(fast, hive_drain_timeout=0.05), slots=1) as spore:
        task_id = await begun(broker, kind, note)
        spore.spore.stop()
        await spore.work
        task = await broker.get_task_status(task_id)
        assert task is not None
        assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)
        await until(lambda: not any(map(alive, pids_of(note))))
    assert await broker.hive.nodes.all() == []
    await broker.cancel_task(task_id)
    assert (await ended(broker, task_id)).status == "cancelled"


@pytest.mark.parametrize("kind", KINDS)
async def test_what_runs_when_the_lease_is_lost_is_ended_and_runs_again(
    fast: Settings, broker: MessageBroker, note: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(skills, fast, slots=1) as spore:
        task_id = await begun(broker, kind, note)
        epoch = spore.worker._keeper.epoch
        lost = pids_of(note)
        await broker.hive.link.command("ZREM", broker.hive.tasks.keyspace.key(0, "lease"), epoch)
        await until(lambda: "the lease was lost; stopping 1 tasks" in caplog.text)
        await until(lambda: not any(map(alive, lost)))
        await until(lambda: spore.worker._keeper.epoch > epoch)
        ending_skills.stop_waiting.set()
        task = await ended(broker, task_id)
        assert (task.status, task.result, task.attempt, task.crashes) == ("completed", "spore", 1, 1)
        assert await done(broker, "quick") == "quick"
        await until_active(broker, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_spore_leaves_whatever_runs_there_and_leaves_nothing_behind(
    fast: Settings, broker: MessageBroker, note: Path, tmp_path: Path, kind: str
) -> None:
    hurried = altered(fast, hive_drain_timeout=0.05)
    arguments = ("--skills", "tests.spore.ending_skills:skills")
    with NodeProcess("venom_spore.main", "leaving", hurried, tmp_path, *arguments) as leaving:
        task_id = await begun(broker, kind, note)
        leaving.send(signal.SIGTERM)
        assert await leaving.ended() == 0
        assert "Traceback" not in leaving.text
        await until(lambda: not any(map(alive, pids_of(note))))
    task = await broker.get_task_status(task_id)
    assert task is not None
    assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)
    await broker.cancel_task(task_id)


async def test_a_thread_that_hears_nothing_leaves_the_other_slots_to_others(
    fast: Settings, broker: MessageBroker, note: Path
) -> None:
    async with running(skills, fast, slots=2) as spore:
        await until_listening(broker, spore)
        task_id = await begun(broker, UNHEARD, note)
        await broker.cancel_task(task_id)
        assert (await ended(broker, task_id)).status == "cancelled"
        assert [await done(broker, "quick") for _ in range(5)] == ["quick"] * 5
        waiting = [await broker.enqueue_task("in_loop", {"note": str(note)}) for _ in range(2)]
        await until_running(broker, waiting[0])
        assert (await broker.explain(waiting[1])).status == "pending"
        ending_skills.stop_waiting.set()
        await until_running(broker, waiting[1])
