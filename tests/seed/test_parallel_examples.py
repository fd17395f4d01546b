"""The documents' examples of map-reduce, against a real server and a Spore with the two task types."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from tests.hives import running
from tests.seed.documents import LANGUAGES, example, run_example
from venom_core.config import Settings
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

pytestmark = pytest.mark.parametrize("language", LANGUAGES)
skills = SkillSet()


@skills.skill
async def map_task(task_description: str, item: Any, item_index: int, total_items: int) -> str:
    return f"{item_index + 1} of {total_items}: {task_description} ({item})"


@skills.skill
async def parallel_task(main_task: str, subtask: Any, subtask_index: int, total_subtasks: int) -> str:
    return f"{subtask_index + 1} of {total_subtasks}: {main_task} ({subtask})"


def results(answer: str) -> list[str]:
    return [line["result"] for line in json.loads(answer)["results"]]


async def test_first_use(
    language: str, settings: Settings, broker: MessageBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(skills, settings):
        names = await run_example(example(language, 3), message_broker=broker, json=json)
    assert capsys.readouterr().out.rpartition(": ")[2] == "3/3\n"
    assert [text.partition(":")[0] for text in results(names["result"])] == ["1 of 3", "2 of 3", "3 of 3"]
    assert results(names["result"])[2].endswith("(https://site3.com)")
    task = await broker.get_task_status(names["data"]["results"][0]["task_id"])
    assert task is not None
    assert (task.task_type, task.priority) == ("map_task", 8)


async def test_bulk_processing(language: str, settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        names = await run_example(example(language, 7), parallel_skill=ParallelSkill(broker), json=json)
    assert len(names["urls"]) == 20
    assert [text.rpartition("(")[2] for text in results(names["result"])] == [f"url{n})" for n in range(1, 21)]


async def test_scanning_a_repository(language: str, settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        names = await run_example(example(language, 8), parallel_skill=ParallelSkill(broker), json=json)
    answer = json.loads(names["result"])
    assert answer["summary"]["total_subtasks"] == answer["summary"]["completed"] == 4
    assert [line["subtask_index"] for line in answer["results"]] == [0, 1, 2, 3]
    for text, subtask in zip(results(names["result"]), names["subtasks"], strict=True):
        assert text.endswith(f"{answer['task_description']} ({subtask})")


async def test_timeouts(language: str, settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        await run_example(
            example(language, 15),
            skill=ParallelSkill(broker),
            json=json,
            urls=["https://a.example", "https://b.example"],
            batches=[[1, 2], [3]],
        )
        assert (await broker.get_queue_stats())["tasks_completed"] == 4


def test_the_prompt_of_the_architect_names_a_function_that_is_there(language: str) -> None:
    prompt = ast.literal_eval(example(language, 18).partition("\n")[2].strip())
    assert "ParallelSkill.map_reduce()" in prompt
    assert callable(ParallelSkill.map_reduce)
