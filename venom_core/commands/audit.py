"""`venom audit`: read the hash-chained audit of a node or a Nexus, and find out whether anybody changed it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from venom_core.audit_chain import COPIED, Entry, Head, older, read_entries, read_head, verify
from venom_core.commands.frame import Commands, json_option, watch_option
from venom_core.commands.screen import Listing, keep_showing, print_json, print_listing, several
from venom_core.config import Settings
from venom_core.errors import AuditBroken, InvalidSetting
from venom_core.infrastructure.audit_pen import HEAD_SEEN

LINES, LINES_MAX = 100, 100_000
COLUMNS = ("seq", "at", "node", "event", "actor", "detail")


@click.group(cls=Commands)
def audit() -> None:
    """What was refused, accepted and changed, in a log that cannot be altered unseen."""


@audit.command(name="show")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--event", default="", help="Only lines of this event.")
@click.option("--lines", type=click.IntRange(1, LINES_MAX), default=LINES, show_default=True, help="The last so many.")
@json_option
@watch_option
def show_lines(file: Path | None, event: str, lines: int, as_json: bool, watch: float | None) -> None:
    """The last lines of FILE (default: HIVE_AUDIT_FILE); exit code 1, after them, if anybody changed it."""
    path = _path(file)

    async def look() -> Listing:
        found = await asyncio.to_thread(_last, path, event, lines)
        words = [COPIED.sub("", each.detail) for each in found]
        rows = [(each.seq, each.at[:19], each.node, each.event, each.actor, said)
                for each, said in zip(found, words, strict=True)]  # fmt: skip
        return Listing([asdict(each) for each in found], COLUMNS, rows, "No such line.")

    if watch is None:
        print_listing(asyncio.run(look()), as_json=as_json)
        _check(path, ())
    else:
        asyncio.run(keep_showing(look, watch, as_json=as_json))


@audit.command(name="verify")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--witness", "witnesses", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="A Nexus's audit, or a .head file kept elsewhere: shows whether the end was cut off. May be given again.",
)  # fmt: skip
@json_option
def verify_lines(file: Path | None, witnesses: tuple[Path, ...], as_json: bool) -> None:
    """Check every line of FILE (default: HIVE_AUDIT_FILE); exit code 1 if it was changed."""
    path = _path(file)
    end, seen = _check(path, witnesses)
    if as_json:
        print_json({"file": str(path), "lines": end.seq, "head": end.hash, "heads_seen": seen})
    else:
        click.echo(f"{path}: {several(end.seq, 'line')}, none changed; {_compared(seen)}")
        click.echo(f"head {end.seq} {end.hash}")


def _check(path: Path, witnesses: Sequence[Path]) -> tuple[Head, int]:
    """The end of a log that nobody changed, and how many heads that were seen of it are in it; `AuditBroken`."""
    nodes = {entry.node for entry in read_entries(path) if entry is not None}
    seen = [head for witness in witnesses for head in _heads(witness, nodes)]
    own = path.with_name(f"{path.name}.head")
    if own.exists():
        seen += _heads(own, nodes)
    return verify(path, seen), len(seen)


def _compared(seen: int) -> str:
    if not seen:
        return "there was no head to compare it with"
    return f"{several(seen, 'head')} that {'was seen is' if seen == 1 else 'were seen are'} in it"


def _path(file: Path | None) -> Path:
    found = file or Path(Settings.load().hive_audit_file)
    if found == Path():
        raise InvalidSetting("name the file of an audit, or set HIVE_AUDIT_FILE")
    return found


def _last(path: Path, event: str, lines: int) -> list[Entry]:
    found: deque[Entry] = deque(maxlen=lines)
    for part in [*older(path), path]:
        found.extend(entry for entry in read_entries(part) if entry is not None and event in ("", entry.event))
    return list(found)


def _heads(witness: Path, nodes: set[str]) -> list[Head]:
    """Heads in a file: one as text, or those that these nodes told a Nexus."""
    if witness.suffix == ".head":
        try:
            return [read_head(witness.read_text(encoding="ascii"))]
        except (OSError, UnicodeDecodeError) as fault:
            raise AuditBroken(f"{witness} cannot be read: {fault}") from None
    verify(witness)
    found = [
        read_head(" ".join(entry.detail.split()[:2]))
        for part in [*older(witness), witness]
        for entry in read_entries(part)
        if entry is not None and entry.event == HEAD_SEEN and entry.actor in nodes
    ]
    if not found:
        raise AuditBroken(f"{witness} holds no head of this log, so it is no witness of it; name another one")
    return found
