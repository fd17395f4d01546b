"""What was installed by hand stays behind every release, also when a release's own code looks for the next one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.updater.releasing import Home, Releaser
from tests.updater.test_look import run_in
from venom_core import __version__
from venom_core.ota.environment import base_site_packages
from venom_core.ota.refusal import UpdateRefused
from venom_spore.launcher.releases import BASE, COMPLETE, read_complete
from venom_spore.updater.base import Base, base_of

LOOK = """
import json, sys
from pathlib import Path
from venom_core.config import Settings
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Look
outcome = Look(Path(sys.argv[1]), Node("n1"), Settings.load(hive_ota_interval=0), lambda event, detail: None).run()
print(json.dumps([outcome.exit, outcome.release or outcome.words]))
"""


def test_in_its_own_environment_a_process_is_the_base(home: Home) -> None:
    assert base_of(home.layout) == Base(base_site_packages(), __version__)


def look_from(home: Home, release: str) -> tuple[int, str]:
    """A look by the code and the interpreter of a release."""
    found = read_complete(home.layout.release(release))
    assert found is not None
    done = subprocess.run(
        [found.python, "-I", "-c", LOOK, str(home.layout.home)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    code, words = json.loads(done.stdout)
    return code, words


@pytest.fixture
def first(home: Home, releaser: Releaser) -> str:
    """A release that runs, whose own venom_core says that it is another version."""
    releaser.release("1.0.0", {"our_skills.py": "VERSION = 'one'\n"})
    name = home.look().release
    home.commit()
    return name


def test_a_release_that_looks_for_the_next_one_leaves_nothing_of_itself_in_it(
    home: Home, releaser: Releaser, first: str
) -> None:
    releaser.release("2.0.0", {"our_skills.py": "VERSION = 'two'\n"}, min_spore=__version__)
    code, second = look_from(home, first)
    assert code == 10
    shutil.rmtree(home.layout.release(first))
    assert run_in(home, second, "import our_skills, venom_spore.main; print(our_skills.VERSION)") == "two"
    [paths] = (home.layout.release(second) / "venv").glob("lib/*/site-packages/venom_release.pth")
    assert str(base_site_packages()) in paths.read_text()


@pytest.mark.parametrize("spoilt", ["gone", "no interpreter", "another"])
def test_a_base_that_does_not_answer_is_one_refusal(spoilt: str, home: Home, releaser: Releaser, first: str) -> None:
    releaser.release("2.0.0")
    complete = home.layout.release(BASE) / COMPLETE
    if spoilt == "gone":
        complete.unlink()
    else:
        python = "/no/such/python" if spoilt == "no interpreter" else shutil.which("true")
        complete.write_text(json.dumps({"version": "0", "python": python}))
    code, words = look_from(home, first)
    assert (code, words.startswith("LOCAL_FAULT: the environment that was installed by hand")) == (20, True)


def test_a_base_that_was_moved_is_asked_where_it_is(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(home.layout.release("1.0.0-0123456789ab") / "venv"))
    assert base_of(home.layout) == Base(base_site_packages(), __version__)
    (home.layout.release(BASE) / COMPLETE).unlink()
    with pytest.raises(UpdateRefused, match="it is not complete"):
        base_of(home.layout)
    assert Path(sys.prefix).name == "venv"


def test_the_floor_outlasts_a_state_that_is_lost(home: Home, releaser: Releaser) -> None:
    for version in ("1.0.0", "2.0.0"):
        releaser.release(version)
        assert home.look()
        home.commit()
    home.look()
    home.layout.state_file.unlink()
    home.layout.current.unlink()
    home.machine.recover()
    assert home.machine.state.current == BASE
    releaser.withdraw("2.0.0")
    assert not home.look()
    # What is signed as a way down is one.
    releaser.repository.add_package(releaser.folder / "packages" / "tasks-1.0.0.zip", downgrade_from=["2.0.0"])
    releaser.repository.publish()
    assert home.look().release.startswith("1.0.0-")
    home.commit()
    releaser.release("1.1.0")
    assert home.look().release.startswith("1.1.0-")
