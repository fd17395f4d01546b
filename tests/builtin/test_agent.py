from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.builtin.loopback import Answer, Loopback
from tests.builtin.scripted_model import KEY, ScriptedModel, refuses, says, uses
from tests.hives import altered, done, ended, running
from venom_core.config import Settings
from venom_core.domain.retry import RetryDecision, after_failure
from venom_core.errors import InvalidSetting, LimitReached, ServiceFailed
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.builtin.agent import Agent
from venom_spore.builtin.chat import CALLS_MAX
from venom_spore.builtin.skill_set import built_in, tools
from venom_spore.context import TaskContext

ITEM: dict[str, Any] = {
    "task_description": "Say it in one word",
    "item": "a long word",
    "item_index": 1,
    "total_items": 3,
}
SUBTASK: dict[str, Any] = {"main_task": "Audit", "subtask": "Scan /src", "subtask_index": 0, "total_subtasks": 2}


def told_by(reports: list[tuple[str, object]]) -> TaskContext:
    """A context whose reports are kept."""
    return TaskContext(
        "t", "map_task", attempt=1, crashes=0, node_id="n", report=lambda kind, data: reports.append((kind, data))
    )


async def answer(settings: Settings, reports: list[tuple[str, object]] | None = None) -> str:
    return await Agent(settings, tools(settings)).map_task(told_by([] if reports is None else reports), **ITEM)


# ----------------------------------------------------------------------------------------------------- in a hive


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without a pause."""

    def decide(attempt: int, max_retries: int, jitter: float) -> RetryDecision:
        return RetryDecision(after_failure(attempt, max_retries, jitter).again)

    monkeypatch.setattr("venom_spore.execution.after_failure", decide)


@pytest.mark.parametrize(("task_type", "payload"), [("map_task", ITEM), ("parallel_task", SUBTASK)])
async def test_an_item_of_free_text_is_answered_by_the_model(
    joined: Settings, broker: MessageBroker, model: ScriptedModel, task_type: str, payload: dict[str, Any]
) -> None:
    model.replies(says("  done, żółć  "))
    settings = altered(joined, **model.settings)
    async with running(built_in(settings), settings):
        assert await done(broker, task_type, payload) == "done, żółć"
    request = model.requests[0]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (request.json["model"], request.json["max_tokens"]) == ("scripted", 2048)
    wish = request.json["messages"][1]["content"]
    assert all(str(value) in wish for value in payload.values() if isinstance(value, str))
    assert "2 of 3" in wish or "1 of 2" in wish


async def test_the_model_fetches_and_writes_with_the_built_in_skills(
    joined: Settings, broker: MessageBroker, model: ScriptedModel, web: Loopback
) -> None:
    page = web.on("/a", "<p>the news</p>")
    model.replies(
        says(None, uses("fetch", {"url": page})),
        says("", uses("write_file", {"path": "a.txt", "content": "news"}), uses("read_file", {"path": "a.txt"}, "b")),
        says("written"),
    )
    settings = altered(joined, **model.settings)
    async with running(built_in(settings), settings):
        assert await done(broker, "map_task", ITEM) == "written"
    assert [request.json["messages"][-1]["role"] for request in model.requests] == ["user", "tool", "tool"]
    fetched, written, read = model.told
    assert "<p>the news</p>" in fetched
    assert (written, read) == ('{"path":"a.txt","bytes":4}', '"news"')
    offered = {tool["function"]["name"] for tool in model.requests[0].json["tools"]}
    assert offered == {"fetch", "extract", "summarise", "read_file", "list_files", "write_file", "scan_path"}


async def test_a_node_without_a_model_fails_the_item_at_once_and_names_what_to_do(
    joined: Settings, broker: MessageBroker
) -> None:
    async with running(built_in(joined), joined):
        task = await ended(broker, await broker.enqueue_task("map_task", ITEM))
    assert (task.status, task.attempt) == ("failed", 1)
    assert task.error == (
        "InvalidSetting: this node has no model for free-text items: set HIVE_LLM_BASE_URL and HIVE_LLM_MODEL on it, "
        "or have a skill do the items with skill="
    )


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_service_that_is_busy_or_broken_is_asked_again_by_the_tasks_own_retries(
    joined: Settings, broker: MessageBroker, model: ScriptedModel, status: int
) -> None:
    model.replies(refuses(status, "slow down"), says("late"))
    settings = altered(joined, **model.settings)
    async with running(built_in(settings), settings):
        task = await ended(broker, await broker.enqueue_task("map_task", ITEM))
        assert (task.result, task.attempt) == ("late", 2)
        model.replies(refuses(status, "slow down"))
        task = await ended(broker, await broker.enqueue_task("map_task", ITEM, max_retries=1))
    assert task.attempt == 2
    assert str(task.error).startswith(f"ServiceFailed: the model service answered {status}: slow down")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_fails_at_once_and_is_shown_nowhere(
    joined: Settings, broker: MessageBroker, model: ScriptedModel, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model.replies(refuses(status, f"wrong key {KEY}"))
    settings = altered(joined, **model.settings)
    async with running(built_in(settings), settings):
        task = await ended(broker, await broker.enqueue_task("map_task", ITEM))
    assert (task.status, task.attempt) == ("failed", 1)
    assert task.error == (f"InvalidSetting: the model service refuses the key ({status}); check HIVE_LLM_API_KEY")
    assert "authorization" in model.requests[0].headers
    assert "hidden" not in caplog.text


# ------------------------------------------------------------------------------------------------------- progress


async def test_progress_says_which_step_it_is_and_what_is_used(asking: Settings, model: ScriptedModel) -> None:
    model.replies(says("", uses("list_files")), says("done"))
    reports: list[tuple[str, object]] = []
    assert await answer(asking, reports) == "done"
    assert reports == [
        ("progress", (0.0, "asks scripted, 0 tokens so far")),
        ("progress", (0.1, "uses list_files")),
        ("progress", (0.1, "asks scripted, 10 tokens so far")),
    ]


# -------------------------------------------------------------------------------------------- tools gone wrong


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (uses("launch_rocket"), "Error: there is no tool 'launch_rocket'; there are fetch, extract, summarise,"),
        (uses("map_task", ITEM), "Error: there is no tool 'map_task'"),
        (uses("shell", {"command": ["id"]}), "Error: there is no tool 'shell'"),
        (uses("read_file", "{not json"), "Error: InvalidTask: the arguments are not JSON"),
        (uses("read_file", "[1]"), "Error: InvalidTask: the arguments must be a JSON object"),
        (uses("read_file", {"file": "a"}), "Error: InvalidTask: payload of 'read_file': unexpected key 'file'"),
        (uses("read_file", {"path": 7}), "Error: InvalidTask: payload of 'read_file': expected str, got int"),
        (uses("read_file", {"path": "../a"}), "Error: Forbidden: '../a' has '..' in it"),
        (uses("fetch", {"url": "http://[::1]/"}), "Error: Forbidden: '::1' leads to ::1"),
        (uses("summarise", {}), "Error: InvalidTask: summarise takes the url of a page or a text"),
        (uses("read_file", '{"path": "\\ud800"}'), "Error: InvalidTask"),
    ],
)
async def test_what_is_wrong_with_a_tool_is_told_to_the_model(
    asking: Settings, model: ScriptedModel, call: dict[str, Any], words: str
) -> None:
    model.replies(says(None, call), says("did without"))
    assert await answer(asking) == "did without"
    assert model.told[0].startswith(words)
    assert len(model.told[0]) < 500


async def test_a_call_is_sent_back_with_arguments_that_a_service_can_read(
    asking: Settings, model: ScriptedModel
) -> None:
    model.replies(says(None, uses("read_file", "{not json", None), uses("list_files", "")), says("done"))
    await answer(asking)
    first, second = model.messages[2]["tool_calls"]
    assert (first["id"], first["function"]["arguments"]) == ("call-0", "{}")
    assert second == {"id": "call-a", "type": "function", "function": {"name": "list_files", "arguments": "{}"}}
    assert [message["tool_call_id"] for message in model.messages[3:]] == ["call-0", "call-a"]


async def test_arguments_that_come_as_json_itself_are_understood(asking: Settings, model: ScriptedModel) -> None:
    wish = {"function": {"name": "write_file", "arguments": {"path": "a", "content": "b"}}}
    model.replies(says(None, wish), says("done"))
    assert await answer(asking) == "done"
    assert model.told == ['{"path":"a","bytes":1}']


async def test_a_long_answer_of_a_tool_is_cut_and_says_so(
    asking: Settings, model: ScriptedModel, web: Loopback
) -> None:
    web.on("/long", "x" * 100_000)
    model.replies(says(None, uses("fetch", {"url": f"{web.address}/long"})), says("done"))
    assert await answer(asking) == "done"
    assert len(model.told[0]) < 17_000
    assert model.told[0].endswith("16,000 are shown)")


async def test_only_so_many_tools_are_used_at_a_time(asking: Settings, model: ScriptedModel) -> None:
    model.replies(says(None, *(uses("list_files", {}, f"c{i}") for i in range(CALLS_MAX + 2))), says("done"))
    assert await answer(asking) == "done"
    assert len(model.told) == CALLS_MAX + 2
    assert [told.startswith("Error: only 16 tools") for told in model.told[-3:]] == [False, True, True]


async def test_the_owner_says_which_tools_there_are(asking: Settings, model: ScriptedModel) -> None:
    model.replies(says("done"))
    await answer(altered(asking, hive_agent_tools="none"))
    assert "tools" not in model.requests[-1].json
    await answer(altered(asking, hive_agent_tools="fetch, shell"))
    assert [tool["function"]["name"] for tool in model.requests[-1].json["tools"]] == ["fetch", "shell"]
    with pytest.raises(InvalidSetting, match="HIVE_AGENT_TOOLS names 'fetsch'; there are fetch, extract"):
        built_in(altered(asking, hive_agent_tools="fetsch"))


# ---------------------------------------------------------------------------------------------------------- limits


async def test_a_model_that_never_ends_is_ended_by_the_steps(asking: Settings, model: ScriptedModel) -> None:
    model.replies(says(None, uses("list_files")))
    with pytest.raises(LimitReached, match=r"no answer after 3 steps \(HIVE_AGENT_STEPS_MAX\)"):
        await answer(altered(asking, hive_agent_steps_max=3))
    assert len(model.requests) == 3


@pytest.mark.parametrize("tokens", [60, None])
async def test_a_model_that_costs_too_much_is_ended_by_the_tokens(
    asking: Settings, model: ScriptedModel, tokens: int | None
) -> None:
    model.replies(says("x" * 400, uses("list_files"), tokens=tokens))
    with pytest.raises(LimitReached, match=r"of 100 tokens \(HIVE_AGENT_TOKENS_MAX\)"):
        await answer(altered(asking, hive_agent_tokens_max=100))
    assert len(model.requests) == (2 if tokens else 1)


async def test_an_answer_that_was_cut_is_given_and_logged(
    asking: Settings, model: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    model.replies(says("half a sen", reason="length"))
    assert await answer(asking) == "half a sen"
    assert "the answer was cut by HIVE_LLM_ANSWER_TOKENS_MAX" in caplog.text


async def test_an_item_may_be_any_json(asking: Settings, model: ScriptedModel) -> None:
    model.replies(says("done"))
    agent = Agent(asking, tools(asking))
    assert await agent.map_task(told_by([]), "Sum", {"left": 1, "word": "ż"}) == "done"
    assert model.messages[1]["content"] == 'Sum\n\nItem 1 of 1:\n{"left": 1, "word": "ż"}'


async def test_an_answer_of_nothing_is_none(asking: Settings, model: ScriptedModel) -> None:
    model.replies(Answer(b'{"choices":[{"message":{"content":" ","tool_calls":null}}]}'))
    with pytest.raises(ServiceFailed, match="answered with nothing"):
        await answer(asking)
