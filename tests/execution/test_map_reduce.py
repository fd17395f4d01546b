"""`map_reduce` and `parallel_execute` over real Spores: task types, payloads, answers, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.hives import altered, running
from venom_core.config import Settings
from venom_core.errors import InvalidTask, StoreUnavailable, UnknownTask
from venom_core.execution import items as items_
from venom_core.execution import plan
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def map_task(**payload: Any) -> dict[str, Any]:
    return payload


@skills.skill
async def parallel_task(**payload: Any) -> dict[str, Any]:
    return payload


@skills.skill
async def double(item: int) -> int:
    return item * 2


@skills.skill
async def plus(ctx: TaskContext, item: int, item_index: int, by: int = 1) -> int:
    return item + by + item_index


@skills.skill
def in_a_thread(item: str) -> str:
    return item.upper()


@skills.skill
async def needs_more(item: str, colour: str) -> str:
    return item + colour


@skills.skill
async def add(left: int, right: int) -> int:
    return left + right


@skills.skill
async def fail_odd(item: int) -> int:
    if item % 2:
        raise ValueError(f"{item} is odd")
    return item


def results(answer: str) -> list[Any]:
    return [line["result"] for line in json.loads(answer)["results"]]


# ------------------------------------------------------------------------------------------------- the documents


async def test_each_item_becomes_a_map_task_with_the_payload_of_the_documents(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        answer = json.loads(await parallel.map_reduce("Summarize", json.dumps(["a", {"b": 1}, None])))
    total = {"task_description": "Summarize", "total_items": 3}
    run_id = answer["run_id"]
    assert answer == {
        "run_id": run_id,
        "summary": {"total_tasks": 3, "completed": 3, "failed": 0, "pending": 0, "success_rate": "100.0%"},
        "results": [
            {
                "task_id": f"{run_id}.{index}",
                "status": "completed",
                "result": {**total, "item": item, "item_index": index},
                "error": None,
                "item_index": index,
            }
            for index, item in enumerate(["a", {"b": 1}, None])
        ],
    }


async def test_each_subtask_becomes_a_parallel_task_with_the_payload_of_the_documents(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        answer = json.loads(await parallel.parallel_execute("Audit", ["Scan /src", "Scan /tests"]))
    run_id = answer["run_id"]
    assert answer == {
        "task_description": "Audit",
        "run_id": run_id,
        "summary": {"total_subtasks": 2, "completed": 2, "failed": 0, "pending": 0, "success_rate": "100.0%"},
        "results": [
            {
                "task_id": f"{run_id}.{index}",
                "status": "completed",
                "result": {"main_task": "Audit", "subtask": subtask, "subtask_index": index, "total_subtasks": 2},
                "error": None,
                "subtask_index": index,
            }
            for index, subtask in enumerate(["Scan /src", "Scan /tests"])
        ],
    }


async def test_the_priority_and_the_options_reach_the_tasks(broker: MessageBroker, parallel: ParallelSkill) -> None:
    await parallel.map_reduce("d", [1], "high_priority", 0, run_id="urgent", timeout=7, max_retries=0)
    task = await broker.get_task_status("urgent.0")
    assert task is not None
    assert (task.task_type, task.priority, task.timeout, task.max_retries) == ("map_task", 8, 7.0, 0)
    await parallel.map_reduce("d", [1], wait_timeout=0, run_id="calm")
    await parallel.parallel_execute("d", [1], wait_timeout=0, run_id="wide")
    calm, wide = await broker.get_task_status("calm.0"), await broker.get_task_status("wide.0")
    assert calm is not None
    assert wide is not None
    assert (calm.priority, wide.priority, wide.task_type) == (2, 8, "parallel_task")


async def test_what_a_model_writes_as_text_or_leaves_empty_is_understood(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        answer = await parallel.map_reduce("d", "[1]", priority="9", skill="", reduce="", run_id="model")
    assert "reduced" not in json.loads(answer)
    status = json.loads(await parallel.get_task_status("model.0"))
    assert (status["task_type"], status["priority"]) == ("map_task", 9)


async def test_the_status_of_a_task_is_json_without_its_payload(settings: Settings, parallel: ParallelSkill) -> None:
    async with running(skills, settings):
        await parallel.map_reduce("d", ["ż"], run_id="one")
    status = json.loads(await parallel.get_task_status("one.0"))
    assert (status["task_id"], status["task_type"], status["status"]) == ("one.0", "map_task", "completed")
    assert (status["assigned_node"], status["attempt"], status["max_retries"], status["priority"]) == ("spore", 1, 3, 2)
    assert status["result"]["item"] == "ż"
    assert {"created_at", "started_at", "completed_at", "error"} <= status.keys()
    assert not {"payload", "offered"} & status.keys()
    with pytest.raises(UnknownTask, match="nobody"):
        await parallel.get_task_status("nobody")


# ------------------------------------------------------------------------------------------------- another skill


async def test_another_skill_gets_of_the_payload_what_it_names(settings: Settings, parallel: ParallelSkill) -> None:
    async with running(skills, settings):
        assert results(await parallel.map_reduce("d", [3, 4], skill="double")) == [6, 8]
        assert results(await parallel.map_reduce("d", [3, 4], skill="plus")) == [4, 6]
        assert results(await parallel.map_reduce("d", ["ó"], skill="in_a_thread")) == ["Ó"]


async def test_an_argument_that_no_key_serves_fails_once_and_is_named(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        answer = json.loads(await parallel.map_reduce("d", ["a"], skill="needs_more", run_id="short"))
        status = json.loads(await parallel.get_task_status("short.0"))
    assert answer["summary"] == {
        "total_tasks": 1, "completed": 0, "failed": 1, "pending": 0, "success_rate": "0.0%",
    }  # fmt: skip
    assert answer["results"][0]["error"] == "InvalidTask: payload of 'needs_more': missing key 'colour', expected str"
    assert status["attempt"] == 1


async def test_a_subtask_may_name_its_own_skill_and_payload(settings: Settings, parallel: ParallelSkill) -> None:
    subtasks = [
        {"skill": "add", "payload": {"left": 1, "right": 2}},
        "plain",
        {"skill": "add", "payload": {"left": 3, "right": 4, "colour": "red"}},
        {"skill": "this is data", "because": "of another key"},
    ]
    async with running(skills, settings):
        lines = json.loads(await parallel.parallel_execute("d", subtasks))["results"]
    assert [line["subtask_index"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["result"] == 3
    assert lines[1]["result"]["subtask"] == "plain"
    assert (lines[2]["status"], "unexpected key 'colour'" in lines[2]["error"]) == ("failed", True)
    assert lines[3]["result"]["subtask"] == subtasks[3]


# ------------------------------------------------------------------------------------------- order and partial ends


async def test_results_stand_in_the_order_of_the_items_whatever_order_they_land_in(
    settings: Settings, parallel: ParallelSkill
) -> None:
    own, gates = SkillSet(), [asyncio.Event() for _ in range(5)]

    @own.skill
    async def backwards(item: int) -> int:
        if item + 1 < len(gates):
            await gates[item + 1].wait()
        gates[item].set()
        return item

    async with running(own, settings):
        assert results(await parallel.map_reduce("d", [0, 1, 2, 3, 4], skill="backwards")) == [0, 1, 2, 3, 4]


async def test_an_item_that_fails_does_so_alone(settings: Settings, parallel: ParallelSkill) -> None:
    async with running(skills, settings):
        answer = json.loads(await parallel.map_reduce("d", [0, 1, 2, 3], skill="fail_odd", max_retries=0))
    assert answer["summary"]["success_rate"] == "50.0%"
    assert [line["status"] for line in answer["results"]] == ["completed", "failed", "completed", "failed"]
    assert answer["results"][3]["error"].startswith("ValueError: 3 is odd")


async def test_when_time_runs_out_every_item_has_its_index_and_status(
    settings: Settings, parallel: ParallelSkill
) -> None:
    own, gate, begun = SkillSet(), asyncio.Event(), asyncio.Event()

    @own.skill
    async def first_only(item: int) -> int:
        if item:
            begun.set()
            await gate.wait()
        return item

    async with running(own, altered(settings, hive_drain_timeout=1), slots=1):
        calling = asyncio.create_task(parallel.map_reduce("d", [0, 1, 2], wait_timeout=2, skill="first_only"))
        await begun.wait()
        answer = json.loads(await calling)
        assert [(line["item_index"], line["status"]) for line in answer["results"]] == [
            (0, "completed"), (1, "running"), (2, "pending"),
        ]  # fmt: skip
        assert answer["summary"] == {
            "total_tasks": 3, "completed": 1, "failed": 0, "pending": 2, "success_rate": "33.3%",
        }  # fmt: skip
        assert f"resume('{answer['run_id']}')" in answer["note"]
        gate.set()
        assert results(await parallel.resume(answer["run_id"])) == [0, 1, 2]


async def test_a_skill_that_no_node_has_leaves_its_items_pending_and_says_so(
    settings: Settings, parallel: ParallelSkill
) -> None:
    async with running(skills, settings):
        answer = json.loads(await parallel.map_reduce("d", [1, 2], wait_timeout=0.2, skill="nowhere"))
    assert [line["status"] for line in answer["results"]] == ["pending", "pending"]
    assert "no Spore online has the skill 'nowhere'" in answer["note"]
    assert "broker.explain(" in answer["note"]


async def test_several_slices_and_types_arrive_whole_and_in_order(
    settings: Settings, parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.execution.gather.SLICE", 7)
    subtasks = [{"skill": "add", "payload": {"left": n, "right": n}} if n % 3 else n for n in range(30)]
    async with running(skills, settings):
        answer = await parallel.parallel_execute("d", subtasks)
    assert [each if isinstance(each, int) else each["subtask"] for each in results(answer)] == [
        2 * n if n % 3 else n for n in range(30)
    ]


async def test_partitions_keep_the_order_too(server: Any, settings: Settings) -> None:
    split = altered(settings, hive_partitions=4)
    async with MessageBroker(split) as broker, running(skills, split):
        answer = await ParallelSkill(broker).map_reduce("d", list(range(50)), skill="double", run_id="split")
        assert results(answer) == [2 * n for n in range(50)]


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("not json", "items is no JSON"),
        ('{"a": 1}', "not an object"),
        ('"text"', "not of type str"),
        ("", "items is no JSON"),
        (None, "not null"),
        (7, "not of type int"),
        ({"a": 1}, "not an object"),
        ([], "items is empty"),
        ("[]", "items is empty"),
        ("[NaN]", "items holds NaN"),
        ("[1, -Infinity]", "items holds -Infinity"),
        ([1, float("nan")], r"payload of items\[1\].*nan"),
        ([1, {2}], r"payload of items\[1\].*type set"),
        ([b"bytes"], r"payload of items\[0\].*type bytes"),
        ([2**70], "64 bits"),
        ("[" * 100_000, "nested too deeply"),
        (["\ud800"], "surrogate"),
        (["x" * 1_100_000], "the limit is 1,048,576"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_items_that_cannot_be_are_refused_in_a_sentence(parallel: ParallelSkill, given: Any, says: str) -> None:
    with pytest.raises(InvalidTask, match=says):
        await parallel.map_reduce("d", given)
    assert (await parallel.message_broker.get_queue_stats())["tasks_pending"] == 0


async def test_a_million_items_are_refused_before_anything_is_enqueued(parallel: ParallelSkill) -> None:
    with pytest.raises(InvalidTask, match=r"items has 1,000,000 entries, the limit of one run is 100,000"):
        await parallel.map_reduce("d", [0] * 1_000_000)
    with pytest.raises(InvalidTask, match="limit of one run is 100,000"):
        await parallel.map_reduce("d", json.dumps([0] * 1_000_000))
    assert (await parallel.message_broker.get_queue_stats())["tasks_pending"] == 0


async def test_a_run_that_is_too_large_is_refused(parallel: ParallelSkill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "RUN_BYTES_MAX", 1_000)
    with pytest.raises(InvalidTask, match=r"up to items\[9\] are .* the limit of one run is 1,000"):
        await parallel.map_reduce("d" * 50, list(range(100)))
    monkeypatch.setattr(items_, "JSON_CHARS_MAX", 10)
    with pytest.raises(InvalidTask, match="12 characters of JSON, the limit is 10"):
        await parallel.map_reduce("d", "[1, 2, 3, 4]")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"task_description": 7}, "task_description is a text"),
        ({"wait_timeout": "soon"}, "wait_timeout is a number"),
        ({"wait_timeout": float("nan")}, "wait_timeout is a number"),
        ({"wait_timeout": -1}, "wait_timeout is 0 to 604,800 seconds"),
        ({"wait_timeout": True}, "wait_timeout is a number"),
        ({"priority": "urgent"}, "priority"),
        ({"skill": "no spaces"}, "task type"),
        ({"reduce": "no spaces"}, "task type"),
        ({"run_id": "no spaces"}, "a run_id is 1 to 100"),
        ({"run_id": "x" * 101}, "a run_id is 1 to 100"),
        ({"colour": "red"}, "no task option 'colour'"),
        ({"timeout": -1}, "timeout"),
        ({"offered": False}, "leave that option out"),
    ],
    ids=str,
)
async def test_arguments_that_cannot_be_are_refused_before_there_is_a_run(
    parallel: ParallelSkill, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidTask, match=says):
        await parallel.map_reduce(**{"task_description": "d", "items": [1], "run_id": "none", **arguments})
    with pytest.raises(UnknownTask, match="no run none is known"):
        await parallel.resume("none")


@pytest.mark.parametrize("subtask", [{"skill": 7, "payload": {}}, {"skill": "a", "payload": [1]}], ids=str)
async def test_a_subtask_that_names_a_skill_wrongly_is_refused(parallel: ParallelSkill, subtask: Any) -> None:
    with pytest.raises(InvalidTask, match=r"subtasks\[1\] is to be \{'skill': text, 'payload': object\}"):
        await parallel.parallel_execute("d", ["fine", subtask])


async def test_a_broker_that_is_not_connected_says_so(settings: Settings) -> None:
    with pytest.raises(StoreUnavailable, match="not connected"):
        await ParallelSkill(MessageBroker(settings)).map_reduce("d", [1])
