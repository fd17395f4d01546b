"""The documents' examples of the broker, against a real server and real Spores."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from tests.hives import altered, ended, running, until_running, until_so
from tests.seed.documents import LANGUAGES, example, run_example
from venom_core import config
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

pytestmark = pytest.mark.parametrize("language", LANGUAGES)
skills = SkillSet()


@skills.skill
async def web_scraping(url: str) -> str:
    return f"text of {url}"


@skills.skill
async def user_query(question: str) -> str:
    return question


@skills.skill
async def bulk_scraping(question: str) -> str:
    return question


@skills.skill
async def nap(seconds: float) -> None:
    await asyncio.sleep(seconds)


@pytest.fixture
def from_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """`MessageBroker()` takes its settings from the environment, as a program of one's own would."""
    monkeypatch.setenv("REDIS_URL", settings.store_url())
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    config._settings.cache_clear()
    return settings


@pytest.fixture
async def orders(broker: MessageBroker) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """What is broadcast, as a node hears it."""
    pubsub = await broker.subscribe_broadcast()
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen() -> None:
        async for message in pubsub.listen():
            if message["type"] == "message":
                heard.put_nowait(json.loads(message["data"]))

    listening = asyncio.create_task(listen())
    yield heard
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_first_use(
    language: str,
    from_environment: Settings,
    broker: MessageBroker,
    orders: asyncio.Queue[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = await run_example(example(language, 0))
    try:
        assert capsys.readouterr().out == "Status: pending\n"
        order = await asyncio.wait_for(orders.get(), 10)
        assert (order["command"], order["data"]) == ("UPDATE_SYSTEM", {"version": "1.2.0"})
        async with running(skills, from_environment):
            task = await ended(broker, names["task_id"])
        assert (task.result, task.priority) == ("text of https://example.com", 2)
    finally:
        await names["broker"].disconnect()


async def test_queue_statistics(
    language: str, settings: Settings, broker: MessageBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    await broker.enqueue_task("user_query", {"question": "?"}, priority="high_priority")
    await broker.enqueue_many("user_query", [{"question": "?"}] * 3)
    await run_example(example(language, 11), message_broker=broker)
    figures = {line.partition(":")[0]: line.partition(":")[2].strip() for line in capsys.readouterr().out.splitlines()}
    assert figures == {
        "": "", "High Priority Queue": "1", "Background Queue": "3", "Pending": "4", "Running": "0",
        "Completed": "0", "Failed": "0",
    }  # fmt: skip


async def test_zombie_tasks(
    language: str, fast: Settings, broker: MessageBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    anxious = altered(fast, hive_zombie_task_timeout=0.01)
    async with MessageBroker(anxious) as message_broker, running(skills, fast) as spore:
        task_id = await message_broker.enqueue_task("nap", {"seconds": 60})
        await until_running(message_broker, task_id)
        # Its Spore's event loop stops showing signs of life while the node goes on renewing its lease.
        spore.worker._heartbeat.tick = lambda: None  # type: ignore[method-assign]  # its sign of life

        async def silent() -> bool:
            return bool(await message_broker.detect_zombie_tasks())

        await until_so(silent)
        await run_example(example(language, 12), message_broker=message_broker, datetime=datetime)
    assert f"Zombie task: {task_id}, elapsed: 0:00:0" in capsys.readouterr().out


async def test_idempotency(language: str) -> None:
    """The good function has its effect once; the bad one, run again, counts twice."""

    class Store(dict[str, Any]):
        async def exists(self, key: str) -> bool:
            return key in self

        async def get(self, key: str) -> Any:  # type: ignore[override]  # a cache is asked by name alone
            return self[key]

        async def set(self, key: str, value: Any) -> None:
            self[key] = value

        async def get_counter(self) -> int:
            return int(dict.get(self, "counter", 0))

        async def set_counter(self, value: int) -> None:
            self["counter"] = value

    scraped: list[str] = []

    async def scrape(url: str) -> str:
        scraped.append(url)
        return f"text of {url}"

    db = Store()
    names = await run_example(example(language, 13), cache=Store(), db=db, scrape=scrape)
    assert [await names["process_url"]("u") for _ in range(2)] == ["text of u"] * 2
    assert scraped == ["u"]
    for _ in range(2):
        await names["increment_counter"]()
    assert db["counter"] == 2


@pytest.mark.parametrize("fails", [False, True])
async def test_error_handling(
    language: str, fails: bool, broker: MessageBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async def process_task(data: dict[str, Any]) -> str:
        if fails:
            raise ValueError("no such page")
        return f"processed {data['url']}"

    task_id = await broker.enqueue_task("by_hand", {"url": "u"})
    task = await broker.next_task()
    assert task is not None
    await run_example(
        example(language, 14), message_broker=broker, task_id=task_id, task_data=task.payload,
        process_task=process_task, logger=logging.getLogger("example"),
    )  # fmt: skip
    end = await ended(broker, task_id)
    if fails:
        assert (end.status, end.error) == ("failed", "no such page")
        assert "Task failed: no such page" in caplog.text
    else:
        assert (end.status, end.result) == ("completed", "processed u")


async def test_prioritization(language: str, broker: MessageBroker) -> None:
    await run_example(example(language, 16), broker=broker, data={"question": "?"})
    first, second = await broker.next_task(), await broker.next_task()
    assert first is not None
    assert second is not None
    assert [(task.task_type, task.priority) for task in (first, second)] == [("user_query", 8), ("bulk_scraping", 2)]


async def test_a_loop_of_ones_own(language: str, from_environment: Settings, broker: MessageBroker) -> None:
    """The loop never ends by itself; it is stopped once both tasks are done."""
    ids = await broker.enqueue_many("by_hand", [{"number": number} for number in (1, 2)])
    names: dict[str, Any] = {}

    async def get_next_task_from_queue() -> Any:
        return await names["broker"].get_next_task_from_queue()

    async def execute_skill(task: Any) -> int:
        return int(task.payload["number"] * 10)

    # `run_example` returns the names only at the end; the block's broker is needed while it runs.
    text = example(language, 19).replace("await broker.connect()", "await broker.connect(); seen(broker)")

    def seen(opened: MessageBroker) -> None:
        names["broker"] = opened

    loop = asyncio.create_task(
        run_example(text, get_next_task_from_queue=get_next_task_from_queue, execute_skill=execute_skill, seen=seen)
    )
    try:
        assert [(await ended(broker, task_id)).result for task_id in ids] == [10, 20]
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await names["broker"].disconnect()
