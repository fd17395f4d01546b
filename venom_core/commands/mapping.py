"""`venom map`: one skill over many items, results as they land."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import IO, Any

import click

from venom_core.commands.frame import FAILED, NOT_YET, OK, redis_url_option, with_broker
from venom_core.commands.screen import progress_bar, result_line, several
from venom_core.commands.submit import attempt_options, priority_of
from venom_core.domain.run import RunKind
from venom_core.errors import InvalidTask
from venom_core.execution.answer import INDEX_NAMES
from venom_core.execution.gather import Gather
from venom_core.execution.items import ITEMS_MAX, WAIT_S_MAX
from venom_core.execution.plan import Plan, make_plan, read_call
from venom_core.execution.runs import Runs
from venom_core.infrastructure.message_broker import MessageBroker

LINE_BYTES_MAX = 16 * 1024 * 1024
WAITING = ("pending", "running", "never_enqueued")


@click.command("map")
@click.argument("skill", required=False)
@click.argument("file", required=False, type=click.File("rb"), metavar="FILE|-")
@click.option("--text", is_flag=True, help="Lines are plain text, not JSON.")
@click.option("--item", "as_item", is_flag=True, help='Hand over every line whole, as the argument "item".')
@click.option("--run-id", metavar="ID", help="Name of the run; alone, it follows a run that was started before.")
@click.option("--wait", type=click.FloatRange(0, WAIT_S_MAX), default=WAIT_S_MAX, metavar="S", help="At most so long.")
@click.option("--description", default="", metavar="TEXT", help="What is to be done, for skills that want to know.")
@attempt_options
@redis_url_option
def map_items(
    skill: str | None,
    file: IO[bytes] | None,
    text: bool,
    as_item: bool,
    run_id: str | None,
    wait: float,
    description: str,
    redis_url: str | None,
    **given: Any,
) -> None:
    """Run SKILL once for each line of FILE; each result is a JSON line, printed as it lands.

    A line is a JSON value. If all are objects, their keys are the skill's arguments; if none is, each value is its
    argument "item". A file with both is refused unless --item is given, and so is one with a line that is no JSON,
    unless --text is given: the error names the line, and nothing is submitted. The exit code is 1 if any item failed,
    3 if some have not ended in time. Ctrl-C cancels the run; the same command with --run-id takes up one that was
    interrupted otherwise.
    """
    if (skill is None) != (file is None) or (skill is None and run_id is None):
        raise click.UsageError("Give SKILL and FILE, or --run-id alone.")
    items = _items(file, as_text=text, whole=as_item) if file is not None else []
    options = {name: value for name, value in given.items() if value is not None}

    async def work(broker: MessageBroker) -> int:
        runs = Runs(broker)
        if skill is None:
            gather = await runs.find(run_id or "")
        else:
            plan = _plan(skill, items, description, options, whole=as_item, broker=broker)
            gather = await runs.start(plan, run_id)
        return await _results(runs, gather, wait)

    with_broker(redis_url, work)


def _items(file: IO[bytes], *, as_text: bool, whole: bool) -> list[Any]:
    """One item a line; `InvalidTask` names the line that is none, or that goes another way than the first."""
    items: dict[int, Any] = {}
    lines = _lines(file)
    for number, line in enumerate(lines, 1):
        if len(items) == ITEMS_MAX:
            raise InvalidTask(f"there are more than {ITEMS_MAX:,} items, the limit of one run; split the file")
        try:
            said = line.decode().strip()
            if said:
                items[number] = said if as_text else json.loads(said, parse_constant=_refuse)
        except (ValueError, RecursionError) as fault:
            advice = "save the file as UTF-8" if as_text else _advice(lines)
            raise InvalidTask(f"line {number} {_why(fault)}; nothing is submitted: {advice}") from None
    if not items:
        raise InvalidTask("there is no item: give one JSON value a line")
    if not (as_text or whole):
        _check_alike(items)
    return [*items.values()]


def _why(fault: ValueError | RecursionError) -> str:
    """What is wrong with a line. The reader of JSON counts lines of its own; the file has others."""
    if isinstance(fault, json.JSONDecodeError):
        return f"cannot be read as JSON, character {fault.colno}: {fault.msg}"
    return f"cannot be read: {fault}"


def _advice(lines: list[bytes]) -> str:
    """What to do about a line that is no JSON. Among objects --text is no way out: it would hand over all as text."""
    said = [line for line in lines if line.strip()]
    if 2 * sum(line.lstrip().startswith(b"{") for line in said) > len(said):
        return "mend this line, because most lines are JSON objects"
    return "give one JSON value a line, or --text if all are plain text"


def _check_alike(items: dict[int, Any]) -> None:
    """All objects or none: one line of the other kind would change silently what all the others mean."""
    first, item = next(iter(items.items()))
    for number, other in items.items():
        if isinstance(other, dict) is not isinstance(item, dict):
            kinds = ("a JSON object", "none") if isinstance(other, dict) else ("no JSON object", "one")
            raise InvalidTask(
                f"line {number} is {kinds[0]} and line {first} is {kinds[1]}; nothing is submitted: make all lines "
                'objects, or give --item to hand over each whole, as the argument "item"'
            )


def _lines(file: IO[bytes]) -> list[bytes]:
    lines: list[bytes] = []
    while line := file.readline(LINE_BYTES_MAX + 1):
        if len(line) > LINE_BYTES_MAX:
            raise InvalidTask(f"line {len(lines) + 1} has more than {LINE_BYTES_MAX:,} bytes")
        lines.append(line)
    return lines


def _refuse(word: str) -> Any:
    raise ValueError(f"JSON cannot carry {word}")


def _plan(
    skill: str, items: list[Any], description: str, options: dict[str, Any], *, whole: bool, broker: MessageBroker
) -> Plan:
    """The run of these items: objects as arguments, anything else as one argument."""
    kind: RunKind = "map" if whole or not all(isinstance(item, dict) for item in items) else "parallel"
    given = items if kind == "map" else [{"skill": skill, "payload": item} for item in items]
    if "retries" in options:
        options["max_retries"] = options.pop("retries")
    priority = priority_of(options.pop("priority", "background"))
    record, listed = read_call(kind, description, given, priority, skill=skill, options=options)
    return make_plan(record, listed, options, broker.settings.hive_payload_bytes_max)


async def _results(runs: Runs, gather: Gather, wait_s: float) -> int:
    """Print what lands; the exit code."""
    run_id, total = gather.known.run_id, gather.known.record.total
    click.echo(f"run {run_id}: {several(total, 'item')}; Ctrl-C cancels it", err=True)
    counts = {"completed": 0, "waiting": 0, "failed": 0}
    try:
        with progress_bar("items") as bar:
            line = bar.add_task("items", total=total)
            async with aclosing(_entries(runs, gather, wait_s)) as entries:
                async for entry in entries:
                    waits = entry["status"] in WAITING
                    counts["waiting" if waits else "completed" if entry["status"] == "completed" else "failed"] += 1
                    result_line(entry, bar)
                    bar.advance(line, not waits)
            sys.stdout.flush()
    except asyncio.CancelledError:
        ended = await runs.cancel(run_id)
        click.echo(
            f"venom: run {run_id} is cancelled: {ended['cancelled']:,} of {total:,} items had not ended", err=True
        )
        raise
    return _verdict(run_id, total, counts)


async def _entries(runs: Runs, gather: Gather, wait_s: float) -> AsyncGenerator[dict[str, Any]]:
    """The lines of the results; the number of an item is called the same in every kind of run."""
    index = INDEX_NAMES[gather.known.record.kind]
    async with aclosing(runs.entries(gather, wait_s)) as entries:
        async for entry in entries:
            yield {"item_index": entry.pop(index), **entry}


def _verdict(run_id: str, total: int, counts: dict[str, int]) -> int:
    said = f"run {run_id}: {counts['completed']:,} of {total:,} completed, {counts['failed']:,} failed"
    if counts["waiting"]:
        said += f", {counts['waiting']:,} have not ended; go on with: venom map --run-id {run_id}"
    click.echo(said, err=True)
    if counts["failed"]:
        return FAILED
    return NOT_YET if counts["waiting"] else OK
