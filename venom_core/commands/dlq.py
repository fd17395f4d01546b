"""`venom dlq`: tasks that failed for good; look at them, run them again, mend them, forget them."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from venom_core.clock import from_datetime
from venom_core.commands.frame import (
    OK,
    Commands,
    confirm,
    json_object,
    json_option,
    listing_options,
    pairs,
    redis_url_option,
    show,
    task_argument,
    with_broker,
)
from venom_core.commands.screen import Listing, console, print_json, several, word
from venom_core.commands.submit import moment
from venom_core.commands.tasks import as_text
from venom_core.domain.task import open_task
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidTask, UnknownTask
from venom_core.infrastructure.dead_letters import PAGE_MAX
from venom_core.infrastructure.message_broker import MessageBroker

ERROR_CHARS = 100
SHOWN = 100
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Query:
    """Which dead letters are meant; empty fields ask for nothing. `since_ms` is a time, or minus an age."""

    task_type: str = ""
    error: str = ""
    since_ms: int | None = None

    def __bool__(self) -> bool:
        return bool(self.task_type or self.error or self.since_ms is not None)

    def fits(self, letter: TaskMessage, now_ms: int) -> bool:
        """Whether a letter is meant."""
        since_ms = self.since_ms if self.since_ms is None or self.since_ms >= 0 else now_ms + self.since_ms
        died_ms = from_datetime(letter.completed_at) if letter.completed_at else 0
        return (
            self.task_type in ("", letter.task_type)
            and self.error.lower() in (letter.error or "").lower()
            and (since_ms is None or died_ms >= since_ms)
        )


def query_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--type`, `--error` and `--since`."""
    for option in (
        click.option("--since", metavar="TIME", help="Died since: an age such as 30m, 2h, 1d, or an ISO 8601 time."),
        click.option("--error", default="", metavar="TEXT", help="The error holds this text."),
        click.option("--type", "task_type", default="", metavar="TYPE", help="Of this task type."),
    ):
        command = option(command)
    return command


def _query(task_type: str, error: str, since: str | None) -> Query:
    if since is None:
        return Query(task_type, error)
    if found := _SPAN.fullmatch(since):
        return Query(task_type, error, -max(round(float(found[1]) * _SECONDS[found[2]] * 1000), 1))
    try:
        return Query(task_type, error, from_datetime(datetime.fromisoformat(since)))
    except ValueError:
        moment("--since", since)
        raise


async def _letters(broker: MessageBroker, query: Query) -> AsyncIterator[TaskMessage]:
    """Those that are meant, newest first."""
    offset, now_ms = 0, broker.hive.now_ms()
    while page := await broker.dead_letters.list(offset, PAGE_MAX):
        for letter in page:
            if query.fits(letter, now_ms):
                yield letter
        offset += PAGE_MAX


@click.group(cls=Commands)
def dlq() -> None:
    """Dead letters: tasks that failed for good."""


@dlq.command("list")
@query_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=SHOWN, show_default=True, help="How many to list.")
@listing_options
def list_letters(limit: int, redis_url: str | None, as_json: bool, watch: float | None, **asked: Any) -> None:
    """List them, newest first."""
    query = _query(**asked)

    async def look(broker: MessageBroker) -> Listing:
        letters = []
        async for letter in _letters(broker, query):
            letters.append(letter)
            if len(letters) == limit:
                break
        data = [letter.to_dict() for letter in letters]
        return Listing(
            data, ("id", "type", "status", "attempt", "ended", "error"), [*map(_row, letters)], "There is none."
        )

    show(look, redis_url=redis_url, as_json=as_json, watch=watch)


def _row(letter: TaskMessage) -> tuple[object, ...]:
    ended = letter.completed_at.isoformat(" ", "seconds") if letter.completed_at else ""
    error = (letter.error or "").partition("\n")[0]
    if console().is_terminal and len(error) > ERROR_CHARS:
        error = f"{error[: ERROR_CHARS - 1]}…"
    return letter.task_id, letter.task_type, word(letter.status), letter.attempt, ended, error


@dlq.command("show")
@task_argument
@json_option
@redis_url_option
def show_letter(task_id: str, redis_url: str | None, as_json: bool) -> None:
    """One of them with its payload and its whole error."""

    async def work(broker: MessageBroker) -> int:
        letter = await _letter(broker, task_id)
        if as_json:
            print_json(letter.to_dict())
            return OK
        for name, value in letter.to_dict().items():
            if name != "error" and value not in (None, "", {}, []):
                click.echo(f"{name:14} {as_text(value)}")
        click.echo(letter.error or "")
        return OK

    with_broker(redis_url, work)


async def _letter(broker: MessageBroker, task_id: str) -> TaskMessage:
    message = await broker.get_task_status(task_id)
    if message is None or message.status not in ("failed", "quarantined"):
        raise UnknownTask(f"{task_id} is no dead letter; list them with: venom dlq list")
    return message


def _change(name: str, doing: str, done: str, act: Callable[[MessageBroker, list[str]], Any]) -> None:
    """A command over dead letters that are named, asked for, or all."""

    @dlq.command(name, help=f"{doing} those that are named or asked for, or --all.")
    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @query_options
    @click.option("--all", "everything", is_flag=True, help="All of them.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @redis_url_option
    def change(ids: tuple[str, ...], everything: bool, yes: bool, redis_url: str | None, **asked: Any) -> None:
        query = _query(**asked)
        if (bool(ids), bool(query), everything).count(True) != 1:
            raise click.UsageError("Give the ids of dead letters, or --type, --error, --since, or --all.")

        async def work(broker: MessageBroker) -> int:
            meant = [*ids] if ids else [letter.task_id async for letter in _letters(broker, query)]
            if meant and not ids:
                confirm(f"{doing} {several(len(meant), 'dead letter')}?", yes=yes)
            count = 0
            for start in range(0, len(meant), PAGE_MAX):
                count += await act(broker, meant[start : start + PAGE_MAX])
            click.echo(f"{count:,} {done}")
            return OK

        with_broker(redis_url, work)


_change("requeue", "Put back in line", "put back in line", lambda broker, ids: broker.dead_letters.requeue(ids))
_change("purge", "Forget", "forgotten", lambda broker, ids: broker.dead_letters.purge(ids))


@dlq.command()
@task_argument
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--json", "text", metavar="OBJECT", help="The whole new payload as one JSON object.")
@redis_url_option
def edit(task_id: str, words: tuple[str, ...], text: str | None, redis_url: str | None) -> None:
    """Run it again with another payload, as a new task; prints the new id, and the letter is forgotten.

    NAME=VALUE words change single arguments. Without them and --json an editor opens. The new task keeps type,
    priority, timeout, retries, requirements and metadata, and names the old one as its parent.
    """
    if text is not None and words:
        raise click.UsageError("Give NAME=VALUE words or --json, not both.")
    changes = pairs(words)

    async def work(broker: MessageBroker) -> int:
        letter = await _letter(broker, task_id)
        if text is not None:
            payload = json_object("the payload", text)
        else:
            payload = letter.payload | changes if changes else _edited(letter.payload)
        click.echo(await _again(broker, letter, payload))
        await broker.dead_letters.purge([task_id])
        return OK

    with_broker(redis_url, work)


def _edited(payload: dict[str, Any]) -> dict[str, Any]:
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can edit here: give NAME=VALUE words or --json.")
    text = click.edit(json.dumps(payload, ensure_ascii=False, indent=2), extension=".json")
    if text is None:
        raise InvalidTask("nothing was saved in the editor; the dead letter stays as it was")
    return json_object("what was saved", text)


async def _again(broker: MessageBroker, letter: TaskMessage, payload: dict[str, Any]) -> str:
    """Enqueue the mended task; the same edit again finds the same task."""
    seen = (await broker.hive.tasks.look([letter.task_id]))[letter.task_id]
    assert seen.envelope is not None
    body = open_task(broker.hive.seal, letter.task_id, seen.envelope)
    mark = hashlib.sha256(json.dumps([letter.task_id, payload], sort_keys=True).encode()).hexdigest()[:12]
    kept = {
        "timeout": letter.timeout,
        "max_retries": letter.max_retries,
        "metadata": letter.metadata,
        "correlation_id": letter.correlation_id,
        "root_id": letter.root_id,
        "key": letter.key,
        "requirements": body.requirements,
        "offered": letter.offered,
    }
    options = {name: value for name, value in kept.items() if value is not None}
    new_id = f"{letter.task_id[:100]}-{mark}"
    return await broker.enqueue_task(
        letter.task_type, payload, letter.priority, new_id, parent_id=letter.task_id, **options
    )
