"""What a task may write is nothing that a launcher runs or believes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT
from venom_core.errors import InvalidSetting
from venom_spore.launcher import __main__ as launcher
from venom_spore.launcher.commands import worker_command
from venom_spore.launcher.phases import Mode
from venom_spore.launcher.releases import BASE
from venom_spore.release_link import check_workspace

HOSTILE = "raise SystemExit('HOSTILE CODE RUNS')\n"


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder in which somebody put modules of well-known names."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("httpx", "msgspec", "logging", "json", "venom_core", "venom_spore", "redis"):
        (folder / f"{name}.py").write_text(HOSTILE)
    monkeypatch.chdir(folder)
    return folder


def test_the_updater_takes_no_module_from_the_current_folder(cwd: Path) -> None:
    options = launcher._options(launcher._parser().parse_args(["--home", "home"]))
    done = subprocess.run([*options.updater, "--home", str(cwd / "home")], capture_output=True, text=True, check=False)
    assert "HOSTILE" not in done.stdout + done.stderr
    assert "NOT_JOINED" in done.stderr


def test_nor_does_the_worker_of_the_base(cwd: Path) -> None:
    assert worker_command("python", BASE, Mode.PLAIN, ())[1:3] == ["-P", "-m"]
    assert worker_command("python", "1.0-abc", Mode.PLAIN, ())[1:3] == ["-I", "-m"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "venom_spore.main", "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("venom-spore ")


@pytest.mark.parametrize("workspace", [".", "..", "home", "home/trust", "home/releases/1.0-abc/app"])
def test_a_workspace_over_or_in_what_is_believed_is_refused(cwd: Path, workspace: str) -> None:
    with pytest.raises(InvalidSetting, match=r"HIVE_WORKSPACE=.* give it a folder of its own"):
        check_workspace(Path(workspace), cwd / "home")


@pytest.mark.parametrize("workspace", ["workspace", "../elsewhere"])
def test_a_folder_of_its_own_is_fine(cwd: Path, workspace: str) -> None:
    check_workspace(Path(workspace), cwd / "home")


def test_the_unit_keeps_them_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unit = (
        (ROOT / "scripts/systemd/venom-launcher@.service").read_text().replace("%S", str(tmp_path)).replace("%i", "1")
    )
    told = dict(re.findall(r"^(?:Environment=)?(HIVE_WORKSPACE|WorkingDirectory)=(.*)$", unit, re.MULTILINE))
    home = re.search(r"--home (\S+)", unit)
    assert home
    Path(told["WorkingDirectory"]).mkdir(parents=True)
    monkeypatch.chdir(told["WorkingDirectory"])
    check_workspace(Path(told["HIVE_WORKSPACE"]), Path(home[1]))
