"""The units of systemd: read by systemd's own judge, and held against what the commands need.

They are not started here: that takes a machine which systemd booted.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT
from venom_core.config import Settings

UNITS = sorted((ROOT / "scripts" / "systemd").glob("*.service"))
INSTALLED = "/opt/venom-hive/.venv/bin/"
# systemd's score of what a service could do to its machine, 0 to 10; a unit without any hardening has 9.6.
EXPOSURE_MAX = 2.0


@pytest.fixture
def judge() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is not installed; .ci/run installs it")
        pytest.skip("systemd-analyze is not installed")
    return found


def ask(judge: str, *words: str | Path) -> str:
    done = subprocess.run([judge, *words], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def value(unit: Path, name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1, f"{unit.name}: {name} is given {len(found)} times"
    return str(found[0])


def here(unit: Path, folder: Path) -> Path:
    """The unit with the commands of this environment."""
    copy = folder / unit.name
    copy.write_text(unit.read_text(encoding="utf-8").replace(INSTALLED, f"{Path(sys.executable).parent}/"))
    return copy


def test_there_is_one_for_each_daemon() -> None:
    assert [unit.name for unit in UNITS] == ["venom-launcher@.service", "venom-nexus.service", "venom-spore@.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(judge: str, unit: Path, tmp_path: Path) -> None:
    copy = here(unit, tmp_path)
    assert ask(judge, "verify", "--man=no", copy) == ""
    copy.write_text(copy.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHom="))
    assert "Unknown key 'ProtectHom'" in ask(judge, "verify", "--man=no", copy)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_may_little(judge: str, unit: Path, tmp_path: Path) -> None:
    said = ask(judge, "security", "--offline=true", here(unit, tmp_path))
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure, said
    assert float(exposure[1]) <= EXPOSURE_MAX


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_with_options_that_it_has(unit: Path) -> None:
    command, *options = value(unit, "ExecStart").replace("%H", "host").replace("%i", "1").split()
    assert command.startswith(INSTALLED)
    known = [word for word in options if not word.startswith("$")]
    program = Path(sys.executable).parent
    if "--" in known:  # what is behind it is for the Spore
        behind = known[known.index("--") + 1 :]
        known = known[: known.index("--")]
        assert _says_help([str(program / "venom-spore"), *behind])
    assert _says_help([str(program / Path(command).name), *known])


def _says_help(command: list[str]) -> bool:
    """Options that it does not have are found before it helps."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False, timeout=60)
    wrong = subprocess.run([*command, "--no-such-option"], capture_output=True, check=False, timeout=60)
    shown = {word for word in command[1:] if word.startswith("--")}
    return done.returncode == 0 and wrong.returncode == 2 and all(option in done.stdout for option in shown)


def test_a_spore_is_given_time_to_drain() -> None:
    drain_s = Settings.load().hive_drain_timeout
    for unit in (UNITS[0], UNITS[2]):
        assert float(value(unit, "TimeoutStopSec")) > drain_s
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    grace = re.search(r"stop_grace_period: (\d+)s", compose)
    assert grace
    assert float(grace[1]) > drain_s
