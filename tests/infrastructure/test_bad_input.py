"""What callers hand in by mistake: one clear error each, and nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.hives import altered, done, running
from venom_core.clock import Clock, to_naive_local
from venom_core.config import Settings
from venom_core.errors import InvalidTask
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(value: Any = None) -> Any:
    return value


@pytest.fixture
async def door(broker: MessageBroker) -> AsyncIterator[MessageBroker]:
    """A broker that must hold nothing afterwards."""
    yield broker
    assert (await broker.get_queue_stats())["tasks_pending"] == 0


class Thing:
    pass


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"raw", r"payload\['value'\] is of type bytes"),
        ({1, 2}, "type set"),
        (Thing(), "type Thing"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (2**64, "over 64 bits"),
        ({1: "one"}, "keys must be text"),
        ("\ud800", "surrogate"),
        (nested(100), "nested more than 64 levels"),
        ([{"deep": [1, b"x"]}], r"payload\['value'\]\[0\]\['deep'\]\[1\]"),
    ],
)
async def test_a_payload_that_json_cannot_carry_is_refused_by_name(door: MessageBroker, value: Any, words: str) -> None:
    with pytest.raises(InvalidTask, match=words):
        await door.enqueue_task("echo", {"value": value})
    with pytest.raises(InvalidTask, match=words):
        await door.enqueue_many("echo", [{}, {"value": value}])


@pytest.mark.parametrize("payload", [[1], "text", 5])
async def test_a_payload_is_a_dict(door: MessageBroker, payload: Any) -> None:
    with pytest.raises(InvalidTask, match="payload must be a dict"):
        await door.enqueue_task("echo", payload)


async def test_a_payload_of_100_mb_is_refused_at_the_door(door: MessageBroker) -> None:
    with pytest.raises(InvalidTask, match="limit is 1,048,576; store the data elsewhere"):
        await door.enqueue_task("echo", {"value": "x" * 100_000_000})


async def test_a_large_payload_is_taken_when_the_setting_says_so(settings: Settings) -> None:
    wide = altered(settings, hive_payload_bytes_max=20_000_000, hive_result_bytes_max=20_000_000)
    async with MessageBroker(wide) as broker, running(skills, wide):
        assert len(await done(broker, "echo", {"value": "x" * 15_000_000})) == 15_000_000


async def test_what_json_can_carry_comes_back_as_it_was_sent(settings: Settings, broker: MessageBroker) -> None:
    value = {
        "text": "äöü 漢字 🐍\n\0",
        "none": None,
        "deep": nested(60),
        "numbers": [-(2**63), 2**64 - 1, 1e-300, -0.0, True],
    }
    async with running(skills, settings):
        assert await done(broker, "echo", {"value": value}) == value


@pytest.mark.parametrize("name", ["timeout", "delay"])
@pytest.mark.parametrize("value", [-1, -1e-9, float("nan"), float("inf"), 1e18, "10", True])
async def test_negative_and_absurd_times_are_refused_by_name(door: MessageBroker, name: str, value: Any) -> None:
    with pytest.raises(InvalidTask, match=f"^{name} is"):
        await door.enqueue_task("echo", **{name: value})


async def test_a_timeout_of_nothing_is_refused(door: MessageBroker) -> None:
    with pytest.raises(InvalidTask, match=r"timeout is 0.001 to 604,800 seconds, not 0"):
        await door.enqueue_task("echo", timeout=0)


@pytest.mark.parametrize("value", [-1, 101, 1.5, "3", True])
async def test_a_number_of_retries_that_is_none_is_refused(door: MessageBroker, value: Any) -> None:
    with pytest.raises(InvalidTask, match="max_retries is a whole number from 0 to 100"):
        await door.enqueue_task("echo", max_retries=value)


@pytest.mark.parametrize("value", [11, -1, 2.0, "urgent", None, True])
async def test_a_priority_that_is_none_is_refused(door: MessageBroker, value: Any) -> None:
    with pytest.raises(InvalidTask, match="priority must be 0 to 10"):
        await door.enqueue_task("echo", priority=value)


@pytest.mark.parametrize("value", ["", "two words", "line\nbreak", "tab\t", "é", "x" * 129, "x" * 10_000, 5, b"x"])
async def test_an_id_that_is_none_is_refused_and_shown_only_in_part(door: MessageBroker, value: Any) -> None:
    for call in (
        door.enqueue_task("echo", task_id=value),
        door.enqueue_many("echo", [{}], task_ids=[value]),
        door.get_task_status(value),
        door.wait_for(value, timeout=1),
        door.cancel_task(value),
        door.retry_task(value),
        door.explain(value),
        door.dead_letters.purge([value]),
    ):
        with pytest.raises(InvalidTask, match="a task id is 1 to 128 printable") as caught:
            await call
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["", "two words", "a/b", "x" * 129, None, 5])
async def test_a_type_that_is_none_is_refused(door: MessageBroker, value: Any) -> None:
    with pytest.raises(InvalidTask, match="a task type is 1 to 128"):
        await door.enqueue_task(value)


async def test_an_option_that_does_not_exist_is_refused_with_those_that_do(door: MessageBroker) -> None:
    with pytest.raises(InvalidTask, match="there is no task option 'timout'; there are: priority, timeout"):
        await door.enqueue_task("echo", timout=5)


async def test_delay_and_run_at_exclude_each_other(door: MessageBroker) -> None:
    moment = to_naive_local(Clock().now_ms()) + timedelta(hours=1)
    with pytest.raises(InvalidTask, match="either delay or run_at"):
        await door.enqueue_task("echo", delay=1, run_at=moment)


@pytest.mark.parametrize("name", ["run_at", "deadline"])
async def test_a_moment_is_a_datetime(door: MessageBroker, name: str) -> None:
    options: dict[str, Any] = {name: "tomorrow"}
    with pytest.raises(InvalidTask, match=f"{name} is a datetime"):
        await door.enqueue_task("echo", **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("parent_id", "a b"), ("key", ""), ("key", "k" * 257), ("metadata", [1]), ("metadata", {"x": b""})],
)
async def test_what_is_told_about_a_task_is_checked_too(door: MessageBroker, name: str, value: Any) -> None:
    with pytest.raises(InvalidTask):
        await door.enqueue_task("echo", **{name: value})


async def test_an_unknown_type_waits_and_disturbs_nothing(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        unknown = await broker.enqueue_task("sing", priority=10)
        assert await done(broker, "echo", {"value": 1}) == 1
        assert (await broker.explain(unknown)).reason == "no_skill"
