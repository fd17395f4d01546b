from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from venom_core import __version__
from venom_core.cli import COMMANDS, main
from venom_core.commands import demo as demo_command
from venom_core.commands.frame import Commands
from venom_core.demo import quickstart
from venom_core.demo.scene import SAMPLE_S, Wishes


def test_every_command_has_a_line_in_the_help() -> None:
    shown = CliRunner().invoke(main, ["--help"]).stdout
    for name in (command.name for command in COMMANDS):
        assert f"\n  {name} " in shown
    assert CliRunner().invoke(main, ["--version"]).stdout.strip().endswith(__version__)


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


def test_ctrl_c_is_no_traceback() -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(Commands(commands={"it": interrupted}), ["it"])
    assert (result.exit_code, result.stderr) == (130, "")


def test_the_demo_takes_a_path_or_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Wishes] = []

    def run(wishes: Wishes) -> int:
        asked.append(wishes)
        return 7

    monkeypatch.setattr(demo_command, "run_quickstart", run)
    for arguments in (["src"], [], ["--all"], ["--sample", "5"]):
        assert CliRunner().invoke(main, ["demo", *arguments]).exit_code == 7
    assert asked == [Wishes(Path("src")), Wishes(), Wishes(everything=True), Wishes(sample_s=5)]
    assert [wishes.sampled for wishes in asked] == [False, True, False, True]
    assert Wishes().sample_s == SAMPLE_S


def test_the_demo_says_how_to_get_the_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quickstart, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 2
    assert "pip install '.[demo]'" in result.stderr
