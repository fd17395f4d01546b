"""Runs as a whole: iterate, resume after a death, cancel, retry what failed, repeat a call."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.hives import altered, ended, running, until, until_listening, until_so
from tests.processes import NodeProcess
from tests.servers import sync_client
from venom_core.config import Settings
from venom_core.domain.run import RUN_TTL_S
from venom_core.errors import (
    IllegalTransition,
    InvalidTask,
    QueueFull,
    TaskExists,
    UnknownTask,
)
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


def run_lives_s(settings: Settings, run_id: str) -> float:
    with sync_client(settings.store_url()) as client:
        lives_ms = client.pttl(f"{{{settings.hive_namespace}:0}}:gather:{run_id}")
    assert isinstance(lives_ms, int)
    return lives_ms / 1000


# --------------------------------------------------------------------------------------------- as they land


async def test_results_are_yielded_as_they_land(settings: Settings, parallel: ParallelSkill) -> None:
    own, gates = SkillSet(), [asyncio.Event() for _ in range(3)]

    @own.skill
    async def gated(item: int) -> int:
        await gates[item].wait()
        return item

    heard = []
    gates[2].set()
    async with running(own, settings):
        async for line in parallel.iterate("d", [0, 1, 2], skill="gated", run_id="live"):
            heard.append(line)
            gates[(line["item_index"] + 2) % 3].set()
    assert heard == [
        {"task_id": f"live.{item}", "status": "completed", "result": item, "error": None, "item_index": item}
        for item in (2, 1, 0)
    ]


async def test_what_has_not_ended_in_time_is_yielded_last_as_it_stands(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        subtasks: list[Any] = [{"skill": "double", "payload": {"item": 4}}, "no such skill"]
        await parallel.parallel_execute("d", subtasks, wait_timeout=0.5, run_id="half")
        lines = [line async for line in parallel.follow("half", 0)]
    assert [(line["subtask_index"], line["status"], line["result"]) for line in lines] == [
        (0, "completed", 8),
        (1, "pending", None),
    ]


async def test_leaving_the_iterator_early_leaves_nobody_noted_and_the_run_goes_on(
    settings: Settings, parallel: ParallelSkill
) -> None:
    lines = parallel.iterate("d", list(range(20)), skill="double", run_id="left")
    first = asyncio.ensure_future(anext(lines))
    with sync_client(settings.store_url()) as client:
        await until(lambda: client.hlen(f"{{{settings.hive_namespace}:0}}:wait") == 20)
        first.cancel()
        await asyncio.wait([first])
        await lines.aclose()
        assert client.hlen(f"{{{settings.hive_namespace}:0}}:wait") == 0
    async with running(skills, settings):
        assert results(await parallel.resume("left")) == [2 * n for n in range(20)]


async def test_two_may_wait_for_the_same_run(settings: Settings, parallel: ParallelSkill) -> None:
    await parallel.map_reduce("d", [1, 2, 3], wait_timeout=0, skill="double", run_id="shared")
    waiting = [asyncio.create_task(parallel.resume("shared")) for _ in range(3)]
    alone = asyncio.create_task(ended(parallel.message_broker, "shared.1"))
    await asyncio.sleep(0)
    async with running(skills, settings):
        assert [results(answer) for answer in await asyncio.gather(*waiting)] == [[2, 4, 6]] * 3
        assert (await alone).result == 4


# --------------------------------------------------------------------------------------------------- repeating


async def test_the_same_call_again_starts_nothing_twice(settings: Settings, parallel: ParallelSkill) -> None:
    own, calls = SkillSet(), []

    @own.skill
    async def counted(item: int) -> int:
        calls.append(item)
        return item

    async with running(own, settings):
        first = await parallel.map_reduce("d", [1, 2], skill="counted", run_id="once")
        assert await parallel.map_reduce("d", [1, 2], skill="counted", run_id="once") == first
    assert sorted(calls) == [1, 2]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"items": [1, 3]}, "its items are others"),
        ({"items": [1, 2, 3]}, "its total is 2, not 3"),
        ({"task_description": "e"}, "its description is 'd', not 'e'"),
        ({"skill": "total"}, "its skill is 'double', not 'total'"),
        ({"priority": 9}, "its priority is 2, not 9"),
        ({"reduce": "total"}, "its reduce is None, not 'total'"),
    ],
    ids=str,
)
async def test_another_run_under_the_same_id_is_refused(
    parallel: ParallelSkill, changed: dict[str, Any], says: str
) -> None:
    call: dict[str, Any] = {"task_description": "d", "items": [1, 2], "skill": "double", "run_id": "mine"}
    await parallel.map_reduce(**call, wait_timeout=0)
    with pytest.raises(TaskExists, match=f"run mine exists with other content: {says}"):
        await parallel.map_reduce(**{**call, **changed}, wait_timeout=0)


async def test_a_full_queue_says_how_far_the_run_came_and_the_same_call_completes_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.execution.gather.SLICE", 2)
    narrow = altered(settings, hive_queued_max=5)
    async with MessageBroker(narrow) as broker:
        parallel = ParallelSkill(broker)
        with pytest.raises(QueueFull) as refused:
            await parallel.map_reduce("d", list(range(8)), skill="double", run_id="wide")
        assert any("run wide stands with 4 to 6 of 8 items enqueued" in note for note in refused.value.__notes__)
        answer = json.loads(await parallel.resume("wide", 0))
        assert [line["status"] for line in answer["results"]] == ["pending"] * 4 + ["never_enqueued"] * 4
    async with MessageBroker(settings) as broker, running(skills, settings):
        parallel = ParallelSkill(broker)
        assert results(await parallel.map_reduce("d", list(range(8)), skill="double", run_id="wide")) == [
            2 * n for n in range(8)
        ]


# ------------------------------------------------------------------------------------------------------ resuming


async def test_a_run_is_resumed_after_its_caller_died_while_enqueueing(
    settings: Settings, parallel: ParallelSkill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NodeProcess("tests.execution.dying_caller", "caller", settings, tmp_path) as caller:
        assert await caller.ended() == -signal.SIGKILL
    async with running(skills, settings):
        for _ in range(2):
            answer = json.loads(await parallel.resume("orphan"))
            assert answer["summary"] == {
                "total_tasks": 50,
                "completed": 25,
                "failed": 0,
                "pending": 0,
                "never_enqueued": 25,
                "success_rate": "50.0%",
            }
            assert "25 of 50 were never enqueued" in answer["note"]
            assert "the same call again with run_id='orphan'" in answer["note"]
            assert (answer["reduced"], answer["reduction"]["status"]) == (None, "pending")
            assert {line["status"] for line in answer["results"][25:]} == {"never_enqueued"}
        again = json.loads(
            await parallel.map_reduce("d", list(range(50)), skill="double", reduce="total", run_id="orphan")
        )
    assert [line["result"] for line in again["results"]] == [2 * n for n in range(50)]
    assert again["reduced"] == sum(2 * n for n in range(50))


async def test_another_process_takes_up_what_still_runs(settings: Settings, parallel: ParallelSkill) -> None:
    await parallel.map_reduce("d", [5, 6], wait_timeout=0, skill="double", run_id="later")
    async with MessageBroker(settings) as other, running(skills, settings):
        assert results(await ParallelSkill(other).resume("later")) == [10, 12]


async def test_a_run_nobody_started_is_unknown(parallel: ParallelSkill) -> None:
    for call in (parallel.resume("none"), parallel.retry_failed("none"), parallel.cancel("none")):
        with pytest.raises(UnknownTask, match="no run none is known"):
            await call
    with pytest.raises(UnknownTask, match="no run none is known"):
        await anext(parallel.follow("none"))
    with pytest.raises(InvalidTask, match="a run_id is"):
        await parallel.resume("no ne")


async def test_results_past_their_time_are_forgotten_and_not_run_again(
    settings: Settings, parallel: ParallelSkill
) -> None:
    own, calls = SkillSet(), []

    @own.skill
    async def counted(item: int) -> int:
        calls.append(item)
        return item

    brief = altered(settings, hive_result_ttl=1)
    async with running(own, brief):
        await parallel.map_reduce("d", [1, 2], skill="counted", run_id="old")

        async def gone() -> bool:
            await parallel.message_broker.hive.tasks.forget_expired(10)
            return await parallel.message_broker.get_task_status("old.0") is None

        await until_so(gone)
        answer = json.loads(await parallel.map_reduce("d", [1, 2], skill="counted", run_id="old"))
    assert calls == [1, 2]
    assert answer["summary"]["forgotten"] == 2
    assert "their results were forgotten (HIVE_RESULT_TTL)" in answer["note"]


async def test_a_run_is_remembered_a_week_while_it_is_open_and_as_long_as_its_results_afterwards(
    settings: Settings, parallel: ParallelSkill
) -> None:
    await parallel.map_reduce("d", [1], wait_timeout=0, skill="double", run_id="kept")
    assert RUN_TTL_S - 60 < run_lives_s(settings, "kept") <= RUN_TTL_S
    async with running(skills, settings):
        await parallel.resume("kept")
    assert 0 < run_lives_s(settings, "kept") <= settings.hive_result_ttl


async def test_how_far_a_run_is_needs_no_look_at_its_items(settings: Settings, parallel: ParallelSkill) -> None:
    async def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await parallel.get_run_status("far"))
        return found

    subtasks: list[Any] = [{"skill": "double", "payload": {"item": n}} for n in range(3)]
    await parallel.parallel_execute("d", [*subtasks, "no such skill"], wait_timeout=0, run_id="far")
    expected = {
        "run_id": "far", "kind": "parallel", "skill": "parallel_task", "total": 4, "enqueued": 4, "ended": 0,
        "cancelled": False,
    }  # fmt: skip
    assert await status() == expected
    async with running(skills, settings):
        for task_id in ("far.0", "far.1", "far.2"):
            await ended(parallel.message_broker, task_id)
    assert await status() == {**expected, "ended": 3}
    await parallel.cancel("far")
    assert await status() == {**expected, "ended": 4, "cancelled": True}
    with pytest.raises(UnknownTask):
        await parallel.get_run_status("none")


# ---------------------------------------------------------------------------------------------------- cancelling


async def test_cancelling_a_run_ends_what_waits_and_asks_what_runs(settings: Settings, parallel: ParallelSkill) -> None:
    own, begun, stopped = SkillSet(), asyncio.Event(), []

    @own.skill
    async def endless(item: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append(item)
            raise

    async with running(own, settings, slots=1) as spore:
        await until_listening(parallel.message_broker, spore)
        calling = asyncio.create_task(parallel.map_reduce("d", [0, 1, 2], skill="endless", run_id="off"))
        await begun.wait()
        assert json.loads(await parallel.cancel("off")) == {"run_id": "off", "total": 3, "cancelled": 3}
        answer = await calling
    assert stopped == [0]
    assert statuses(answer) == ["cancelled"] * 3
    assert json.loads(answer)["summary"] == {
        "total_tasks": 3, "completed": 0, "failed": 0, "pending": 0, "cancelled": 3, "success_rate": "0.0%",
    }  # fmt: skip


async def test_a_cancelled_run_enqueues_no_more(
    settings: Settings, parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.execution.gather.SLICE", 2)
    broker = parallel.message_broker
    lines = parallel.iterate("d", list(range(6)), skill="double", run_id="short")

    send = broker.enqueue_many

    async def cancelled_between(*call: Any, **options: Any) -> list[str]:
        stored = await send(*call, **options)
        if options.get("task_ids", [""])[0] == "short.2":
            await ParallelSkill(broker).cancel("short")
        return stored

    monkeypatch.setattr(broker, "enqueue_many", cancelled_between)
    heard = {line["item_index"]: (line["status"], line["error"]) async for line in lines}
    never = ("cancelled", "never enqueued: the run was cancelled before")
    assert heard == {index: ("cancelled", "cancelled before it ran") if index < 4 else never for index in range(6)}
    assert (await broker.get_queue_stats())["tasks_pending"] == 0
    with pytest.raises(IllegalTransition, match="run short was cancelled and stays so"):
        await parallel.retry_failed("short")
    assert statuses(await parallel.resume("short")) == ["cancelled"] * 6


async def test_a_slice_that_arrives_after_the_cancel_is_taken_out_again(
    settings: Settings, parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = parallel.message_broker
    send = broker.enqueue_many

    async def cancelled_before(*call: Any, **options: Any) -> list[str]:
        if options.get("task_ids"):
            await ParallelSkill(broker).cancel("late")
        return await send(*call, **options)

    monkeypatch.setattr(broker, "enqueue_many", cancelled_before)
    assert statuses(await parallel.map_reduce("d", [1, 2], skill="double", run_id="late")) == ["cancelled"] * 2


# ------------------------------------------------------------------------------------------------------- retrying


async def test_only_what_failed_runs_again(settings: Settings, parallel: ParallelSkill) -> None:
    own, calls, mended = SkillSet(), [], asyncio.Event()

    @own.skill
    async def flaky(item: int) -> int:
        calls.append(item)
        if item == 1 and not mended.is_set():
            raise RuntimeError("not yet")
        return item

    async with running(own, settings):
        first = await parallel.map_reduce("d", [0, 1, 2], skill="flaky", run_id="mend", max_retries=0)
        assert statuses(first) == ["completed", "failed", "completed"]
        mended.set()
        second = await parallel.retry_failed("mend")
    assert statuses(second) == ["completed"] * 3
    assert sorted(calls) == [0, 1, 1, 2]
