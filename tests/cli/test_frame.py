"""What every command has: one sentence for an error, --debug, --watch, completion, plain output in a pipe."""

from __future__ import annotations

import errno
import io

import click
import pytest
from click.testing import CliRunner

from tests.cli.conftest import Venom
from tests.servers import free_port
from venom_core.cli import main
from venom_core.commands.completion import SHELLS
from venom_core.commands.frame import Commands, confirm, pairs
from venom_core.commands.screen import Listing, ago, print_listing, print_table
from venom_core.errors import StoreUnavailable


def group(*commands: click.Command) -> Commands:
    made = Commands()
    for command in commands:
        made.add_command(command)
    return made


def raising(fault: BaseException) -> click.Command:
    @click.command("it")
    def command() -> None:
        raise fault

    return command


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (StoreUnavailable("it is away;\x1b start it"), 1, "venom: it is away;\\x1b start it\n"),
        (
            ZeroDivisionError("why"),
            1,
            "venom: ZeroDivisionError: why; run it again with --debug and report what it shows\n",
        ),
        (click.UsageError("no"), 2, None),
        (OSError(errno.EPIPE, "nobody reads"), 1, ""),
    ],
)
def test_an_error_is_one_sentence(fault: BaseException, code: int, said: str | None) -> None:
    result = CliRunner().invoke(group(raising(fault)), ["it"])
    assert result.exit_code == code
    assert said is None or result.stderr == said


def test_a_traceback_is_for_who_asks_for_it(venom: Venom) -> None:
    command = ("nodes", "--redis-url", f"redis://127.0.0.1:{free_port()}")
    plain, debug = venom(*command), venom(*command, "--debug")
    assert plain.exit_code == debug.exit_code == 1
    assert plain.stderr.count("\n") == 1
    assert "Traceback (most recent call last)" in debug.stderr
    assert debug.stderr.splitlines()[-1] == plain.stderr.strip()


def every(command: click.Command, *names: str) -> list[tuple[str, ...]]:
    if isinstance(command, click.Group):
        return [found for name, below in command.commands.items() for found in every(below, *names, name)]
    return [names]


@pytest.mark.parametrize("names", every(main), ids=" ".join)
def test_every_command_says_what_it_does_and_has_debug(names: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*names, "--help"])
    assert shown.exit_code == 0
    assert "--debug" in shown.stdout
    assert shown.stdout.splitlines()[2].strip()


LISTINGS = ["nodes", "queues", "status", "dlq list", "task show", "task logs"]


@pytest.mark.parametrize("listing", LISTINGS)
def test_every_listing_has_json_and_watch(listing: str) -> None:
    shown = CliRunner().invoke(main, [*listing.split(), "--help"]).stdout
    assert "--json" in shown
    assert "--watch" in shown


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_learns_to_complete(shell: str) -> None:
    said = CliRunner().invoke(main, ["completion", shell]).stdout
    assert "_VENOM_COMPLETE" in said
    at = "no" if shell == "fish" else "1"
    asked = {"_VENOM_COMPLETE": f"{shell}_complete", "COMP_WORDS": "venom no", "COMP_CWORD": at}
    done = CliRunner().invoke(main, [], prog_name="venom", env=asked)
    assert "nodes" in done.stdout
    assert "submit" not in done.stdout


def test_a_confirm_needs_somebody_who_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    confirm("Sure?", yes=True)
    with pytest.raises(click.UsageError, match="repeat it with --yes"):
        confirm("Sure?", yes=False)
    for answer, outcome in (("n", 1), ("y", 0)):
        terminal = io.StringIO(f"{answer}\n")
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        assert _asks() == outcome


def _asks() -> int:
    try:
        confirm("Sure?", yes=False)
    except click.Abort:
        return 1
    return 0


def test_pairs_say_what_is_wrong_with_them() -> None:
    assert pairs(("a=1", "b=x")) == {"a": 1, "b": "x"}
    for wrong in (("a",), ("=1",), ("a=1", "a=2")):
        with pytest.raises(click.UsageError):
            pairs(wrong)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0s"), (0.25, "0.2s"), (59.9, "59.9s"), (61, "1m 1s"), (3_700, "1h 1m"), (90_000, "1d 1h")],
)
def test_a_stretch_of_time_in_two_units(seconds: float, text: str) -> None:
    assert ago(seconds) == text


def test_no_line_of_a_table_in_a_pipe_ends_with_a_space(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", "long enough"), ("b", "")]
    print_table(("name", "state"), rows)
    print_listing(Listing(rows, ("name", "state"), rows, title="What there is"), as_json=False)
    said = capsys.readouterr().out
    assert said.count("long enough") == 2
    assert said.endswith("b\n")
    assert [line for line in said.splitlines() if line != line.rstrip()] == []
