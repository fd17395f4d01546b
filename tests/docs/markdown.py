"""Reading the documents: blocks of code with what a comment above them says, links, and table rows.

A comment right above a block says how to treat it:

    <!-- example: name -->              it belongs to the example `name` of its document
    <!-- example: name; exits: 1 -->    the same, and its last command ends with this code
    <!-- output -->                     it is what the block before it prints; … stands for anything
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.tidy.source import ROOT

_FENCE = re.compile(r"^```(\S*)[ \t]*$(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_COMMENT_ABOVE = re.compile(r"<!-- ([^\n]*?) -->\s*\Z")
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its fence."""

    document: str
    line: int
    language: str
    text: str
    example: str
    exits: int
    is_output: bool

    @property
    def place(self) -> str:
        return f"{self.document}:{self.line}"


@cache
def documents() -> tuple[str, ...]:
    """Every document whose examples are run, by its path from the project folder."""
    return ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))


@cache
def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@cache
def blocks(document: str) -> tuple[Block, ...]:
    """The fenced blocks of a document, in order."""
    return tuple(_block(document, found) for found in _FENCE.finditer(text_of(document)))


def _block(document: str, found: re.Match[str]) -> Block:
    above = text_of(document)[: found.start()]
    line = above.count("\n") + 1
    comment = _COMMENT_ABOVE.search(above)
    said = dict(part.partition(": ")[::2] for part in comment[1].split("; ")) if comment else {}
    return Block(
        document,
        line,
        found[1],
        found[2].removeprefix("\n"),
        said.get("example", f"line {line}"),
        int(said.get("exits", "0")),
        "output" in said,
    )


def prose(document: str) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", text_of(document))


def links(document: str) -> Iterator[str]:
    """Targets of links and pictures."""
    for found in _LINK.finditer(prose(document)):
        yield found[1] or found[2]


def anchors(document: str) -> set[str]:
    """What a link may say after `#`, made from the headings as GitHub makes it."""
    found = (
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(document))
    )
    return set(found)


def rows(document: str, first: str = r"`") -> list[str]:
    """Table rows whose first cell begins with `first`."""
    return re.findall(rf"^\| {first}.*\|$", text_of(document), re.MULTILINE)
