from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builtin.loopback import Loopback
from tests.hives import altered
from venom_core.config import Settings
from venom_core.errors import Forbidden, InvalidTask
from venom_spore.skill_executor import METHODS, SkillExecutor


async def test_the_documents_methods_read_write_and_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    executor = SkillExecutor(workspace_root="./workspace")
    assert (tmp_path / "workspace").is_dir()
    assert await executor.execute("FileSkill", "list_files", {"path": "."}) == {"path": ".", "files": [], "more": False}
    await executor.execute("FileSkill", "write_file", {"path": "a/b.txt", "content": "zażółć"})
    assert await executor.execute("FileSkill", "read_file", {"path": "a/b.txt"}) == "zażółć"
    listed = await executor.execute("FileSkill", "list_files", {"path": "a"})
    assert [entry["name"] for entry in listed["files"]] == ["b.txt"]
    assert (await executor.execute("FileSkill", "scan_path"))["files"] == 1


async def test_the_shell_runs_a_list_of_words_if_it_is_enabled(own: Settings, tmp_path: Path) -> None:
    run = {"command": ["echo", "a b"], "timeout": 10}
    with pytest.raises(Forbidden, match="set HIVE_SHELL_ENABLED=true"):
        await SkillExecutor(tmp_path, own).execute("ShellSkill", "run", run)
    executor = SkillExecutor(tmp_path, altered(own, hive_shell_enabled=True))
    assert (await executor.execute("ShellSkill", "run", run))["stdout"] == "a b\n"
    with pytest.raises(InvalidTask, match="expected array, got str"):
        await executor.execute("ShellSkill", "run", {"command": "echo a; echo b"})


async def test_pages_come_through_it_too(own: Settings, tmp_path: Path, web: Loopback) -> None:
    page = await SkillExecutor(tmp_path, own).execute("WebSkill", "fetch", {"url": web.on("/a", "hello")})
    assert page["text"] == "hello"


@pytest.mark.parametrize(
    ("skill", "method", "parameters", "words"),
    [
        ("MailSkill", "send", {}, "there is no skill 'MailSkill'; there are FileSkill, ShellSkill, WebSkill"),
        ("os", "system", {"command": "id"}, "there is no skill 'os'"),
        ("FileSkill", "delete", {}, "FileSkill has no method 'delete'; it has read_file, write_file, list_files"),
        ("FileSkill", "__init__", {}, "FileSkill has no method '__init__'"),
        ("FileSkill", "read_file", {}, "missing key 'path'"),
        ("FileSkill", "read_file", {"path": "a", "mode": "w"}, "unexpected key 'mode'"),
        ("FileSkill", "read_file", ["a"], "arguments must be a dict"),
    ],
)
async def test_what_there_is_not_is_one_sentence_that_names_what_there_is(
    own: Settings, tmp_path: Path, skill: str, method: str, parameters: Any, words: str
) -> None:
    with pytest.raises(InvalidTask) as caught:
        await SkillExecutor(tmp_path, own).execute(skill, method, parameters)
    assert words in str(caught.value)


def test_the_capabilities_are_those_of_this_node(own: Settings, tmp_path: Path) -> None:
    found = SkillExecutor(tmp_path, own).get_capabilities()
    assert found["skills"] == ["FileSkill", "WebSkill"]
    assert found["methods"]["FileSkill"] == list(METHODS["FileSkill"])
    assert found["cpu_cores"] >= 1
    assert found["memory_mb"] > 100
    assert found["platform"] in ("linux", "darwin")
    assert {type(found[name]) for name in ("has_gpu", "has_docker")} == {bool}
    enabled = SkillExecutor(tmp_path, altered(own, hive_shell_enabled=True)).get_capabilities()
    assert "ShellSkill" in enabled["skills"]
