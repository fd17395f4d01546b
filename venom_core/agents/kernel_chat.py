"""Answers through the chat service of a semantic-kernel `Kernel`, with the state of the hive as a tool.

semantic-kernel is an extra of half a gigabyte. Whoever hands a kernel over has it; nobody else loads it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from venom_core.execution.skills.kernel_plugin import kernel_function

PLUGIN = "foreman"
INSTRUCTIONS = (
    "You are the Foreman of a Venom Hive, a cluster of machines that run tasks. Answer briefly, in the language of "
    "the question, and only from what the function get_cluster_status tells you."
)


class ClusterTools:
    """What a model may ask of the Foreman."""

    def __init__(self, status: Callable[[], dict[str, Any]]) -> None:
        self._status = status

    @kernel_function("The nodes of the cluster as JSON: who is online, CPU and memory in percent, active tasks.")
    async def get_cluster_status(self, node_name: Annotated[str, "only this node; empty for all"] = "") -> str:
        """The cluster status, or one node of it, as JSON text."""
        status = self._status()
        if node_name:
            status["nodes"] = [node for node in status["nodes"] if node["node_name"] == node_name]
        return json.dumps(status)


def chat_service(kernel: Any | None) -> Any | None:
    """The kernel's first service that chats, or None."""
    services = getattr(kernel, "services", None) or {}
    return next((each for each in services.values() if hasattr(each, "get_chat_message_content")), None)


async def answer(kernel: Any, service: Any, tools: ClusterTools, question: str) -> str:
    """What the model says to a question; it may call the tools first. Raises what the service raises.

    The question is handed over as a message and never read as a template. The kernel is left as it was.
    """
    contents = importlib.import_module("semantic_kernel.contents")
    behavior = importlib.import_module("semantic_kernel.connectors.ai.function_choice_behavior")
    with_tools = kernel.clone()
    with_tools.add_plugin(tools, PLUGIN)
    choice = behavior.FunctionChoiceBehavior.Auto(filters={"included_plugins": [PLUGIN]})
    settings = service.get_prompt_execution_settings_class()(function_choice_behavior=choice)
    history = contents.ChatHistory(system_message=INSTRUCTIONS)
    history.add_user_message(question)
    reply = await service.get_chat_message_content(history, settings, kernel=with_tools)
    return str(reply or "")
