"""A client of any OpenAI-compatible `/chat/completions`, over httpx and within bounds.

Whatever stands at the other end may be slow, broken, or say something else than it should: each ends in one sentence.
The key goes into one header and nowhere else; of what the service says of an error, the key is struck out.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

import httpx
import msgspec

from venom_core import __version__
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, InvalidTask, ServiceFailed
from venom_spore.builtin.bounded_body import ENCODINGS, read_body
from venom_spore.builtin.tls import tls_context

ANSWER_BYTES_MAX = 4_194_304
CALLS_MAX = 16
_TOLD_CHARS_MAX = 300
_WORTH_ANOTHER_ATTEMPT = frozenset({408, 409, 425, 429})
# A service that says no text count: about so many bytes are a token.
_BYTES_A_TOKEN = 4


class Called(msgspec.Struct):
    """The name of a tool, and its arguments as JSON text; some services send the JSON itself."""

    name: str = ""
    arguments: Any = None

    @property
    def given(self) -> str:
        """The arguments as JSON text, empty if there are none."""
        if self.arguments is None or isinstance(self.arguments, str):
            return self.arguments or ""
        return msgspec.json.encode(self.arguments).decode()


class Call(msgspec.Struct):
    """One wish of the model to use a tool."""

    function: Called
    id: str | None = None


class Message(msgspec.Struct):
    """What the model says."""

    content: str | None = None
    tool_calls: list[Call] | None = None


class Choice(msgspec.Struct):
    """The message, and why it ended."""

    message: Message
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """Tokens sent and answered, together."""

    total_tokens: int | None = None


class _Body(msgspec.Struct):
    choices: list[Choice] | None = None
    usage: Usage | None = None


class Answer(msgspec.Struct, frozen=True):
    """One answer: its text, the tools it asks for, its cost in tokens, and whether the token limit cut it."""

    text: str
    calls: list[Call]
    tokens: int
    cut: bool


_read_body_json = msgspec.json.Decoder(_Body).decode


class Chat:
    """One conversation partner. Use it as `async with`; raises `InvalidSetting` when it is not configured."""

    def __init__(self, settings: Settings) -> None:
        missing = [name.upper() for name in ("hive_llm_base_url", "hive_llm_model") if not getattr(settings, name)]
        if missing:
            raise InvalidSetting(
                f"this node has no model for free-text items: set {' and '.join(missing)} on it, "
                "or have a skill do the items with skill="
            )
        base = str(settings.hive_llm_base_url).rstrip("/")
        self.model = str(settings.hive_llm_model)
        self._url = f"{base}/chat/completions"
        self._timeout_s = settings.hive_llm_timeout
        self._tokens_max = settings.hive_llm_answer_tokens_max
        self._key = settings.hive_llm_api_key.get_secret_value() if settings.hive_llm_api_key else ""
        self._limit_name = "max_tokens"
        self._client = self._new_client()

    def _new_client(self) -> httpx.AsyncClient:
        headers = {"user-agent": f"venom-hive/{__version__}", "accept-encoding": ENCODINGS}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        # The time of the whole is limited, not of each step; proxies of the environment would see the key.
        return httpx.AsyncClient(headers=headers, verify=tls_context(), timeout=None, trust_env=False)  # noqa: S113 - see above

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Answer:
        """The model's answer to a conversation.

        Raises:
            InvalidSetting: the service refuses the key, or knows no such address or model.
            InvalidTask: the service refuses what it was sent.
            ServiceFailed: it cannot be reached, takes too long, is busy or broken, or answers nonsense.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                status, body = await self._post(messages, tools)
                if status == 400 and b"max_completion_tokens" in body and self._limit_name == "max_tokens":
                    self._limit_name = "max_completion_tokens"  # what newer models of OpenAI call it
                    status, body = await self._post(messages, tools)
        except TimeoutError:
            raise ServiceFailed(f"the model did not answer within {self._timeout_s:g} s (HIVE_LLM_TIMEOUT)") from None
        except httpx.InvalidURL:
            raise InvalidSetting("HIVE_LLM_BASE_URL is not an address that can be asked") from None
        except httpx.HTTPError as fault:
            words = self._harmless(str(fault)) or type(fault).__name__
            raise ServiceFailed(f"the model service cannot be reached: {words}") from None
        self._judge(status, body)
        return _answer(body, messages)

    async def _post(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[int, bytes]:
        asked: dict[str, Any] = {"model": self.model, "messages": messages, self._limit_name: self._tokens_max}
        if tools:
            asked["tools"] = tools
        async with self._client.stream("POST", self._url, json=asked) as response:
            what = "the answer of the model service"
            return response.status_code, await read_body(response, what, ANSWER_BYTES_MAX, "no setting moves this")

    def _judge(self, status: int, body: bytes) -> None:
        """Raise for an answer that is none, saying what the service says."""
        if status == 200:
            return
        if status in (401, 403):
            raise InvalidSetting(f"the model service refuses the key ({status}); check HIVE_LLM_API_KEY")
        words = f"the model service answered {status}"
        if told := self._harmless(_told(body)):
            words += f": {told}"
        if status >= 500 or status in _WORTH_ANOTHER_ATTEMPT:
            raise ServiceFailed(words)
        if status < 400 or status in (404, 405):
            raise InvalidSetting(f"{words}; check HIVE_LLM_BASE_URL and HIVE_LLM_MODEL")
        raise InvalidTask(words)

    def _harmless(self, text: str) -> str:
        """The text on one line, short, and without the key, should somebody have put it there."""
        clean = text.replace(self._key, "…") if self._key else text
        return " ".join(clean.split())[:_TOLD_CHARS_MAX]


def _told(body: bytes) -> str:
    """What a service says of an error, in the form of OpenAI; nothing in any other form."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    error = found.get("error") if isinstance(found, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else ""


def _answer(body: bytes, messages: list[dict[str, Any]]) -> Answer:
    try:
        read = _read_body_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ServiceFailed(f"the model service answered something else than a chat completion: {fault}") from None
    if not read.choices:
        raise ServiceFailed("the model service answered without any choices")
    choice = read.choices[0]
    tokens = read.usage.total_tokens if read.usage else None
    if tokens is None or tokens <= 0:
        tokens = (len(body) + len(msgspec.json.encode(messages))) // _BYTES_A_TOKEN
    calls = [call for call in choice.message.tool_calls or () if call.function.name]
    text = (choice.message.content or "").strip()
    return Answer(text, calls, tokens, choice.finish_reason == "length")
