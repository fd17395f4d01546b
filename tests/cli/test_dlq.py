from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Venom
from tests.cli.households import VENOM
from tests.cli.terminal import Terminal
from venom_core.commands import dlq
from venom_core.infrastructure.message_broker import MessageBroker


async def bury(broker: MessageBroker, task_id: str, error: str, task_type: str = "work", **options: Any) -> None:
    """Have a task fail for good."""
    await broker.enqueue_task(task_type, {"number": 1}, task_id=task_id, **options)
    assert await broker.next_task(timeout=20) is not None
    await broker.update_task_status(task_id, "failed", error=error)


@pytest.fixture
async def _buried(broker: MessageBroker) -> None:
    await bury(broker, "one", "Timeout: too slow\nsecond line")
    await bury(broker, "two", "ValueError: bad\x1b number", "other", priority=7, timeout=9)


def listed(venom: Venom, *query: str) -> list[str]:
    return [letter["task_id"] for letter in json.loads(venom("dlq", "list", "--json", *query).stdout)]


@pytest.mark.usefixtures("_buried")
def test_dead_letters_are_listed_newest_first_in_lines_that_cannot_steer_the_terminal(venom: Venom) -> None:
    assert listed(venom) == ["two", "one"]
    lines = venom("dlq", "list").stdout.splitlines()
    assert len(lines) == 3
    assert r"ValueError: bad\x1b number" in lines[1]
    assert "Timeout: too slow" in lines[2]
    assert "second line" not in lines[2]


@pytest.mark.usefixtures("_buried")
def test_an_error_is_cut_where_somebody_looks_and_nowhere_else(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq, "ERROR_CHARS", 10)
    assert r"ValueError: bad\x1b number" in venom("dlq", "list").stdout
    monkeypatch.setattr(dlq, "console", lambda: SimpleNamespace(is_terminal=True))
    assert "ValueErro…" in venom("dlq", "list").stdout


@pytest.mark.usefixtures("_buried")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        (("--type", "other"), ["two"]),
        (("--error", "TIMEOUT"), ["one"]),
        (("--error", "nothing of the kind"), []),
        (("--since", "1h"), ["two", "one"]),
        (("--since", "2000-01-01"), ["two", "one"]),
        (("--since", "2999-01-01T00:00"), []),
        (("--type", "other", "--error", "slow"), []),
        (("--limit", "1"), ["two"]),
    ],
)
def test_dead_letters_are_asked_for(venom: Venom, query: tuple[str, ...], found: list[str]) -> None:
    assert listed(venom, *query) == found


def test_there_may_be_none(venom: Venom) -> None:
    result = venom("dlq", "list")
    assert (result.stdout, result.stderr) == ("", "There is none.\n")
    assert "--since is an ISO 8601 time" in venom("dlq", "list", "--since", "soon").stderr


@pytest.mark.usefixtures("_buried")
def test_one_is_shown_with_its_payload_and_its_whole_error(venom: Venom) -> None:
    shown = venom("dlq", "show", "one").stdout
    assert 'payload        {"number": 1}' in shown
    assert shown.endswith("Timeout: too slow\nsecond line\n")
    assert json.loads(venom("dlq", "show", "one", "--json").stdout)["error"].endswith("second line")
    assert "nope is no dead letter; list them with: venom dlq list" in venom("dlq", "show", "nope").stderr


@pytest.mark.usefixtures("_buried")
def test_named_letters_are_put_back_or_forgotten_without_a_question(venom: Venom) -> None:
    assert venom("dlq", "requeue", "one").stdout == "1 put back in line\n"
    assert venom("dlq", "purge", "two").stdout == "1 forgotten\n"
    assert listed(venom) == []


@pytest.mark.usefixtures("_buried")
@pytest.mark.parametrize(("command", "said"), [("requeue", "1 put back in line\n"), ("purge", "1 forgotten\n")])
def test_what_is_asked_for_is_changed_after_a_confirm(venom: Venom, command: str, said: str) -> None:
    unanswered = venom("dlq", command, "--error", "slow")
    assert unanswered.exit_code == 2
    assert "1 dead letter? " in unanswered.stderr
    assert "repeat it with --yes" in unanswered.stderr
    assert venom("dlq", command, "--error", "slow", "--yes").stdout == said
    assert listed(venom) == ["two"]


@pytest.mark.usefixtures("_buried")
@pytest.mark.parametrize(("command", "said"), [("requeue", "2 put back in line\n"), ("purge", "2 forgotten\n")])
def test_all_of_them_must_be_asked_for(venom: Venom, command: str, said: str) -> None:
    assert venom("dlq", command).exit_code == 2
    assert venom("dlq", command, "one", "--all").exit_code == 2
    assert venom("dlq", command, "one", "--type", "work").exit_code == 2
    assert venom("dlq", command, "--all", "--yes").stdout == said
    assert venom("dlq", command, "--all").stdout.startswith("0 "), "nothing to ask about"


@pytest.mark.usefixtures("_buried")
async def test_an_edited_letter_is_a_new_task_with_the_old_options(venom: Venom, broker: MessageBroker) -> None:
    new_id = (await asyncio.to_thread(venom, "dlq", "edit", "two", "number=2", "text=a=b")).stdout.strip()
    assert new_id.startswith("two-")
    task = await broker.get_task_status(new_id)
    assert task is not None
    assert task.payload == {"number": 2, "text": "a=b"}
    assert (task.task_type, task.priority, task.timeout, task.parent_id) == ("other", 7, 9.0, "two")
    assert await asyncio.to_thread(listed, venom) == ["one"]
    whole = (await asyncio.to_thread(venom, "dlq", "edit", "one", "--json", '{"all": "new"}')).stdout.strip()
    replaced = await broker.get_task_status(whole)
    assert replaced is not None
    assert replaced.payload == {"all": "new"}


@pytest.mark.usefixtures("_buried")
def test_an_edit_says_what_is_wrong_with_it(venom: Venom) -> None:
    for arguments in (("number",), ("=1",), ("a=1", "a=2"), ("a=1", "--json", "{}"), ()):
        assert venom("dlq", "edit", "one", *arguments).exit_code == 2
    assert "the payload is not JSON" in venom("dlq", "edit", "one", "--json", "{").stderr
    assert listed(venom) == ["two", "one"]


@pytest.mark.usefixtures("_buried")
@pytest.mark.parametrize(
    ("change", "code", "said"), [("s/1/23/", 0, "one-"), ("", 1, "nothing was saved in the editor")]
)
async def test_without_arguments_an_editor_opens(
    venom: Venom, broker: MessageBroker, tmp_path: Path, change: str, code: int, said: str
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\n[ -z \'{change}\' ] || {{ sed \'{change}\' "$1" > "$1.new"; mv "$1.new" "$1"; }}\n')
    editor.chmod(0o700)
    assert venom is not None  # it sets the environment
    terminal = Terminal([*VENOM, "dlq", "edit", "one"], os.environ | {"EDITOR": str(editor)}, tmp_path)
    try:
        assert await asyncio.to_thread(terminal.end) == code
        shown = terminal.screen.text()
    finally:
        terminal.close()
    assert said in shown
    if code == 0:
        edited = await broker.get_task_status(shown.split()[-1])
        assert edited is not None
        assert edited.payload == {"number": 23}
