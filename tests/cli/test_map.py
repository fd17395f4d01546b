from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Venom, refused, told
from tests.hives import running, until, until_so
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def greet(name: str) -> str:
    return f"hello {name}"


@skills.skill
async def length(item: Any) -> int:
    return len(item)


@skills.skill
async def about(task_description: str, item: str) -> str:
    return f"{task_description}: {item}"


def lines(text: str) -> list[dict[str, Any]]:
    """The results in the order of the items."""
    return sorted((json.loads(line) for line in text.splitlines()), key=lambda line: line["item_index"])


async def mapped(venom: Venom, settings: Settings, *arguments: str, stdin: str) -> Any:
    async with running(skills, settings):
        return await asyncio.to_thread(venom, "map", *arguments, stdin=stdin)


async def test_objects_are_the_arguments_of_the_skill(venom: Venom, settings: Settings) -> None:
    result = await mapped(venom, settings, "greet", "-", stdin='{"name": "Ada"}\n\n{"name": "Ż"}\n')
    assert result.exit_code == 0
    assert [line["result"] for line in lines(result.stdout)] == ["hello Ada", "hello Ż"]
    assert "2 of 2 completed, 0 failed" in result.stderr


async def test_other_values_are_its_item(venom: Venom, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "items").write_text('"four"\n[1, 2]\n')
    result = await mapped(venom, settings, "length", str(tmp_path / "items"), stdin="")
    assert [line["result"] for line in lines(result.stdout)] == [4, 2]


async def test_objects_can_be_handed_over_whole_also_among_other_values(venom: Venom, settings: Settings) -> None:
    result = await mapped(venom, settings, "length", "-", "--item", stdin='{"a": 1, "b": 2}\n"four"\n')
    assert [line["result"] for line in lines(result.stdout)] == [2, 4]


ALIKE = 'make all lines objects, or give --item to hand over each whole, as the argument "item"'
MEND = "mend this line, because most lines are JSON objects"
TEXT = "give one JSON value a line, or --text if all are plain text"


@pytest.mark.parametrize(
    ("given", "wrong", "advice"),
    [
        (['{"name": "a"}', "", '"Ada"', '{"name": "b"}'], "line 3 is no JSON object and line 1 is one", ALIKE),
        (["[1]", '{"name": "b"}'], "line 2 is a JSON object and line 1 is none", ALIKE),
        (["{}", '{"name": "b"},', "{}"], "line 2 cannot be read as JSON, character 14: Extra data", MEND),
        (["Ada", "{}", "{}"], "line 1 cannot be read as JSON, character 1: Expecting value", MEND),
        (["Ada", "Grace"], "line 1 cannot be read as JSON, character 1: Expecting value", TEXT),
    ],
)
def test_lines_that_do_not_go_together_are_refused_before_anything_is_submitted(
    venom: Venom, given: list[str], wrong: str, advice: str
) -> None:
    sentence = refused(venom("map", "greet", "-", "--run-id", "mine", stdin="\n".join(given)))
    assert sentence == f"venom: {wrong}; nothing is submitted: {advice}"
    assert told(venom("status", "--json"))["tasks_pending"] == 0
    assert "no run mine is known" in refused(venom("map", "--run-id", "mine"))


async def test_lines_may_be_plain_text_with_a_description(venom: Venom, settings: Settings) -> None:
    options = ("--text", "--description", "look", "--priority", "8", "--timeout", "9")
    result = await mapped(venom, settings, "about", "-", *options, stdin="https://a.org/\n  b  \n")
    assert [line["result"] for line in lines(result.stdout)] == ["look: https://a.org/", "look: b"]


async def test_one_failed_item_is_exit_code_1(venom: Venom, settings: Settings) -> None:
    result = await mapped(venom, settings, "greet", "-", "--retries", "0", stdin='{"name": "a"}\n{"nam": "b"}\n')
    assert result.exit_code == 1
    assert [line["status"] for line in lines(result.stdout)] == ["completed", "failed"]
    assert "1 of 2 completed, 1 failed" in result.stderr


async def test_a_run_that_has_not_ended_is_taken_up_by_its_id(venom: Venom, settings: Settings) -> None:
    first = await asyncio.to_thread(
        venom, "map", "greet", "-", "--run-id", "mine", "--wait", "0.05", stdin='{"name": "Ada"}\n'
    )
    assert first.exit_code == 3
    assert "1 have not ended; go on with: venom map --run-id mine" in first.stderr
    async with running(skills, settings):
        again = await asyncio.to_thread(venom, "map", "--run-id", "mine")
    assert again.exit_code == 0
    assert [line["result"] for line in lines(again.stdout)] == ["hello Ada"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("greet", "-"), "", "there is no item"),
        (("greet", "-"), '{"name": 1}\nnot json\n', "line 2 cannot be read"),
        (("greet", "-"), "[NaN]\n", "JSON cannot carry NaN"),
        (("greet", "-", "--text"), "\n \n", "there is no item"),
        (("greet", "-", "--text"), b"a\n\xff\n", "line 2 cannot be read"),
        (("greet", "-", "--priority", "soon"), "1\n", "priority must be 0 to 10"),
        (("--run-id", "nobody"), "", "no run nobody is known"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    venom: Venom, arguments: tuple[str, ...], stdin: str | bytes, words: str
) -> None:
    assert words in refused(venom("map", *arguments, stdin=stdin))


def test_limits_of_a_run_are_named(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venom_core.commands.mapping.ITEMS_MAX", 2)
    assert "more than 2 items" in refused(venom("map", "greet", "-", stdin="1\n2\n3\n"))
    monkeypatch.setattr("venom_core.commands.mapping.LINE_BYTES_MAX", 3)
    assert "line 1 has more than 3 bytes" in refused(venom("map", "greet", "-", stdin='"abcdef"\n'))


@pytest.mark.parametrize("arguments", [(), ("greet",), ("greet", "no/such/file")])
def test_a_command_that_is_used_wrongly_ends_with_2(venom: Venom, arguments: tuple[str, ...]) -> None:
    assert venom("map", *arguments).exit_code == 2


async def test_ctrl_c_cancels_the_run(venom: Venom, broker: MessageBroker) -> None:
    assert venom is not None  # it sets the environment
    command = [sys.executable, "-m", "venom_core.cli", "map", "greet", "-", "--run-id", "mine"]
    process = subprocess.Popen(  # noqa: ASYNC220 - it is started at once
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdin is not None
    process.stdin.write(b'{"name": "a"}\n{"name": "b"}\n')
    process.stdin.close()

    async def waits() -> bool:
        return bool((await broker.get_queue_stats())["tasks_pending"] == 2)

    await until_so(waits)
    process.send_signal(signal.SIGINT)
    await until(lambda: process.poll() is not None)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        said = process.stderr.read().decode()
    assert process.returncode == 130, said
    assert "run mine is cancelled: 2 of 2 items had not ended" in said
    assert (await broker.get_queue_stats())["tasks_pending"] == 0
