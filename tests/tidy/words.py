"""Words that no file may hold, and words that need a reason beside them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.tidy.source import Source

# The patterns are spelled so that they do not match themselves.
REGISTRIES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|deb[.]debian[.]org|security[.]debian[.]org|crates[.]io"
    r"|(?:^|\s)--(?:extra-)?index-url\b|(?:^|\s)--find-links\b"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(?:(?:root|work)(?![\w-])|(?:home|Users|tmp)/\w)")
LEFTOVERS = re.compile(r"\b(?:T[O]DO|F[I]XME|H[A]CK)\b")
VAGUE_STEMS = re.compile(r"(?:^|_)(?:utils?|helpers?|misc|common|stuff)$|^managers?$")
VAGUE_CLASSES = re.compile(r"(?:Utils?|Helpers?|Manager)$")
# The documents that the project comes from name these.
GIVEN_NAMES = frozenset({"NodeManager", "OTAManager", "StackManager"})

SUPPRESSION = re.compile(
    r"#\s*(?:type:\s*ignore(?:\[[\w, -]*\])?|noqa(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?|pragma:\s*no\s+(?:cover|branch))"
)
REASON = re.compile(r"[a-z]{2,}.*\s\w|\w{8,}")
SKIPS = frozenset({"skip", "skipif", "xfail"})


def _lines(source: Source, pattern: re.Pattern[str], fault: str) -> list[str]:
    return [
        source.at(number, f"{fault}: {found.group().strip()}")
        for number, line in enumerate(source.text.splitlines(), 1)
        if (found := pattern.search(line))
    ]


def registry_addresses(source: Source) -> list[str]:
    return _lines(source, REGISTRIES, "address of a registry")


def machine_paths(source: Source) -> list[str]:
    return _lines(source, MACHINE_PATHS, "path of one machine")


def leftovers(source: Source) -> list[str]:
    return _lines(source, LEFTOVERS, "unfinished work belongs to an issue")


def vague_names(source: Source) -> list[str]:
    faults = []
    if VAGUE_STEMS.search(PurePosixPath(source.path).stem):
        faults.append(source.at(1, "the name of this file says nothing"))
    return faults + [
        source.at(node.lineno, f"the name {node.name} says nothing")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and VAGUE_CLASSES.search(node.name) and node.name not in GIVEN_NAMES
    ]


def _comments(source: Source) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def bare_suppressions(source: Source) -> list[str]:
    """A switched-off check says why, in the same comment: `# noqa: BLE001 - the supervisor decides anew`."""
    return [
        source.at(number, f"says no reason: {comment}")
        for number, comment in _comments(source)
        if SUPPRESSION.search(comment) and not REASON.search(SUPPRESSION.sub("", comment))
    ]


def _mark(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def bare_skips(source: Source) -> list[str]:
    faults = []
    for node in ast.walk(source.tree):
        for decorator in getattr(node, "decorator_list", []):
            call = decorator if isinstance(decorator, ast.Call) else None
            reasoned = call is not None and any(word.arg == "reason" for word in call.keywords)
            if _mark(call.func if call else decorator) in SKIPS and not reasoned:
                faults.append(source.at(decorator.lineno, "a skipped test says why: reason=..."))
    return faults
