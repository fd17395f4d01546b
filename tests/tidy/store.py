"""Keys and scripts: every key has a way to leave, every script declares what it touches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tests.tidy.source import Source

_HEADER = re.compile(r"^-- (keys|uses): *(.*)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_STRING = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"")
_WORD = re.compile(r"\b[A-Z][A-Z_]*\b")


def nameless_ends(keys: Iterable[object]) -> list[str]:
    """Key specs of which one of the four fields is empty."""
    return [
        f"{spec}: {field} is empty"
        for spec in keys
        for field in ("name", "kind", "holds", "leaves_by")
        if not str(getattr(spec, field, "")).strip()
    ]


def header(script: str, field: str) -> list[str]:
    """The words after `-- keys:` or `-- uses:` in a script."""
    return [word for kind, words in _HEADER.findall(script) if kind == field for word in words.split()]


def touched(script: str, fixed: frozenset[str]) -> set[str]:
    """The fixed keys that a script names, comments and strings apart; in Lua they are written in capitals."""
    code = _STRING.sub("''", _COMMENT.sub("", script))
    return {word.lower() for word in _WORD.findall(code)} & fixed


def undeclared_keys(scripts: Iterable[Source], library: Mapping[str, str], fixed: frozenset[str]) -> list[str]:
    """Keys that a script or a part it uses touches and does not declare, or declares and nobody knows."""
    faults = []
    for source in scripts:
        declared = set(header(source.text, "keys"))
        used = header(source.text, "uses")
        faults += [source.at(1, f"uses the unknown part {part}") for part in used if part not in library]
        parts = [source.text, *(library.get(part, "") for part in used)]
        missing = set().union(*(touched(part, fixed) for part in parts)) - declared
        faults += [source.at(1, f"touches {name} and does not declare it") for name in sorted(missing)]
        faults += [source.at(1, f"declares {name}, unknown to keys.py") for name in sorted(declared - fixed)]
    return faults
