"""The screens in the documents are what the commands show, played again on real terminals."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

import click
import pytest

from tests.cli.screens import FOLDER, Session, masked, play
from tests.cli.terminal import Screen
from venom_core.cli import main

pytestmark = pytest.mark.timeout(400)

# Attributes, the default colour, and those of the terminal's own colours that light and dark themes keep readable:
# yellow, white and black are not among them.
READABLE = {"", "0", "1", "2", "22", "31", "32", "34", "35", "36", "39"}
SHOWN_ELSEWHERE = {"demo"}  # docs/picture.txt is a whole run of it


@pytest.fixture(scope="module")
def session() -> Session:
    return play()


def test_the_screens_of_the_documents_are_what_is_shown(session: Session) -> None:
    kept = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt")}
    assert sorted(kept) == sorted(session.screens), "run: python -m tests.cli.screens"
    differences = [
        line
        for name, screen in session.screens.items()
        for line in difflib.unified_diff(masked(kept[name]), masked(screen), name, name, n=1, lineterm="")
    ]
    assert differences == [], "\n".join([*differences, "run: python -m tests.cli.screens"])


def leaves(command: click.Command, *names: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, *names, name)
    else:
        yield " ".join(names)


def test_every_command_has_a_screen() -> None:
    shown = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt"))
    missing = [name for name in leaves(main) if not re.search(rf"^\$ venom {name}\b", shown, re.MULTILINE)]
    assert set(missing) == SHOWN_ELSEWHERE


def test_colours_are_readable_on_light_and_dark(session: Session) -> None:
    assert session.colours & {"31", "32", "36"}
    assert session.colours - READABLE == set()


def test_no_screen_holds_a_secret_or_a_path_of_one_machine() -> None:
    for path in FOLDER.glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"://:(?!PASSWORD-OF)[^@\s]+@", text), path
        assert not re.search(r"SHARED_TOKEN=(?!TOKEN-OF)\w", text), path


def test_what_differs_from_run_to_run_is_masked_and_nothing_else() -> None:
    one = "id 1a1fec9fad70000085a95f3c62 at 2026-11-21 15:46:55.221 took 3.2s   process 12 ok"
    other = "id 1a1fec9fad70000085a95f3c63 at 2027-01-01 00:00:00.001 took 13.9s process 4711 ok"
    assert masked(one) == masked(other)
    assert masked(one) != masked(one.replace("ok", "fail"))
    assert masked("b | second\na | first\nown") == ["own", "a | first", "b | second"]


def test_the_terminal_of_the_tests_does_what_a_terminal_does() -> None:
    screen = Screen(10)
    screen.feed("one\r\ntwo\x1b[1A\rONE\x1b[K\n")
    screen.feed("\x1b[31mred\x1b")
    screen.feed("[0m 5678901")
    assert screen.text() == "ONE\nred 567890\n1\n"
    assert {"31", "0"} <= screen.colours
    screen.feed("\x1b[?1049h\x1b[Hother\x1b[2J")
    assert screen.text() == "\n"
    screen.feed("\x1b[?1049l\x1b[2K!")
    assert screen.text() == "ONE\nred 567890\n !\n"
