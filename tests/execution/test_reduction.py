"""Folding results as a tree on the Spores: order, fan-in, what is left out, and what ends a fold badly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hives import altered, running
from venom_core.config import Settings
from venom_core.execution.reduction import FAN_IN, Reduction, group
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def same(item: Any) -> Any:
    return item


@skills.skill
async def even(item: int) -> int:
    if item % 2:
        raise ValueError("odd")
    return item


@skills.skill
async def concat(results: list[Any]) -> list[Any]:
    return [each for result in results for each in (result if isinstance(result, list) else [result])]


@skills.skill
async def total(results: list[int]) -> int:
    return sum(results)


@skills.skill
async def seen(ctx: TaskContext, **payload: Any) -> dict[str, Any]:
    return {**payload, "task_id": ctx.task_id}


@skills.skill
async def grow(results: list[Any]) -> str:
    return "x" * 700


@skills.skill
async def broken(results: list[Any]) -> None:
    raise RuntimeError("cannot fold")


async def fold(parallel: ParallelSkill, items: list[Any], reduce: str, **options: Any) -> dict[str, Any]:
    options = {"skill": "same", "max_retries": 0, **options}
    answer: dict[str, Any] = json.loads(await parallel.map_reduce("d", items, reduce=reduce, **options))
    return answer


# -------------------------------------------------------------------------------------------------------- grouping


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=500), st.integers(2, 40), st.integers(1, 200))
def test_groups_keep_the_order_and_both_limits(values: list[int], fan_in: int, bytes_max: int) -> None:
    groups = group(values, bytes_max, fan_in)
    assert [value for part in groups for value in part] == values
    assert all(1 <= len(part) <= fan_in for part in groups)
    assert all(len(part) == 1 or len(part) <= bytes_max for part in groups)


def test_groups_are_of_about_the_same_size() -> None:
    assert [len(part) for part in group([1] * 33, 1_000)] == [17, 16]
    assert [len(part) for part in group([1] * 32, 1_000)] == [32]
    assert [len(part) for part in group(["x" * 100] * 4, 250)] == [2, 2]


# ------------------------------------------------------------------------------------------------------- the tree


@pytest.mark.parametrize("count", [1, 2, FAN_IN, FAN_IN + 1, 100, FAN_IN**2 + 1])
async def test_any_number_of_results_is_folded_to_one_in_order(
    settings: Settings, parallel: ParallelSkill, count: int
) -> None:
    async with running(skills, settings):
        answer = await fold(parallel, list(range(count)), "concat")
    assert answer["reduced"] == list(range(count))
    assert answer["reduction"] == {"skill": "concat", "status": "completed", "left_out": 0, "error": None}


async def test_a_single_item_is_folded_too_and_the_payload_is_as_documented(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        answer = await fold(parallel, ["a"], "seen", run_id="one")
    folded = answer["reduced"]
    assert folded.pop("task_id").startswith("one.fold-0.0-")
    assert folded == {"results": ["a"], "task_description": "d", "level": 0, "part": 0, "parts": 1}


async def test_partial_results_are_merged_upwards(settings: Settings, parallel: ParallelSkill) -> None:
    async with running(skills, settings):
        assert (await fold(parallel, list(range(5_000)), "total"))["reduced"] == sum(range(5_000))


async def test_the_folds_tasks_share_priority_and_tries(settings: Settings, parallel: ParallelSkill) -> None:
    async with running(skills, settings):
        answer = await fold(parallel, [1], "seen", priority=7, timeout=9, max_retries=2)
    task = await parallel.message_broker.get_task_status(answer["reduced"]["task_id"])
    assert task is not None
    assert (task.priority, task.timeout, task.max_retries) == (7, 9.0, 2)


async def test_the_same_fold_again_finds_what_is_done(settings: Settings, parallel: ParallelSkill) -> None:
    async with running(skills, settings):
        first = await fold(parallel, [1, 2], "seen", run_id="twice")
        completed = (await parallel.message_broker.get_queue_stats())["tasks_completed"]
        assert json.loads(await parallel.resume("twice")) == first
        assert (await parallel.message_broker.get_queue_stats())["tasks_completed"] == completed


# --------------------------------------------------------------------------------------------------- what goes wrong


async def test_nothing_is_folded_while_an_item_failed_unless_the_caller_wants_it_left_out(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        strict = await fold(parallel, [0, 1, 2], "total", skill="even", run_id="strict")
        assert strict["reduced"] is None
        assert strict["reduction"]["status"] == "failed"
        assert "1 of 3 items did not complete, so nothing was folded" in strict["reduction"]["error"]
        assert "retry_failed('strict')" in strict["reduction"]["error"]
        lenient = await fold(parallel, [0, 1, 2], "total", skill="even", skip_failed=True)
        assert lenient["reduced"] == 2
        assert lenient["reduction"] == {"skill": "total", "status": "completed", "left_out": 1, "error": None}
        nothing = await fold(parallel, [1, 3], "total", skill="even", skip_failed=True)
        assert (nothing["reduced"], nothing["reduction"]["status"]) == (None, "failed")


async def test_after_a_retry_of_what_failed_the_whole_is_folded(settings: Settings, parallel: ParallelSkill) -> None:
    own, mended = SkillSet(), asyncio.Event()
    own.include(skills)

    @own.skill
    async def mendable(item: int) -> int:
        if item == 1 and not mended.is_set():
            raise RuntimeError("not yet")
        return item

    async with running(own, settings):
        first = await fold(parallel, [0, 1, 2], "total", skill="mendable", skip_failed=True, run_id="mended")
        assert first["reduced"] == 2
        mended.set()
        assert json.loads(await parallel.retry_failed("mended"))["reduced"] == 3


async def test_a_fold_that_fails_is_named_and_can_be_tried_again(settings: Settings, parallel: ParallelSkill) -> None:
    own, mended = SkillSet(), asyncio.Event()
    own.include(skills)

    @own.skill
    async def touchy(results: list[int]) -> int:
        if not mended.is_set():
            raise RuntimeError("cannot fold")
        return sum(results)

    async with running(own, settings):
        answer = await fold(parallel, [1, 2], "touchy", run_id="touchy")
        assert answer["reduction"]["status"] == "failed"
        assert answer["reduction"]["error"].startswith("folding with 'touchy': touchy.fold-0.0-")
        assert "cannot fold" in answer["reduction"]["error"]
        assert [line["status"] for line in answer["results"]] == ["completed"] * 2
        assert json.loads(await parallel.resume("touchy"))["reduction"]["status"] == "failed"
        mended.set()
        assert json.loads(await parallel.retry_failed("touchy"))["reduced"] == 3


async def test_a_fold_that_no_node_can_do_is_pending_and_resumed_later(
    settings: Settings, parallel: ParallelSkill
) -> None:
    mapping = SkillSet()
    mapping.skill(same)
    async with running(mapping, settings):
        answer = await fold(parallel, [1, 2], "total", wait_timeout=1, run_id="later")
    assert answer["reduced"] is None
    assert answer["reduction"]["status"] == "pending"
    assert "1 tasks of 'total' had not ended" in answer["reduction"]["error"]
    async with running(skills, settings):
        assert json.loads(await parallel.resume("later"))["reduced"] == 3


async def test_nothing_is_folded_before_every_item_has_ended(settings: Settings, parallel: ParallelSkill) -> None:
    answer = await fold(parallel, [1, 2], "total", wait_timeout=0)
    assert (answer["reduced"], answer["reduction"]["status"]) == (None, "pending")


async def test_partial_results_that_do_not_fit_together_end_the_fold(settings: Settings) -> None:
    narrow = altered(settings, hive_payload_bytes_max=1_000)
    async with MessageBroker(narrow) as broker, running(skills, narrow):
        parallel = ParallelSkill(broker)
        answer = await fold(parallel, list(range(64)), "grow")
        assert "no two of its results fit into one payload" in answer["reduction"]["error"]
        subtasks = [{"skill": "grow", "payload": {"results": []}}]
        wide = json.loads(await parallel.parallel_execute("d" * 400, subtasks, reduce="concat"))
        assert "the limit is 1,000" in wide["reduction"]["error"]


async def test_cancelling_a_run_ends_its_fold(settings: Settings, parallel: ParallelSkill) -> None:
    own, begun = SkillSet(), asyncio.Event()
    own.include(skills)

    @own.skill
    async def endless(results: list[int]) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with running(own, settings):
        calling = asyncio.create_task(fold(parallel, [1, 2], "endless", run_id="off"))
        await begun.wait()
        await parallel.cancel("off")
        answer = await calling
        assert answer["reduction"]["status"] == "cancelled"
        assert json.loads(await parallel.resume("off"))["reduction"]["error"] == "the run was cancelled"


async def test_a_cancel_between_the_items_and_their_fold_is_not_lost(
    settings: Settings, parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = parallel.message_broker
    send = broker.enqueue_many

    async def cancelling(task_type: str, *call: Any, **options: Any) -> list[str]:
        if task_type == "nowhere":
            await parallel.cancel("met")
        return await send(task_type, *call, **options)

    monkeypatch.setattr(broker, "enqueue_many", cancelling)
    async with running(skills, settings):
        answer = await fold(parallel, [1], "nowhere", run_id="met")
    assert answer["reduction"]["status"] == "cancelled"
    assert (await broker.get_queue_stats())["tasks_pending"] == 0


async def test_a_cancel_before_the_fold_is_sent_keeps_it_from_being_sent(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        await parallel.map_reduce("d", [1], skill="same", run_id="cold", wait_timeout=5)
        known = (await parallel._runs.find("cold")).known
        await parallel.cancel("cold")
        folded = await Reduction(parallel.message_broker, known).fold([1], 0)
    assert (folded.status, folded.error) == ("cancelled", "the run was cancelled")
