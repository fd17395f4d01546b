"""Real processes, real signals: what happens to tasks when their Spore dies, sleeps or goes deaf."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.hives import altered, audit_lines, ended, until, until_so
from tests.processes import nexus, spore
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the skills write down what happens to them."""
    return tmp_path / "journal"


def entries(journal: Path) -> list[tuple[str, int, int]]:
    """(word, number, pid) of every line."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [(word, int(number), int(pid)) for word, number, pid in (line.split() for line in lines)]


def count(journal: Path, word: str) -> int:
    return sum(found == word for found, _, _ in entries(journal))


async def test_the_tasks_of_a_killed_spore_start_again_elsewhere_within_10_s(
    settings: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    with spore("victim", settings, tmp_path) as victim:
        task_id = await broker.enqueue_task("hold_first", {"journal": str(journal)})
        await until(lambda: count(journal, "begin") == 1)
        with spore("heir", settings, tmp_path) as heir:
            await heir.said("joined")
            victim.kill()
            killed_s = Clock().monotonic_s()
            task = await ended(broker, task_id)
            assert Clock().monotonic_s() - killed_s < 10
    assert (task.status, task.result, task.attempt, task.crashes) == ("completed", "heir", 1, 1)
    assert [line["what"] for line in await audit_lines(broker)] == ["reaped"]


async def test_a_killed_spore_started_again_under_its_name_gets_its_tasks_at_once(
    settings: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    patient = altered(settings, hive_heartbeat_interval=0.3, hive_lease=600)
    with spore("phoenix", patient, tmp_path) as phoenix:
        task_id = await broker.enqueue_task("hold_first", {"journal": str(journal)})
        await until(lambda: count(journal, "begin") == 1)
        phoenix.kill()
        phoenix.start_again()
        task = await ended(broker, task_id, within_s=10)
    assert (task.status, task.result, task.crashes) == ("completed", "phoenix", 1)


async def test_a_task_that_kills_its_spore_three_times_is_quarantined(
    settings: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    patient = altered(settings, hive_heartbeat_interval=0.3, hive_lease=600)
    task_id = await broker.enqueue_task("die", {"journal": str(journal)})
    with spore("victim", patient, tmp_path) as victim:
        for _ in range(3):
            assert await victim.ended() == 3
            victim.start_again()
        task = await ended(broker, task_id)
        other = await broker.enqueue_task("work", {"journal": str(journal)})
        assert (await ended(broker, other)).status == "completed"
    assert (task.status, task.crashes, task.assigned_node) == ("quarantined", 3, "victim")
    assert task.error is not None
    assert "died under it 3 times" in task.error
    assert " after 3 crashes: its node died under it 3 times" in (await broker.explain(task_id)).sentence
    assert count(journal, "begin") == 4
    assert [letter.task_id for letter in await broker.dead_letters.list()] == [task_id]


async def test_spores_killed_again_and_again_lose_nothing_and_repeat_nothing_that_was_completed(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    payloads = [{"journal": str(journal), "number": number, "seconds": 0.02} for number in range(300)]
    ids = await broker.enqueue_many("work", payloads)
    with (
        spore("left", fast, tmp_path, "--concurrency", "3") as left,
        spore("right", fast, tmp_path, "--concurrency", "3") as right,
    ):
        for victim in (left, right):  # a third death could rightly quarantine a task
            seen = count(journal, "end")
            await until(lambda seen=seen: count(journal, "end") >= seen + 40)  # type: ignore[misc]  # mypy cannot infer it
            victim.kill()
            victim.start_again()
        tasks = [await ended(broker, task_id, within_s=30) for task_id in ids]
    assert [task.result for task in tasks] == list(range(300))
    stats = await broker.get_queue_stats()
    assert (stats["tasks_completed"], stats["tasks_pending"], stats["tasks_running"]) == (300, 0, 0)
    begun = Counter(number for word, number, _ in entries(journal) if word == "begin")
    assert all(begun[task.result] <= 1 + task.crashes for task in tasks)


async def test_a_spore_that_slept_past_its_lease_is_told_and_stops_what_runs_elsewhere(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    with spore("sleeper", fast, tmp_path) as sleeper:
        task_id = await broker.enqueue_task("hold_first", {"journal": str(journal)})
        await until(lambda: count(journal, "begin") == 1)
        with spore("heir", fast, tmp_path) as heir:
            await heir.said("joined")
            sleeper.send(signal.SIGSTOP)
            task = await ended(broker, task_id)
            assert count(journal, "stopped") == 0
            sleeper.send(signal.SIGCONT)
            await until(lambda: count(journal, "stopped") == 1, within_s=5)
            await sleeper.said("the lease was lost; stopping 1 tasks")
            await sleeper.said("joined", times=2)
            assert sleeper.process.poll() is None
        again = await ended(broker, await broker.enqueue_task("work", {"journal": str(journal), "number": 5}))
    assert (task.result, task.crashes) == ("heir", 1)
    assert (again.result, again.assigned_node) == (5, "sleeper")
    assert await ended(broker, task_id) == task


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What a deaf task waits for."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


async def test_a_deaf_task_is_found_and_rescued_and_its_late_end_is_refused(
    fast: Settings, tmp_path: Path, journal: Path, gate: Path
) -> None:
    watchful = altered(fast, hive_zombie_task_timeout=1)
    async with MessageBroker(watchful) as broker:
        with spore("deaf", watchful, tmp_path) as deaf:
            task_id = await broker.enqueue_task("deaf_first", {"journal": str(journal), "gate": str(gate)})
            await until(lambda: count(journal, "begin") == 1)
            assert await broker.detect_zombie_tasks() == []
            await until_so(lambda: _is_zombie(broker, task_id))
            with spore("heir", watchful, tmp_path), nexus("watcher", watchful, tmp_path) as watcher:
                task = await ended(broker, task_id)
                assert (task.status, task.result, task.crashes) == ("completed", "heir", 1)
                await watcher.said("showed no sign of life: pending")
                assert count(journal, "late") == 0
                await asyncio.to_thread(gate.write_bytes, b"")
                await deaf.said(f"the end of {task_id} was refused")
                assert count(journal, "late") == 1
        assert await ended(broker, task_id) == task
        assert [line["what"] for line in await audit_lines(broker)] == ["rescued", "stale_settle"]


async def _is_zombie(broker: MessageBroker, task_id: str) -> bool:
    found = await broker.detect_zombie_tasks()
    return [(task.task_id, task.assigned_node) for task in found] == [(task_id, "deaf")]


async def test_a_zombie_can_be_put_back_in_line_by_hand(
    fast: Settings, tmp_path: Path, journal: Path, gate: Path
) -> None:
    watchful = altered(fast, hive_zombie_task_timeout=0.6)
    async with MessageBroker(watchful) as broker:
        with spore("deaf", watchful, tmp_path), spore("heir", watchful, tmp_path, "--concurrency", "1") as heir:
            await heir.said("joined")
            task_id = await broker.enqueue_task("deaf_first", {"journal": str(journal), "gate": str(gate)})
            await until(lambda: count(journal, "begin") == 1)

            async def put_back() -> bool:
                return await broker.retry_task(task_id)

            await until_so(put_back)
            task = await ended(broker, task_id)
    assert (task.status, task.crashes) == ("completed", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_drains_and_the_exit_is_clean(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Path, number: signal.Signals
) -> None:
    with spore("leaving", fast, tmp_path) as leaving:
        task_id = await broker.enqueue_task("work", {"journal": str(journal), "seconds": 0.5})
        await until(lambda: count(journal, "begin") == 1)
        leaving.send(number)
        await leaving.said("draining: 1 tasks")
        waiting = await broker.enqueue_task("work", {"journal": str(journal)})
        assert await leaving.ended() == 0
        assert (await ended(broker, task_id)).status == "completed"
        assert (await broker.explain(waiting)).reason == "no_nodes"
    assert "Traceback" not in leaving.text


async def test_the_second_signal_hands_back_what_runs(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    with spore("leaving", fast, tmp_path) as leaving:
        task_id = await broker.enqueue_task("work", {"journal": str(journal), "seconds": 60})
        await until(lambda: count(journal, "begin") == 1)
        leaving.send(signal.SIGTERM)
        await leaving.said("draining: 1 tasks")
        leaving.send(signal.SIGTERM)
        assert await leaving.ended() == 0
    task = await broker.get_task_status(task_id)
    assert task is not None
    assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)
    assert count(journal, "stopped") == 1


async def test_a_task_that_ignores_being_stopped_does_not_keep_its_spore_from_leaving(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    hurried = altered(fast, hive_drain_timeout=0.1)
    with spore("leaving", hurried, tmp_path) as leaving:
        task_id = await broker.enqueue_task("heedless", {"journal": str(journal)})
        await until(lambda: count(journal, "begin") == 1)
        leaving.send(signal.SIGTERM)
        assert await leaving.ended() == 0
        assert "1 tasks ignore that they are to end" in leaving.text
        assert "Traceback" not in leaving.text
    task = await broker.get_task_status(task_id)
    assert task is not None
    assert (task.status, task.crashes) == ("pending", 0)
    assert await broker.cancel_task(task_id)


async def test_the_same_name_twice_ends_the_older_process_with_one_sentence(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Path
) -> None:
    with spore("twin", fast, tmp_path) as older:
        await older.said("joined")
        (tmp_path / "second").mkdir()
        with spore("twin", fast, tmp_path / "second"):
            assert await older.ended() == 1
            last = older.text.splitlines()[-1]
            assert last == "venom-spore: another Spore named 'twin' took over; give each its own --name"
            assert "Traceback" not in older.text
            task = await ended(broker, await broker.enqueue_task("work", {"journal": str(journal)}))
            assert task.assigned_node == "twin"


async def test_a_process_that_is_told_to_stop_while_it_starts_stops(fast: Settings, tmp_path: Path) -> None:
    for delay_s in (0.2, 0.3, 0.4, 0.5):
        (tmp_path / str(delay_s)).mkdir()
        with spore("early", fast, tmp_path / str(delay_s)) as early:
            await asyncio.wait([asyncio.create_task(early.ended())], timeout=delay_s)
            early.send(signal.SIGTERM)
            assert await early.ended() in (0, -signal.SIGTERM)
