"""A release whose skills the node's worker could not import is refused before anything is stopped for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.updater.releasing import NODE, Home, Releaser
from tests.updater.test_refusals import refused
from venom_core.ota.refusal import Code
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import StateFile
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Exit
from venom_spore.updater.skills_import import IMPORT_S, IMPORT_S_MAX, ORIGINS_MAX, WorkerSkills

GOOD = "from venom_spore.skills import SkillSet\nskills = SkillSet()\n"


def node_with(text: str, **more: float) -> Node:
    return replace(NODE, skills=replace(WorkerSkills.read(text), **more))  # type: ignore[arg-type]  # seconds alone


def refusal(home: Home, releaser: Releaser, body: str, skills: str = "our_skills:skills", **more: float) -> str:
    """The words with which a release of this module is refused; nothing is left of it."""
    releaser.release("1.0.0", {"our_skills.py": body})
    words = refused(home, lambda: home.look(node_with(skills, **more)), Code.DOES_NOT_START)
    assert StateFile(home.layout).load().phase is Phase.IDLE
    return words


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise RuntimeError('oops')\n", "importing its skills (our_skills:skills) failed: RuntimeError: oops"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("VERSION = 1\n", "module 'our_skills' has no attribute 'skills'"),
        ("import os; os._exit(0)\n", "ended the process; a release's modules may not exit"),
        ("import os; os._exit(9)\n", "ended the process with exit code 9"),
    ],
)
def test_skills_that_do_not_import_are_refused_with_the_reason(
    body: str, why: str, home: Home, releaser: Releaser
) -> None:
    assert why in refusal(home, releaser, body)


def test_an_import_that_hangs_is_killed_with_all_it_started(home: Home, releaser: Releaser, tmp_path: Path) -> None:
    alive = tmp_path / "pid"
    body = (
        "import subprocess, time\n"
        f"open({str(alive)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))\n"
        "time.sleep(600)\n"
    )
    assert "took more than 3 s" in refusal(home, releaser, body, limit_s=3.0)
    status = Path(f"/proc/{alive.read_text()}/stat")
    assert not status.exists() or ") Z " in status.read_text()


def test_what_the_import_says_hides_what_its_environment_holds(
    home: Home, releaser: Releaser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is imported with the worker's environment, and its words go to a log and an audit."""
    monkeypatch.setenv("OUR_DATABASE_URL", "postgres://us:hunter2222@db/x")
    words = refusal(home, releaser, "import os\nraise RuntimeError(os.environ['OUR_DATABASE_URL'])\n")
    assert "RuntimeError: ***" in words
    assert "hunter2222" not in json.dumps(home.events)


def test_skills_get_what_their_worker_gets(
    home: Home, releaser: Releaser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its variables, its folder, modules beside it; but no PYTHONPATH, which a release does not have."""
    (tmp_path / "beside.py").write_text("BESIDE = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUR_MODE", "there")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    body = (
        "import os, beside\n"
        "assert os.environ['OUR_MODE'] == 'there' and 'PYTHONPATH' not in os.environ\n"
        "assert os.environ['VENOM_RELEASE'].startswith('1.0.0-') and 'VENOM_RELEASE_LINK' not in os.environ\n"
        f"assert os.getcwd() == {str(tmp_path)!r}\n"
    )
    releaser.release("1.0.0", {"our_skills.py": body + GOOD})
    assert home.look(node_with("our_skills:skills"))


def test_skills_that_are_not_of_the_release_are_found_where_the_worker_finds_them(
    home: Home, releaser: Releaser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    releaser.release("1.0.0", {"other.py": "X = 1\n"})
    assert home.look(node_with("mine:skills, venom_spore.builtin.skill_set:skills"))


def test_a_thread_that_an_import_starts_holds_nothing_up(home: Home, releaser: Releaser) -> None:
    body = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    releaser.release("1.0.0", {"our_skills.py": body + GOOD})
    assert home.look(node_with("our_skills:skills"))


def test_what_crashes_only_at_the_start_of_a_spore_is_left_to_the_trial(home: Home, releaser: Releaser) -> None:
    body = "import os\nif 'VENOM_RELEASE_LINK' in os.environ:\n    os._exit(3)\n"
    releaser.release("1.0.0", {"our_skills.py": body + GOOD})
    assert home.look(node_with("our_skills:skills")).exit is Exit.STAGED


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        (" a.b:skills , c:d,", ("a.b:skills", "c:d")),
        ("a.py", ()),
        ("--help:x", ()),
        ("a:b,../c:d", ()),
        (f"{'a' * 400}:b", ()),
        (",".join(["a:b"] * (ORIGINS_MAX + 1)), ()),
    ],
)
def test_only_what_a_worker_would_start_with_is_imported(text: str, origins: tuple[str, ...]) -> None:
    assert WorkerSkills.read(text).origins == origins


@pytest.mark.parametrize(("ready_s", "limit_s"), [(5.0, IMPORT_S), (300.0, 300.0), (1e9, IMPORT_S_MAX)])
def test_an_import_may_take_as_long_as_the_launcher_waits_for_a_worker(ready_s: float, limit_s: float) -> None:
    assert WorkerSkills.read("a:b", ready_s).limit_s == limit_s
