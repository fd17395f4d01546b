"""What is forgotten at once, and what is weighed, in a real hive."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.events import Event, Recorder, read
from chaos.fleet import Node
from chaos.memory import BURST, burst, forget, hive_of, weigh
from tests.hives import altered, ended, running
from tests.servers import sync_client
from venom_core.config import Settings
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def halve(item: int) -> int:
    if item % 2:
        raise ValueError("odd")
    return item // 2


def recorded(path: Path, what: str) -> list[Event]:
    return [event for event in read(path) if event.what == what]


@pytest.mark.parametrize("partitions", [1, 4])
async def test_nothing_is_left_of_what_ended_and_of_who_left(
    settings: Settings, tmp_path: Path, partitions: int
) -> None:
    settings = altered(settings, hive_partitions=partitions)
    recorder = Recorder(tmp_path / "conductor.jsonl")
    client = sync_client(settings.store_url())
    async with MessageBroker(settings) as broker, hive_of(settings, recorder) as hive:
        async with running(skills, settings, "gone"):
            for item in range(8):
                await ended(broker, await broker.enqueue_task("halve", {"item": item}, max_retries=0))
            await ParallelSkill(broker).map_reduce("x", list(range(8)), skill="halve", run_id="r", max_retries=0)
        weigh(client, hive.tasks.keyspace, [], recorder, "full")
        await forget(hive, client)
        weigh(client, hive.tasks.keyspace, [], recorder, "empty")
        client.set(hive.tasks.keyspace.key(0, "stray"), "x" * 1000)
        weigh(client, hive.tasks.keyspace, [], recorder, "leaking")
        client.delete(hive.tasks.keyspace.key(0, "stray"))
    client.close()
    recorder.close()
    full, empty, leaking = recorded(tmp_path / "conductor.jsonl", "memory")
    assert {"task", "outcome", "expiry", "dead", "join"} <= {key.rpartition(":")[2] for key in full.ids}
    assert {key.rpartition(":")[2] for key in empty.ids} == {"count", "meta"}
    (stray,) = set(leaking.ids) - set(empty.ids)
    assert stray.endswith(":stray")
    assert leaking.sums[leaking.ids.index(stray)] > 1000
    assert leaking.number > 0


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


async def test_processes_are_weighed_by_name_and_id(
    settings: Settings, tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    recorder = Recorder(tmp_path / "conductor.jsonl")
    client = sync_client(settings.store_url())
    async with hive_of(settings, recorder) as hive:
        weigh(client, hive.tasks.keyspace, [Node("spore", "s-1", [], process)], recorder, "now")
    client.close()
    recorder.close()
    (now,) = recorded(tmp_path / "conductor.jsonl", "memory")
    assert now.fences == (f"s-1~{process.pid}",)
    assert now.tokens[0] > os.sysconf("SC_PAGE_SIZE")


async def test_the_burst_is_written_down_like_what_callers_enqueue(settings: Settings, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "conductor.jsonl")
    async with hive_of(settings, recorder) as hive:
        await burst(hive, settings)
        assert sum((await hive.tasks.stats())[:2]) == sum(BURST.values())
    recorder.close()
    enqueued = recorded(tmp_path / "conductor.jsonl", "enqueue")
    assert sum(len(event.ids) for event in enqueued) == sum(BURST.values())
    assert len(recorded(tmp_path / "conductor.jsonl", "ok")) == len(enqueued)
