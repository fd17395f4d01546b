from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from tests.builtin.loopback import Answer, head
from tests.builtin.scripted_model import KEY, ScriptedModel, refuses, says
from tests.hives import altered
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, InvalidTask, LimitReached, ServiceFailed, VenomError
from venom_spore.builtin.chat import ANSWER_BYTES_MAX, Chat

HELLO = [{"role": "user", "content": "hello"}]


async def text(settings: Settings) -> str:
    async with Chat(settings) as chat:
        return (await chat.ask(HELLO, [])).text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome to nginx</html>",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"message": "hi"}',
        b"[]",
        b"null",
        b'{"choices": [{}]}',
        b'{"choices": [{"message": "hi"}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": "hi", "tool_calls": [{"id": 1}]}}]}',
        b'{"choices": ' + b"[" * 100_000,
        b"\xff\xfe\x00",
    ],
)
async def test_nonsense_is_one_sentence(asking: Settings, model: ScriptedModel, body: bytes) -> None:
    model.replies(Answer(body))
    with pytest.raises(ServiceFailed, match=r"the model service answered (something else than|without any)") as caught:
        await text(asking)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (301, InvalidSetting, "answered 301: told; check HIVE_LLM_BASE_URL and HIVE_LLM_MODEL"),
        (404, InvalidSetting, "answered 404: told; check HIVE_LLM_BASE_URL and HIVE_LLM_MODEL"),
        (400, InvalidTask, "answered 400: told"),
        (422, InvalidTask, "answered 422: told"),
        (429, ServiceFailed, "answered 429: told"),
        (500, ServiceFailed, "answered 500: told"),
        (529, ServiceFailed, "answered 529: told"),
    ],
)
async def test_an_error_says_what_the_service_says(
    asking: Settings, model: ScriptedModel, status: int, kind: type[VenomError], words: str
) -> None:
    model.replies(refuses(status, "told"))
    with pytest.raises(kind) as caught:
        await text(asking)
    assert str(caught.value) == f"the model service {words}"


@pytest.mark.parametrize("told", [f"the key {KEY} is wrong\n" * 100, {"deep": KEY}, None])
async def test_what_a_service_says_is_shortened_and_rid_of_the_key(
    asking: Settings, model: ScriptedModel, told: Any
) -> None:
    model.replies(refuses(400, told))
    with pytest.raises(InvalidTask) as caught:
        await text(asking)
    assert "hidden" not in str(caught.value)
    assert len(str(caught.value)) < 400


async def test_an_error_page_that_is_no_json_is_told_by_its_number(asking: Settings, model: ScriptedModel) -> None:
    model.replies(Answer(b"<h1>Bad gateway</h1>", 502))
    with pytest.raises(ServiceFailed, match=r"^the model service answered 502$"):
        await text(asking)


async def test_a_service_that_keeps_silent_is_given_up(asking: Settings, model: ScriptedModel) -> None:
    async def nothing(_: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    model.replies(nothing)
    with pytest.raises(ServiceFailed, match=r"did not answer within 0\.2 s \(HIVE_LLM_TIMEOUT\)"):
        await text(altered(asking, hive_llm_timeout=0.2))


async def test_a_service_that_streams_for_ever_is_given_up(asking: Settings, model: ScriptedModel) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_type="text/event-stream"))
        while True:
            writer.write(b": still thinking\n\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    model.replies(drip)
    with pytest.raises(ServiceFailed, match=r"did not answer within 0\.3 s"):
        await text(altered(asking, hive_llm_timeout=0.3))


async def test_an_answer_of_100_megabytes_ends_at_the_limit(asking: Settings, model: ScriptedModel) -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(head())
        await model.server.flood(writer, total=100 << 20)

    model.replies(flood)
    with pytest.raises(LimitReached, match="the answer of the model service is larger than 4,194,304 bytes"):
        await text(asking)
    assert model.server.sent_bytes < 8 * ANSWER_BYTES_MAX


async def test_a_packed_answer_is_unpacked(asking: Settings, model: ScriptedModel) -> None:
    reply = says("hi")
    assert isinstance(reply, Answer)
    model.replies(Answer(gzip.compress(reply.body), 200, {"content-encoding": "gzip"}))
    assert await text(asking) == "hi"


async def test_nobody_at_home_is_one_sentence(asking: Settings) -> None:
    with pytest.raises(ServiceFailed, match="the model service cannot be reached: All connection attempts failed"):
        await text(altered(asking, hive_llm_base_url="http://127.0.0.1:1/v1"))


async def test_a_service_that_hangs_up_is_one_sentence(asking: Settings, model: ScriptedModel) -> None:
    async def hang_up(writer: asyncio.StreamWriter) -> None:
        writer.close()

    model.replies(hang_up)
    with pytest.raises(ServiceFailed, match="the model service cannot be reached: "):
        await text(asking)


async def test_the_newer_name_of_the_token_limit_is_taken_when_a_service_asks_for_it(
    asking: Settings, model: ScriptedModel
) -> None:
    model.replies(refuses(400, "Use 'max_completion_tokens' instead."), says("hi"))
    assert await text(altered(asking, hive_llm_answer_tokens_max=7)) == "hi"
    assert model.requests[1].json["max_completion_tokens"] == 7
    assert "max_tokens" not in model.requests[1].json


async def test_no_key_is_sent_when_there_is_none(asking: Settings, model: ScriptedModel) -> None:
    model.replies(says("hi"))
    assert await text(altered(asking, hive_llm_api_key="")) == "hi"
    assert "authorization" not in model.requests[0].headers


@pytest.mark.parametrize("left", ["hive_llm_base_url", "hive_llm_model"])
def test_one_missing_setting_is_named(asking: Settings, left: str) -> None:
    given = asking.model_dump() | {left: None}
    settings = Settings.load(**{name: value for name, value in given.items() if value is not None})
    with pytest.raises(InvalidSetting, match=f"set {left.upper()} on it"):
        Chat(settings)


async def test_an_address_that_cannot_be_asked_is_one_sentence(asking: Settings) -> None:
    with pytest.raises(InvalidSetting, match="HIVE_LLM_BASE_URL is not an address that can be asked"):
        await text(altered(asking, hive_llm_base_url="http://[::1"))
