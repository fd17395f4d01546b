"""A model service of OpenAI's form on 127.0.0.1 that says what the test wrote down, one reply a request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.builtin.loopback import Loopback, Reply, Request, answer_json, loopback

PATH = "/v1/chat/completions"
KEY = "sk-hidden-0123456789"


def says(text: str | None, *calls: dict[str, Any], tokens: int | None = 10, reason: str = "stop") -> Reply:
    """An answer with a text, or with tools to use (see `uses`)."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = list(calls)
    body: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
    if tokens is not None:
        body["usage"] = {"total_tokens": tokens}
    return answer_json(body)


def uses(name: str, arguments: Any = None, call_id: str | None = "call-a") -> dict[str, Any]:
    """A wish to use a tool; arguments that are not text are written as JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def refuses(status: int, message: str = "no") -> Reply:
    """An error in the form of OpenAI."""
    return answer_json({"error": {"message": message, "type": "error"}}, status)


class ScriptedModel:
    """The service; `requests` are what it was asked, in order."""

    def __init__(self, server: Loopback) -> None:
        self.server = server
        self.base_url = f"{server.address}/v1"

    @property
    def settings(self) -> dict[str, Any]:
        """What makes a node ask it."""
        return {"hive_llm_base_url": self.base_url, "hive_llm_model": "scripted", "hive_llm_api_key": KEY}

    def replies(self, *replies: Reply) -> None:
        """What it answers, one a request; the last one stays."""
        self.server.on(PATH, *replies)

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation as the last request told it."""
        found: list[dict[str, Any]] = self.requests[-1].json["messages"]
        return found

    @property
    def told(self) -> list[str]:
        """What tools answered, in the last request."""
        return [message["content"] for message in self.messages if message["role"] == "tool"]


@contextlib.asynccontextmanager
async def scripted_model() -> AsyncIterator[ScriptedModel]:
    """A service for the length of the block."""
    async with loopback() as server:
        yield ScriptedModel(server)
