from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Venom
from tests.hives import running, until_running
from venom_core.config import Settings
from venom_core.errors import TaskFailure
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def double(number: int) -> dict[str, int]:
    return {"twice": 2 * number}


@skills.skill
async def fail() -> None:
    raise TaskFailure("it went\x1b wrong")


@skills.skill
async def linger() -> None:
    await asyncio.Event().wait()


def told(result: Result) -> Any:
    """What a command printed as JSON."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """The one sentence of a command that failed."""
    assert result.exit_code == 1
    assert result.stdout == ""
    [sentence] = result.stderr.splitlines()
    return str(sentence)


def test_a_task_is_enqueued_with_its_options_and_can_be_looked_at(venom: Venom) -> None:
    options = ("--priority", "9", "--timeout", "5", "--max-retries", "0", "--delay", "60", "--metadata", '{"who": "ż"}')
    task_id = venom("enqueue", "double", '{"number": 4}', *options).stdout.strip()
    task = told(venom("task", task_id, "--json"))
    assert task["payload"] == {"number": 4}
    assert (task["priority"], task["timeout"], task["max_retries"]) == (9, 5.0, 0)
    assert task["metadata"] == {"who": "ż"}
    assert (task["status"], task["reason"]) == ("pending", "no_nodes")
    lines = venom("task", task_id).stdout.splitlines()
    assert lines[0].startswith("pending: no Spore is online")
    assert '  payload        {"number": 4}' in lines


@pytest.mark.parametrize(("word", "level"), [("high_priority", 8), ("background", 2), ("0", 0)])
def test_a_priority_is_a_level_or_a_word(venom: Venom, word: str, level: int) -> None:
    task_id = venom("enqueue", "double", "--priority", word, "--id", "mine").stdout.strip()
    assert task_id == "mine"
    assert told(venom("task", "mine", "--json"))["priority"] == level


def test_a_payload_may_come_from_standard_input(venom: Venom) -> None:
    task_id = venom("enqueue", "double", "-", stdin='{"text": "żółw"}').stdout.strip()
    assert told(venom("task", task_id, "--json"))["payload"] == {"text": "żółw"}


def test_times_are_read_as_iso_8601(venom: Venom) -> None:
    moments = ("--run-at", "2099-01-31T08:00", "--deadline", "2099-01-31T09:00:00+00:00")
    assert venom("enqueue", "double", *moments).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("double", "{"), "the payload is not JSON"),
        (("double", "[1]"), "the payload must be a JSON object"),
        (("double", "{}", "--metadata", "1"), "--metadata must be a JSON object"),
        (("two words",), "a task type is"),
        (("double", "--priority", "11"), "priority must be 0 to 10"),
        (("double", "--priority", "-1"), "priority must be 0 to 10"),
        (("double", "--priority", "soon"), "priority must be 0 to 10"),
        (("double", "--timeout", "-3"), "timeout is 0.001 to"),
        (("double", "--run-at", "tomorrow"), "--run-at is an ISO 8601 time"),
        (("double", "--id", "a b"), "a task id is"),
    ],
)
def test_what_is_wrong_with_a_task_is_one_sentence(venom: Venom, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(venom("enqueue", *arguments))


def test_bytes_that_are_no_text_are_no_payload(venom: Venom) -> None:
    assert "the payload is not JSON" in refused(venom("enqueue", "double", "-", stdin=b"\xff\xfe\xfd"))


def test_an_id_that_is_taken_is_one_sentence(venom: Venom) -> None:
    assert venom("enqueue", "double", '{"number": 1}', "--id", "x").exit_code == 0
    assert "x" in refused(venom("enqueue", "double", '{"number": 2}', "--id", "x"))


@pytest.mark.parametrize("command", ["task", "cancel", "retry"])
def test_an_unknown_task_is_one_sentence(venom: Venom, command: str) -> None:
    assert "task nope is known" in refused(venom(command, "nope"))


async def test_waiting_prints_the_result(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings):
        result = await asyncio.to_thread(venom, "enqueue", "double", '{"number": 21}', "--wait", "20")
    assert told(result) == {"twice": 42}


async def test_waiting_for_a_task_that_fails_is_a_failure_that_cannot_steer_the_terminal(
    venom: Venom, settings: Settings
) -> None:
    async with running(skills, settings):
        command = ("enqueue", "fail", "--wait", "20", "--max-retries", "0")
        sentence = refused(await asyncio.to_thread(venom, *command))
    assert "is failed" in sentence
    assert r"it went\x1b wrong" in sentence


def test_waiting_too_short_says_where_the_task_is(venom: Venom) -> None:
    sentence = refused(venom("enqueue", "double", "--wait", "0.01"))
    assert "has not ended after 0.01 s, is pending: no Spore is online" in sentence


def test_a_waiting_task_is_cancelled_once_and_can_be_put_back(venom: Venom) -> None:
    venom("enqueue", "double", "--id", "x")
    assert venom("cancel", "x").stdout.startswith("cancelled:")
    assert refused(venom("cancel", "x")).startswith("nothing to do, cancelled:")
    assert venom("retry", "x").stdout.startswith("pending:")
    assert refused(venom("retry", "x")).startswith("nothing to do, pending:")


async def test_a_running_task_is_stopped(venom: Venom, settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        task_id = await broker.enqueue_task("linger")
        await until_running(broker, task_id)
        assert (await asyncio.to_thread(venom, "task", task_id)).stdout.startswith("running: running on spore")
        assert (await asyncio.to_thread(venom, "cancel", task_id)).exit_code == 0
        ended = await broker.wait_for(task_id, 20)
    assert ended is not None
    assert ended.status == "cancelled"
