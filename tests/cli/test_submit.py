from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Venom, refused, told
from tests.hives import running
from venom_core.commands.submit import STDIN_BYTES_MAX
from venom_core.config import Settings
from venom_core.domain.node import NodeState
from venom_core.errors import StoreUnavailable, TaskFailure
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.node_store import NodeStore
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def double(number: int) -> dict[str, int]:
    return {"twice": 2 * number}


@skills.skill
async def fail() -> None:
    raise TaskFailure("it went\x1b wrong")


def shown(venom: Venom, task_id: str) -> Any:
    return told(venom("task", "show", task_id, "--json"))


def test_a_task_is_submitted_with_its_options(venom: Venom) -> None:
    options = ("--priority", "9", "--timeout", "5", "--retries", "0", "--delay", "60", "--metadata", '{"who": "ż"}')
    task = shown(venom, venom("submit", "double", "number=4", *options).stdout.strip())
    assert task["payload"] == {"number": 4}
    assert (task["priority"], task["timeout"], task["max_retries"]) == (9, 5.0, 0)
    assert task["metadata"] == {"who": "ż"}
    assert (task["status"], task["reason"]) == ("pending", "no_nodes")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("x=3", 3),
        ("x=-2.5", -2.5),
        ("x=true", True),
        ("x=null", None),
        ('x={"a": [1]}', {"a": [1]}),
        ('x="3"', "3"),
        ("x=Ada", "Ada"),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=01234", "01234"),
        ("x=NaN", "NaN"),
        ("x=[1, 2", "[1, 2"),
    ],
)
def test_a_word_is_json_where_it_is_json_and_text_elsewhere(venom: Venom, words: str, value: Any) -> None:
    assert shown(venom, venom("submit", "double", words).stdout.strip())["payload"] == {"x": value}


def test_a_payload_may_be_one_object(venom: Venom) -> None:
    for arguments, stdin in ((("--json", '{"text": "żółw"}'), None), (("-",), '{"text": "żółw"}')):
        task_id = venom("submit", "double", *arguments, stdin=stdin).stdout.strip()
        assert shown(venom, task_id)["payload"] == {"text": "żółw"}


@pytest.mark.parametrize(("given", "level"), [("high_priority", 8), ("background", 2), ("0", 0)])
def test_a_priority_is_a_level_or_a_word(venom: Venom, given: str, level: int) -> None:
    assert venom("submit", "double", "--priority", given, "--id", "mine").stdout.strip() == "mine"
    assert shown(venom, "mine")["priority"] == level


def test_what_a_task_needs_of_its_node_is_said_with_options(venom: Venom) -> None:
    needs = ("--tag", "eu", "--tag", "fast", "--gpu", "--capability", "vision>=0.9", "--capability", "ocr")
    more = ("--node", "n1", "--memory-mb", "512", "--code", "1.2")
    venom("submit", "double", "--id", "picky", *needs, *more)
    assert shown(venom, "picky")["reason"] == "no_nodes"
    assert venom("submit", "double", "--id", "two", "--gpu", "2").exit_code == 0


async def test_every_requirement_reaches_the_hive(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings, "here"):
        asked = {
            ("--tag", "eu"): "lacks the tag 'eu'",
            ("--gpu",): "0 GPUs of 1",
            ("--gpu", "2"): "0 GPUs of 2",
            ("--capability", "vision>=0.9"): "lacks the capability 'vision'",
            ("--node", "there"): "it is not 'there'",
            ("--memory-mb", "99999999"): "MiB of free RAM",
            ("--code", "99.1"): "older than 99.1",
        }
        for arguments, words in asked.items():
            task_id = (await asyncio.to_thread(venom, "submit", "double", *arguments)).stdout.strip()
            assert words in (await asyncio.to_thread(venom, "explain", task_id)).stdout


def test_times_are_read_as_iso_8601(venom: Venom) -> None:
    moments = ("--run-at", "2099-01-31T08:00", "--deadline", "2099-01-31T09:00:00+00:00")
    assert venom("submit", "double", *moments).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("double", "--json", "{"), "the payload is not JSON"),
        (("double", "--json", "[1]"), "the payload must be a JSON object"),
        (("double", "--json", '{"a":' * 100_000), "the payload is nested too deeply"),
        (("double", "--metadata", "1"), "--metadata must be a JSON object"),
        (("two words",), "a task type is"),
        (("double", "--priority", "11"), "priority must be 0 to 10"),
        (("double", "--priority", "-1"), "priority must be 0 to 10"),
        (("double", "--priority", "soon"), "priority must be 0 to 10"),
        (("double", "--timeout", "-3"), "timeout is 0.001 to"),
        (("double", "--run-at", "tomorrow"), "--run-at is an ISO 8601 time"),
        (("double", "--id", "a b"), "a task id is"),
        (("double", "--tag", "a b"), "requirement tags"),
    ],
)
def test_what_is_wrong_with_a_task_is_one_sentence(venom: Venom, arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(venom("submit", *arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("number",),
        ("=4",),
        ("a=1", "a=2"),
        ("a=1", "--json", "{}"),
        ("-", "--json", "{}"),
        ("--capability", "vision>=much"),
        ("--wait", "0"),
        ("--wait", "-5"),
        ("--gpu", "many"),
    ],
)
def test_a_command_that_is_used_wrongly_ends_with_2(venom: Venom, arguments: tuple[str, ...]) -> None:
    assert venom("submit", "double", *arguments).exit_code == 2


def test_standard_input_is_judged(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "standard input is not JSON" in refused(venom("submit", "double", "-", stdin=b"\xff\xfe\xfd"))
    monkeypatch.setattr("venom_core.commands.submit.STDIN_BYTES_MAX", 3)
    assert "more than 3 bytes" in refused(venom("submit", "double", "-", stdin='{"a": 1}'))
    assert STDIN_BYTES_MAX > 3


def test_an_id_that_is_taken_is_one_sentence(venom: Venom) -> None:
    assert venom("submit", "double", "number=1", "--id", "x").exit_code == 0
    assert "x" in refused(venom("submit", "double", "number=2", "--id", "x"))


@pytest.mark.parametrize("wait", [("--wait",), ("--wait", "20")])
async def test_waiting_prints_the_result(venom: Venom, settings: Settings, wait: tuple[str, ...]) -> None:
    async with running(skills, settings):
        result = await asyncio.to_thread(venom, "submit", "double", "number=21", *wait)
    assert told(result) == {"twice": 42}


async def test_waiting_for_a_task_that_fails_is_a_failure_that_cannot_steer_the_terminal(
    venom: Venom, settings: Settings
) -> None:
    async with running(skills, settings):
        command = ("submit", "fail", "--wait", "20", "--retries", "0")
        sentence = refused(await asyncio.to_thread(venom, *command))
    assert "failed on spore at" in sentence
    assert r"it went\x1b wrong" in sentence


async def test_a_misspelt_skill_is_submitted_and_the_nearest_is_named(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings):
        result = await asyncio.to_thread(venom, "submit", "duoble", "number=4", "--id", "mine")
    assert (result.exit_code, result.stdout) == (0, "mine\n")
    [sentence] = result.stderr.splitlines()
    assert sentence == (
        "venom: no Spore online has the skill 'duoble' (did you mean 'double'?); spore know: double, fail; the task "
        "starts when one with it joins, or take it back with: venom task cancel mine"
    )
    assert (await asyncio.to_thread(shown, venom, "mine"))["status"] == "pending"


async def test_a_skill_like_no_other_is_named_alone(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings):
        result = await asyncio.to_thread(venom, "submit", "sing", "--json", "{}")
    assert len(result.stdout.split()) == 1
    assert "no Spore online has the skill 'sing'; spore know: double, fail; " in result.stderr


def test_a_hive_without_nodes_says_so(venom: Venom) -> None:
    result = venom("submit", "double", "number=4", "--id", "mine")
    assert (result.exit_code, result.stdout) == (0, "mine\n")
    assert result.stderr == "venom: no Spore is online; start one with: venom-spore --skills module:skills\n"


async def test_a_skill_that_somebody_has_or_may_have_is_not_remarked_on(
    venom: Venom, settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings):
        assert (await asyncio.to_thread(venom, "submit", "double", "number=4")).stderr == ""
    await broker.next_task(["other"], timeout=0)  # a hand-written loop takes what it likes, and says so to nobody
    assert (await asyncio.to_thread(venom, "submit", "sing")).stderr == ""


def test_a_look_that_fails_does_not_undo_the_submit(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: NodeStore) -> list[NodeState]:
        raise StoreUnavailable("it is away;\x1b start it")

    with monkeypatch.context() as patch:
        patch.setattr(NodeStore, "all", away)
        result = venom("submit", "double", "number=4", "--id", "mine")
    assert (result.exit_code, result.stdout) == (0, "mine\n")
    assert result.stderr == (
        "venom: mine is submitted; whether a Spore has its skill is not known: it is away;\\x1b start it\n"
    )
    assert shown(venom, "mine")["status"] == "pending"


def last_line(result: Result) -> str:
    return str(result.stderr.splitlines()[-1])


def test_waiting_too_short_says_where_the_task_is_and_ends_with_3(venom: Venom) -> None:
    result = venom("submit", "double", "--wait", "0.01")
    assert result.exit_code == 3
    assert "has not ended after 0.01 s, is pending: no Spore is online" in last_line(result)
    assert "venom task watch" in last_line(result)


def test_who_waits_long_is_told_why(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venom_core.commands.follow.LOOK_S", 0.05)
    monkeypatch.setattr("venom_core.commands.follow.WAITS_S", 0.05)
    result = venom("submit", "double", "--wait", "2")
    assert result.exit_code == 3
    told_once = [line for line in result.stderr.splitlines() if "waits: no Spore is online" in line]
    assert len(told_once) == 1
    assert json.loads(venom("status", "--json").stdout)["tasks_pending"] == 1
