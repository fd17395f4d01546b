"""`process` through a kernel's chat service: the model asks for the cluster status itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.agents.test_foreman import Machine, known, skills
from tests.builtin.loopback import Loopback, answer_json, loopback
from tests.hives import running
from venom_core.agents.foreman import ForemanAgent
from venom_core.agents.kernel_chat import ClusterTools, chat_service
from venom_core.config import Settings
from venom_core.errors import InvalidTask
from venom_core.infrastructure.message_broker import MessageBroker


@pytest.fixture
async def web() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


def completion(**message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


async def test_the_model_asks_for_the_status_and_answers(fast: Settings, broker: MessageBroker, web: Loopback) -> None:
    kernels = pytest.importorskip("semantic_kernel", reason="the extra semantic-kernel is not installed")
    open_ai = pytest.importorskip("semantic_kernel.connectors.ai.open_ai")
    openai = pytest.importorskip("openai")
    call = {"id": "c1", "type": "function", "function": {"name": "foreman-get_cluster_status", "arguments": "{}"}}
    web.on(
        "/v1/chat/completions",
        answer_json(completion(tool_calls=[call])),
        answer_json(completion(content="One node, named here.")),
    )
    client = openai.AsyncOpenAI(api_key="k", base_url=web.address + "/v1", max_retries=0)
    kernel = kernels.Kernel(services=open_ai.OpenAIChatCompletion(ai_model_id="m", async_client=client))
    foreman = ForemanAgent(kernel, broker)
    async with running(skills, fast, "here", reader=Machine()), client:
        await known(foreman, "here")
        assert await foreman.process("What of {{my}} nodes?") == "One node, named here."
    first, second = (request.json for request in web.requests)
    assert first["messages"][-1] == {"role": "user", "content": "What of {{my}} nodes?"}
    assert [tool["function"]["name"] for tool in first["tools"]] == ["foreman-get_cluster_status"]
    told = json.loads(second["messages"][-1]["content"])
    assert [node["node_name"] for node in told["nodes"]] == ["here"]
    assert dict(kernel.plugins) == {}


async def test_a_model_may_ask_for_one_node() -> None:
    tools = ClusterTools(lambda: {"online_nodes": 2, "nodes": [{"node_name": "a"}, {"node_name": "b"}]})
    assert json.loads(await tools.get_cluster_status("b")) == {"online_nodes": 2, "nodes": [{"node_name": "b"}]}
    assert len(json.loads(await tools.get_cluster_status())["nodes"]) == 2


@pytest.mark.parametrize("kernel", [None, object()])
def test_a_kernel_without_a_chat_service(kernel: Any) -> None:
    assert chat_service(kernel) is None


async def test_a_question_that_is_none(broker: MessageBroker) -> None:
    foreman = ForemanAgent(None, broker)
    for question in ("x" * 20_001, None):
        with pytest.raises(InvalidTask, match="a question is a text of at most 20,000 characters"):
            await foreman.process(question)  # type: ignore[arg-type]  # that is the point
