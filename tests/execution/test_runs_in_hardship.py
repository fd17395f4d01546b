"""Runs under hardship: a server that goes away, too many callers, forged records, more results than fit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.hives import altered, running, until
from tests.servers import PrivateServer, sync_client
from venom_core.config import Settings
from venom_core.errors import InvalidTask, SecurityError, StoreUnavailable, TaskExists
from venom_core.execution import ends, gather
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def double(item: int) -> int:
    return item * 2


@skills.skill
async def total(results: list[int]) -> int:
    return sum(results)


def results(answer: str) -> list[Any]:
    return [line["result"] for line in json.loads(answer)["results"]]


def statuses(answer: str) -> list[str]:
    return [line["status"] for line in json.loads(answer)["results"]]


async def test_gathering_survives_a_restart_of_redis(private_server: PrivateServer) -> None:
    hardy = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(hardy) as broker, running(skills, hardy):
        parallel = ParallelSkill(broker)
        calling = asyncio.create_task(parallel.map_reduce("d", [1, 2], skill="double", run_id="hard", delay=1))
        with private_server.client() as client:
            await until(lambda: client.hlen("{venom:0}:wait") == 2)
        private_server.restart()
        assert results(await calling) == [2, 4]


async def test_following_may_begin_while_redis_is_away(private_server: PrivateServer) -> None:
    hardy = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(hardy) as broker, running(skills, hardy):
        parallel = ParallelSkill(broker)
        await parallel.map_reduce("d", [1], wait_timeout=0, skill="double", run_id="away", delay=1)
        found = await parallel._runs.find("away")
        private_server.kill()
        answering = asyncio.create_task(parallel._runs.answer(found, 20))
        await until(lambda: bool(broker.results._inboxes))
        private_server.restart()
        assert results(await answering) == [2]


PATIENCE_S = 20.0


def killing(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server dies for good after the first slice was enqueued, before it is followed."""

    async def follow(*given: Any) -> bool:
        server.kill()
        return await real(*given)

    real = ends.follow
    monkeypatch.setattr(gather, "follow", follow)


async def test_a_server_that_stays_away_does_not_hold_the_answer_back(private_server: PrivateServer) -> None:
    async with MessageBroker(Settings.load(redis_url=private_server.url)) as broker:
        parallel = ParallelSkill(broker)
        await parallel.map_reduce("d", [1, 2], wait_timeout=0, skill="double", run_id="away")
        found = await parallel._runs.find("away")
        private_server.kill()
        async with asyncio.timeout(PATIENCE_S):
            answer = await parallel._runs.answer(found, 0.5)
    assert statuses(answer) == ["pending", "pending"]
    assert "the store is away" in json.loads(answer)["results"][0]["error"]
    assert "2 of 2 have not ended; resume('away') waits on" in json.loads(answer)["note"]


async def test_a_server_that_leaves_once_all_is_enqueued_does_not_hold_the_answer_back(
    private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killing(private_server, monkeypatch)
    async with MessageBroker(Settings.load(redis_url=private_server.url)) as broker, asyncio.timeout(PATIENCE_S):
        answer = await ParallelSkill(broker).map_reduce("d", [1, 2], wait_timeout=0.5, skill="double", reduce="total")
    assert statuses(answer) == ["pending", "pending"]
    assert json.loads(answer)["reduction"]["status"] == "pending"


async def test_a_server_that_leaves_while_a_run_is_fed_is_told_with_how_far_it_is(
    private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "SLICE", 1)
    killing(private_server, monkeypatch)
    async with MessageBroker(Settings.load(redis_url=private_server.url)) as broker, asyncio.timeout(PATIENCE_S):
        parallel = ParallelSkill(broker)
        with pytest.raises(StoreUnavailable) as refused:
            await parallel.map_reduce("d", [1, 2, 3], wait_timeout=0.5, skill="double", run_id="fed")
    assert any("run fed stands with 1 to 2 of 3 items enqueued" in note for note in refused.value.__notes__)


async def test_what_was_never_enqueued_is_told_also_when_the_server_is_away(private_server: PrivateServer) -> None:
    async with MessageBroker(Settings.load(redis_url=private_server.url)) as broker, asyncio.timeout(PATIENCE_S):
        parallel = ParallelSkill(broker)
        await parallel.map_reduce("d", [1, 2], wait_timeout=0, skill="double", run_id="part")
        with private_server.client() as client:
            client.hset("{venom:0}:gather:part", "enqueued", 1)
        found = await parallel._runs.find("part")
        private_server.kill()
        answer = await parallel._runs.answer(found, 0)
    assert statuses(answer) == ["pending", "never_enqueued"]


async def test_a_fold_that_cannot_be_followed_ends_at_its_time(private_server: PrivateServer) -> None:
    async with MessageBroker(Settings.load(redis_url=private_server.url)) as broker, asyncio.timeout(PATIENCE_S):
        task_id = await broker.enqueue_task("total", {"results": [1]})
        private_server.kill()
        until_s = asyncio.get_running_loop().time() + 0.3
        assert [end async for end in ends.ends_of(broker, [task_id], until_s)] == []


async def test_closing_the_broker_tells_whoever_gathers(settings: Settings) -> None:
    broker = MessageBroker(settings)
    await broker.connect()
    calling = asyncio.create_task(ParallelSkill(broker).map_reduce("d", [1], skill="double"))
    with sync_client(settings.store_url()) as client:
        await until(lambda: client.hlen(f"{{{settings.hive_namespace}:0}}:wait") == 1)
    await broker.disconnect()
    with pytest.raises(StoreUnavailable, match="closed while waiting"):
        await calling


async def test_more_callers_than_a_task_can_note_are_refused(
    settings: Settings, parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.infrastructure.task_store.WAITERS_MAX", 1)
    calling = asyncio.create_task(parallel.map_reduce("d", [1], skill="double", run_id="busy"))
    with sync_client(settings.store_url()) as client:
        await until(lambda: client.hlen(f"{{{settings.hive_namespace}:0}}:wait") == 1)
    async with MessageBroker(settings) as other:
        with pytest.raises(InvalidTask, match=r"wait for busy\.0 already"):
            await ParallelSkill(other).resume("busy")
    async with running(skills, settings):
        assert results(await calling) == [2]


async def test_a_forged_result_fails_its_item_alone_and_a_forged_run_is_refused(settings: Settings) -> None:
    signed = altered(settings, nexus_shared_token="t" * 32)
    async with MessageBroker(signed) as broker, running(skills, signed):
        parallel = ParallelSkill(broker)
        await parallel.map_reduce("d", [1, 2], skill="double", run_id="forged")
        tag = f"{{{settings.hive_namespace}:0}}"
        with sync_client(settings.store_url()) as client:
            client.hset(f"{tag}:outcome", "forged.1", b"\x01\x00\x00c" + b"anything")
            answer = await parallel.resume("forged")
            assert statuses(answer) == ["completed", "failed"]
            assert "SecurityError" in json.loads(answer)["results"][1]["error"]
            client.hset(f"{tag}:gather:forged", "record", b"\x01\x00\x00\x00" + b"anything")
        with pytest.raises(SecurityError, match="run record of forged"):
            await parallel.resume("forged")


async def test_an_unreadable_record_of_a_run_is_refused(settings: Settings, parallel: ParallelSkill) -> None:
    with sync_client(settings.store_url()) as client:
        client.hset(f"{{{settings.hive_namespace}:0}}:gather:odd", "record", b"\x01\x00\x00\x00" + b"\x01")
    with pytest.raises(SecurityError, match="record of run odd cannot be read"):
        await parallel.resume("odd")


async def test_more_results_than_one_answer_holds_are_read_one_by_one(
    settings: Settings, parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.execution.answer.ANSWER_BYTES_MAX", 100)
    async with running(skills, settings):
        with pytest.raises(InvalidTask, match=r"read them one by one with follow\('huge'\)"):
            await parallel.map_reduce("d", list(range(20)), skill="double", run_id="huge")
        assert sorted([line["result"] async for line in parallel.follow("huge")]) == [2 * n for n in range(20)]


async def test_an_end_that_nobody_told_of_is_found_when_time_runs_out(
    settings: Settings, parallel: ParallelSkill
) -> None:
    calling = asyncio.create_task(parallel.map_reduce("d", [3], wait_timeout=2, skill="double", run_id="deaf"))
    with sync_client(settings.store_url()) as client:
        noted = f"{{{settings.hive_namespace}:0}}:wait"
        await until(lambda: client.hlen(noted) == 1)
        client.delete(noted)
    async with running(skills, settings):
        answer = json.loads(await calling)
    assert (answer["summary"]["completed"], answer["results"][0]["result"]) == (1, 6)
    assert "note" not in answer


async def test_a_run_over_many_partitions_is_folded_counted_resumed_and_cancelled(settings: Settings) -> None:
    split = altered(settings, hive_partitions=5)
    async with MessageBroker(split) as broker, running(skills, split):
        parallel = ParallelSkill(broker)
        answer = json.loads(
            await parallel.map_reduce("d", list(range(70)), skill="double", reduce="total", run_id="split")
        )
        assert answer["reduced"] == sum(2 * n for n in range(70))
        assert json.loads(await parallel.get_run_status("split"))["ended"] == 70
        assert json.loads(await parallel.resume("split")) == answer
        await parallel.map_reduce("d", list(range(9)), wait_timeout=0, skill="nowhere", run_id="lost")
        assert json.loads(await parallel.cancel("lost"))["cancelled"] == 9
        assert json.loads(await parallel.get_run_status("lost"))["ended"] == 9


async def test_an_item_whose_id_is_taken_by_somebody_elses_task_is_refused(parallel: ParallelSkill) -> None:
    await parallel.message_broker.enqueue_task("double", {"item": 7}, task_id="taken.1")
    with pytest.raises(TaskExists, match=r"task taken\.1 exists with other content") as refused:
        await parallel.map_reduce("d", [1, 2], skill="double", run_id="taken")
    assert any("run taken stands with 0 to 2 of 2 items enqueued" in note for note in refused.value.__notes__)
