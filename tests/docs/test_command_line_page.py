"""The page of the command line says of every command whether it speaks JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from tests.docs.markdown import text_of
from venom_core.cli import main

PAGE = text_of("docs/command-line.md")


def _leaves(command: click.Command, *names: str) -> Iterator[tuple[str, set[str]]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _leaves(below, *names, name)
    else:
        yield " ".join(names), {option for parameter in command.params for option in parameter.opts}


def _named(heading: str) -> list[str]:
    """The commands in a paragraph, without what it says of options."""
    paragraph = PAGE.partition(f"**{heading}**")[2].partition("\n\n")[0]
    return sorted(set(re.findall(r"`([a-z][^`]*)`", paragraph)))


def test_whatever_prints_json_is_named_and_nothing_else() -> None:
    options = dict(_leaves(main))
    listings = {name for name, found in options.items() if {"--json", "--watch"} <= found}
    assert set(_named("Listings")) == listings | {"top"}
    answers = {name for name, found in options.items() if "--json" in found} - listings
    assert _named("One answer") == sorted(answers)
