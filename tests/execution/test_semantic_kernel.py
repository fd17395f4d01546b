"""The skill as a plugin of the real semantic-kernel, also with a model that chooses it by itself.

The model is a scripted service of OpenAI's form on 127.0.0.1; kernel, plugin, hive and Spore are real.
"""

from __future__ import annotations

import ast
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.builtin.loopback import Loopback, answer_json, loopback
from tests.hives import running
from tests.seed.documents import LANGUAGES, example
from venom_core.config import Settings
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_spore.skills import SkillSet

WHY = "semantic-kernel is not installed; run pip install '.[semantic-kernel]' in the clone to run this test"
# Loaded here, because the package's own modules warn of what they deprecate, and warnings are errors.
for module in ("semantic_kernel", "semantic_kernel.connectors.ai.open_ai", "semantic_kernel.contents"):
    pytest.importorskip(module, reason=WHY)

# ruff: noqa: E402 - these are there only after the lines above have found the package
from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
from semantic_kernel.exceptions import KernelInvokeException

PATH = "/v1/chat/completions"
skills = SkillSet()


@skills.skill
async def map_task(task_description: str, item: str) -> str:
    return f"{task_description}: {item}"


@skills.skill
async def length(item: str) -> int:
    return len(item)


@skills.skill
async def total(results: list[int]) -> int:
    return sum(results)


@pytest.fixture
async def web() -> AsyncIterator[Loopback]:
    async with loopback() as server:
        yield server


@pytest.fixture
def kernel(parallel: ParallelSkill) -> Any:
    made = Kernel()
    made.add_plugin(parallel, plugin_name="ParallelSkill")
    return made


def says(**message: Any) -> Any:
    choices = [{"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "stop"}]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return answer_json({**head, "choices": choices, "usage": usage})


def calls(name: str, arguments: dict[str, Any]) -> Any:
    wish = {"name": f"ParallelSkill-{name}", "arguments": json.dumps(arguments)}
    return says(tool_calls=[{"id": "call-1", "type": "function", "function": wish}])


def architect(language: str) -> str:
    """The prompt that the documents give the Architect."""
    return str(ast.literal_eval(example(language, 18).partition("\n")[2].strip()))


async def ask(kernel: Any, web: Loopback, prompt: str, question: str) -> str:
    """One turn with the model, which may use the plugin."""
    async with AsyncOpenAI(api_key="k", base_url=f"{web.address}/v1", max_retries=0) as client:
        service = OpenAIChatCompletion(ai_model_id="m", async_client=client)
        history = ChatHistory(system_message=prompt)
        history.add_user_message(question)
        wanted = OpenAIChatPromptExecutionSettings(function_choice_behavior=FunctionChoiceBehavior.Auto())
        return str(await service.get_chat_message_content(history, wanted, kernel=kernel))


# ------------------------------------------------------------------------------------------------------- a plugin


async def test_a_kernel_takes_the_skill_and_invokes_it(settings: Settings, kernel: Any) -> None:
    async with running(skills, settings):
        answered = await kernel.invoke(
            plugin_name="ParallelSkill",
            function_name="map_reduce",
            task_description="Count",
            items='["a", "ż"]',
            wait_timeout=20,
        )
    answer = json.loads(str(answered))
    assert answer["summary"]["success_rate"] == "100.0%"
    assert [line["result"] for line in answer["results"]] == ["Count: a", "Count: ż"]


async def test_every_function_of_the_skill_can_be_invoked(settings: Settings, kernel: Any) -> None:
    async def invoke(name: str, **arguments: Any) -> Any:
        return json.loads(str(await kernel.invoke(plugin_name="ParallelSkill", function_name=name, **arguments)))

    subtasks = [{"skill": "length", "payload": {"item": "abc"}}]
    async with running(skills, settings):
        first = await invoke("parallel_execute", task_description="d", subtasks=subtasks, reduce="total")
        run_id, task_id = first["run_id"], first["results"][0]["task_id"]
        assert first["reduced"] == 3
        assert (await invoke("get_task_status", task_id=task_id))["result"] == 3
        assert (await invoke("get_run_status", run_id=run_id))["ended"] == 1
        assert await invoke("resume", run_id=run_id, wait_timeout="5") == first
        assert await invoke("retry_failed", run_id=run_id) == first
        assert await invoke("cancel", run_id=run_id) == {"run_id": run_id, "total": 1, "cancelled": 0}


def test_the_plugin_says_enough_for_a_model_to_choose(kernel: Any) -> None:
    functions = kernel.plugins["ParallelSkill"].functions
    assert set(functions) == {
        "map_reduce", "parallel_execute", "get_task_status", "get_run_status", "resume", "retry_failed", "cancel",
    }  # fmt: skip
    for name, function in functions.items():
        assert len(function.metadata.description) > 40, name
        for parameter in function.metadata.parameters:
            assert len(parameter.description) > 20, (name, parameter.name)
            assert parameter.schema_data["type"] in {"string", "number"}, (name, parameter.name)
    parameters = {parameter.name: parameter for parameter in functions["map_reduce"].metadata.parameters}
    assert list(parameters) == ["task_description", "items", "priority", "wait_timeout", "skill", "reduce"]
    assert [name for name, parameter in parameters.items() if parameter.is_required] == ["task_description", "items"]


async def test_what_is_wrong_with_a_call_is_raised_through_the_kernel(kernel: Any) -> None:
    with pytest.raises(KernelInvokeException) as refused:
        await kernel.invoke(
            plugin_name="ParallelSkill", function_name="map_reduce", task_description="d", items="not json"
        )
    assert "items is no JSON" in str(refused.value.__cause__.__cause__ or refused.value.__cause__)


# -------------------------------------------------------------------------------------------------- a model chooses


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("as_text", [True, False])
async def test_a_model_with_the_architects_prompt_puts_the_hive_to_work(
    settings: Settings, kernel: Any, web: Loopback, language: str, as_text: bool
) -> None:
    urls = [f"https://site{n}.example" for n in range(5)]
    arguments = {"task_description": "Extract key information", "items": json.dumps(urls) if as_text else urls}
    web.on(PATH, calls("map_reduce", arguments), says(content="All five articles are done."))
    async with running(skills, settings):
        answered = await ask(kernel, web, architect(language), "Fetch 5 articles and extract key information")
    assert answered == "All five articles are done."
    first, second = (request.json for request in web.requests)
    assert first["messages"][0]["content"] == architect(language)
    offered = {tool["function"]["name"]: tool["function"] for tool in first["tools"]}
    assert offered["ParallelSkill-map_reduce"]["parameters"]["required"] == ["task_description", "items"]
    told = json.loads(second["messages"][-1]["content"])
    assert [line["result"] for line in told["results"]] == [f"Extract key information: {url}" for url in urls]


async def test_a_model_that_calls_it_wrongly_is_told_and_may_try_again(
    settings: Settings, kernel: Any, web: Loopback
) -> None:
    wrong = {"task_description": "Count", "items": "site1, site2"}
    right = {"task_description": "Count", "items": '["site1", "site2"]', "skill": "length", "reduce": "total"}
    web.on(PATH, calls("map_reduce", wrong), calls("map_reduce", right), says(content="10"))
    async with running(skills, settings):
        assert await ask(kernel, web, "You count.", "Count the letters") == "10"
    second, third = (request.json["messages"][-1]["content"] for request in web.requests[1:])
    assert "items is no JSON" in second
    assert json.loads(third)["reduced"] == 10
