"""Listings that renew themselves, and what is said where nobody looks at a screen."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
from collections.abc import Sequence

import pytest
from rich.console import Console

from tests.cli.conftest import Venom
from tests.cli.households import VENOM
from tests.cli.terminal import Terminal
from tests.hives import until
from tests.servers import PrivateServer
from venom_core.commands import screen
from venom_core.commands.screen import Listing, _picture, several, table_of
from venom_core.errors import StoreUnavailable


def piped(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*VENOM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines_of(words: Sequence[str], count: int) -> list[str]:
    """The first lines that a command prints into a pipe; then Ctrl-C, which ends it."""
    process = piped(*words)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        lines = [process.stdout.readline() for _ in range(count)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, process.stderr.read()
    return lines


@pytest.mark.usefixtures("venom")
def test_watched_json_is_a_line_a_look() -> None:
    for line in lines_of(("status", "--json", "--watch", "0.1"), 3):
        assert json.loads(line)["connected"] is True


@pytest.mark.usefixtures("venom")
def test_a_watched_table_in_a_pipe_is_printed_again() -> None:
    lines = lines_of(("status", "--watch", "0.1"), 30)
    assert sum(line.split() == ["what", "number"] for line in lines) >= 2
    assert "\x1b" not in "".join(lines)


@pytest.mark.usefixtures("venom")
def test_top_in_a_pipe_is_shown_once() -> None:
    process = piped("top")
    said, trouble = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (said, "start a hive with" in trouble) == ("", True)


@pytest.mark.usefixtures("venom")
def test_top_as_json_is_one_answer_unless_it_is_said_how_often() -> None:
    said, _ = piped("top", "--json").communicate(timeout=60)
    assert json.loads(said)["nodes"] == []
    for line in lines_of(("top", "--json", "--every", "0.1"), 2):
        assert json.loads(line)["nodes"] == []


def test_a_near_miss_of_a_setting_is_said_by_every_command(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    assert venom("status").exit_code == 0
    monkeypatch.setenv("REDIS_PASWORD", "x")
    said, trouble = piped("status", "--json").communicate(timeout=60)
    assert json.loads(said)["connected"] is True
    assert "REDIS_PASWORD is set but not a setting" in trouble
    assert "call it REDIS_PASSWORD" in trouble


def test_a_screen_goes_on_while_the_server_is_away(
    private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", private_server.url)
    terminal = Terminal([*VENOM, "status", "--watch", "0.1"], os.environ, private_server.data_dir)
    try:
        terminal.until("tasks completed")
        private_server.kill()
        away = terminal.until("cannot be reached")
        assert "tasks completed" in away, "what was seen last stays"
        private_server.restart()
        terminal.until(lambda text: "tasks completed" in text and "cannot be reached" not in text)
        terminal.interrupt()
        assert terminal.end() == 130
        assert "tasks completed" in terminal.screen.text(), "the last look is left where it was"
    finally:
        terminal.close()


async def test_an_empty_listing_says_so_on_the_screen_too() -> None:
    async def nothing() -> Listing:
        return Listing([], nothing="Nothing waits.")

    async def away() -> Listing:
        raise StoreUnavailable("it is away")

    assert str(await _picture(nothing, "before")) == "Nothing waits."
    heard = io.StringIO()
    Console(file=heard).print(await _picture(away, "before"))
    assert heard.getvalue() == "it is away\nbefore\n"
    await asyncio.sleep(0)


def test_a_cell_cannot_steer_the_terminal() -> None:
    heard = io.StringIO()
    Console(file=heard, width=80).print(table_of(("a",), [("\x1b[31mred\n[bold]x",)]))
    assert r"\x1b[31mred\n[bold]x" in heard.getvalue()


def test_one_is_singular() -> None:
    assert [several(count, "Spore") for count in (0, 1, 2_000)] == ["0 Spores", "1 Spore", "2,000 Spores"]
    assert screen.console(err=True).stderr


async def test_a_pipe_that_nobody_reads_ends_quietly(venom: Venom) -> None:
    assert venom is not None  # it sets the environment
    process = piped("status", "--json", "--watch", "0.1")
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stderr:
        process.stdout.readline()
        process.stdout.close()
        await until(lambda: process.poll() is not None)
        assert "Traceback" not in process.stderr.read()
