from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builtin.loopback import Loopback
from tests.hives import altered, done, ended, running
from tests.processes import ROOT, NodeProcess
from venom_core.config import Settings
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore import main as main_module
from venom_spore.builtin.skill_set import built_in, skills, tools
from venom_spore.skills import load_skills

NAMES = {
    "fetch", "extract", "summarise", "read_file", "write_file", "list_files", "scan_path", "shell", "map_task",
    "parallel_task",
}  # fmt: skip


def test_the_built_in_set_holds_every_skill_and_each_says_what_it_does() -> None:
    assert set(skills.names()) == NAMES
    assert all(skill.function.__doc__ for skill in (*skills, *tools(Settings.load())))


def test_it_joins_with_skills_of_ones_own() -> None:
    both = load_skills(f"{main_module.BUILT_IN},tests.spore.worker_skills:skills")
    assert {*NAMES, "in_loop", "in_process"} <= set(both.names())
    assert all(skill.origin for skill in both)


def test_a_spore_with_skills_of_its_own_loads_nothing_of_it() -> None:
    script = (
        "import sys; from venom_spore.main import load_skills; load_skills('tests.recovery.skills:skills');"
        "print([name for name in sys.modules if name.startswith(('httpx', 'venom_spore.builtin', 'trafilatura'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_built_in_set_loads_no_library_that_only_reading_a_page_needs() -> None:
    script = "import sys, venom_spore.builtin.skill_set; print('trafilatura' in sys.modules, 'lxml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


async def test_a_spore_fetches_pages_and_keeps_files(joined: Settings, broker: MessageBroker, web: Loopback) -> None:
    web.on("/a", "<p>zażółć</p>")
    async with running(built_in(joined), joined):
        page = await done(broker, "fetch", {"url": f"{web.address}/a"})
        assert page["text"] == "<p>zażółć</p>"
        assert await done(broker, "write_file", {"path": "in/a.html", "content": page["text"]}) == {
            "path": "in/a.html",
            "bytes": 17,
        }
        assert await done(broker, "read_file", {"path": "in/a.html"}) == page["text"]
        listed = await done(broker, "list_files", {"path": "in"})
    assert listed == {"path": "in", "files": [{"name": "a.html", "kind": "file", "size": 17}], "more": False}
    assert (Path(joined.hive_workspace) / "in/a.html").read_text() == "<p>zażółć</p>"


@pytest.mark.parametrize(
    ("task_type", "payload", "words"),
    [
        ("fetch", {"url": "http://169.254.169.254/latest/meta-data/"}, "Forbidden: '169.254.169.254' leads to"),
        ("fetch", {"url": "file:///etc/passwd"}, "InvalidTask: file:///etc/passwd is no http or https address"),
        ("read_file", {"path": "../secret"}, "Forbidden: '../secret' has '..' in it"),
        ("shell", {"command": ["id"]}, "Forbidden: this node runs no programs; set HIVE_SHELL_ENABLED=true"),
        ("shell", {"command": "id; rm -rf ."}, "InvalidTask: payload of 'shell': expected array, got str"),
        ("write_file", {"path": "a"}, "InvalidTask: payload of 'write_file': missing key 'content'"),
    ],
)
async def test_what_is_refused_fails_once_with_one_sentence(
    joined: Settings, broker: MessageBroker, task_type: str, payload: dict[str, Any], words: str
) -> None:
    async with running(built_in(joined), joined):
        task = await ended(broker, await broker.enqueue_task(task_type, payload))
    assert (task.status, task.attempt) == ("failed", 1)
    assert task.error is not None
    assert task.error.startswith(words)
    assert "\n" not in task.error


async def test_a_spore_that_is_given_no_skills_installs_the_built_in_ones(
    joined: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    """As a process, and so on the event loop that a Spore really has."""
    with NodeProcess("venom_spore.main", "bare", altered(joined, hive_shell_enabled=True), tmp_path) as spore:
        await spore.said("bare joined with")
        assert (await done(broker, "write_file", {"path": "a.txt", "content": "a"}))["bytes"] == 1
        assert (await done(broker, "scan_path", {"contains": "A"}))["matches"][0]["path"] == "a.txt"
        echoed = await done(broker, "shell", {"command": ["cat", "a.txt", "missing"]})
        assert (echoed["exit_code"], echoed["stdout"]) == (1, "a")
        slow = await broker.enqueue_task("shell", {"command": ["sleep", "600"], "timeout": 0.3}, max_retries=0)
        assert str((await ended(broker, slow)).error).startswith("TaskTimeout: sleep took longer than 0.3 s")
        page = await done(broker, "extract", {"html": "<p>One sentence is here.</p>"})
        assert page["text"] == "One sentence is here."


# ------------------------------------------------------------------------------------------------ items of a run


async def results(broker: MessageBroker, items: list[str], skill: str) -> list[Any]:
    answer = json.loads(await ParallelSkill(broker).map_reduce("As it says", items, skill=skill, wait_timeout=60))
    return [line["result"] or line["error"] for line in answer["results"]]


async def test_the_items_of_a_map_reduce_are_worked_on_by_the_skill_of_that_name(
    joined: Settings, broker: MessageBroker, web: Loopback
) -> None:
    page = web.on("/a", "<h1>One</h1><p>A first sentence is here. And a second one.</p>")
    async with running(built_in(joined), joined):
        await done(broker, "write_file", {"path": "in/a.txt", "content": "one"})
        assert (await results(broker, [page], "fetch"))[0]["url"] == page
        assert "first sentence" in (await results(broker, [page], "extract"))[0]["text"]
        of_page, of_text = await results(broker, [page, "One is said. Two is said."], "summarise")
        assert of_page["url"] == page
        assert of_text["summary"] == "One is said. Two is said."
        assert await results(broker, ["in/a.txt"], "read_file") == ["one"]
        assert [found["files"] for found in await results(broker, ["in", "in/a.txt"], "scan_path")] == [1, 1]
        assert "'..' in it" in (await results(broker, ["../a"], "read_file"))[0]


@pytest.mark.parametrize(
    ("task_type", "payload", "words"),
    [
        ("fetch", {}, "give url, or item in its place, and not both"),
        ("fetch", {"url": "a", "item": "b"}, "give url, or item in its place, and not both"),
        ("read_file", {}, "give path, or item in its place, and not both"),
        ("extract", {}, "extract takes the url of a page, or its html"),
        ("extract", {"url": "a", "item": "b"}, "give url, or item in its place, and not both"),
        ("summarise", {"text": "a", "item": "b"}, "summarise takes one of url, text and item"),
        ("scan_path", {"path": "a", "item": "b"}, "give path, or item in its place, and not both"),
    ],
)
async def test_two_names_for_one_thing_are_not_both_taken(
    joined: Settings, broker: MessageBroker, task_type: str, payload: dict[str, Any], words: str
) -> None:
    async with running(built_in(joined), joined):
        task = await ended(broker, await broker.enqueue_task(task_type, payload))
    assert task.error == f"InvalidTask: {words}"
