"""`venom task` and `venom explain`: one task."""

from __future__ import annotations

import json
from typing import Any

import click

from venom_core.clock import to_naive_local
from venom_core.commands.follow import follow, how_it_is
from venom_core.commands.frame import (
    FAILED,
    OK,
    Commands,
    json_option,
    listing_options,
    redis_url_option,
    show,
    task_argument,
    with_broker,
)
from venom_core.commands.screen import Listing, print_json
from venom_core.domain.payload import decode
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import UnknownTask
from venom_core.infrastructure.audit import audit_lines
from venom_core.infrastructure.message_broker import MessageBroker

VALUE_CHARS = 4_000


@click.group(cls=Commands)
def task() -> None:
    """One task: look at it, follow it, stop it, run it again."""


async def known(broker: MessageBroker, task_id: str) -> TaskMessage:
    """The task as it stands; `UnknownTask`."""
    message = await broker.get_task_status(task_id)
    if message is None:
        raise UnknownTask(f"no task {task_id} is known; was it submitted in this hive, less than HIVE_RESULT_TTL ago?")
    return message


@task.command("show")
@task_argument
@listing_options
def show_task(task_id: str, redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """All that is known of a task, and why it is where it is."""

    async def look(broker: MessageBroker) -> Listing:
        message = await known(broker, task_id)
        why = await broker.explain(task_id)
        data = message.to_dict() | {"reason": why.reason, "explanation": why.sentence}
        shown = {"status": message.status, "explanation": why.sentence} | data
        del shown["reason"]
        rows = [(name, as_text(value)) for name, value in shown.items() if value not in (None, "", {}, [])]
        return Listing(data, ("what", "value"), rows)

    show(look, redis_url=redis_url, as_json=as_json, watch=watch)


def as_text(value: Any) -> str:
    """A value in one line of bounded length."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}… ({len(text):,} characters; see --json)"


@task.command("watch")
@task_argument
@click.option("--for", "seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="At most so long.")
@redis_url_option
def watch_task(task_id: str, seconds: float | None, redis_url: str | None) -> None:
    """Follow a task to its end: what it emits line by line, then its result."""
    with_broker(redis_url, lambda broker: follow(broker, task_id, seconds, partials=True))


@task.command()
@task_argument
@redis_url_option
def cancel(task_id: str, redis_url: str | None) -> None:
    """Cancel it: a waiting one ends at once, a running one is stopped by its node."""

    async def work(broker: MessageBroker) -> int:
        return await _say_how(broker, task_id, await broker.cancel_task(task_id))

    with_broker(redis_url, work)


@task.command()
@task_argument
@redis_url_option
def retry(task_id: str, redis_url: str | None) -> None:
    """Put a failed, cancelled or quarantined one, or a zombie, back in line."""

    async def work(broker: MessageBroker) -> int:
        return await _say_how(broker, task_id, await broker.retry_task(task_id))

    with_broker(redis_url, work)


async def _say_how(broker: MessageBroker, task_id: str, done: bool) -> int:
    why = await broker.explain(task_id)
    refusal = "" if done else "nothing to do, "
    click.echo(f"{refusal}{how_it_is(why)}", err=not done)
    return OK if done else FAILED


@task.command()
@task_argument
@listing_options
def logs(task_id: str, redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """What the hive keeps of its life: times, node, attempts, progress, partial results, refusals, the error.

    Lines that a skill logs stay with the Spore that ran it, each with the task's id.
    """
    show(lambda broker: _life(broker, task_id), redis_url=redis_url, as_json=as_json, watch=watch)


async def _life(broker: MessageBroker, task_id: str) -> Listing:
    message = await known(broker, task_id)
    rows: list[tuple[str, str, str]] = []

    def note(at: object, what: str, detail: str = "") -> None:
        rows.append((str(at or ""), what, detail))

    note(_time(message.created_at), "submitted", f"type {message.task_type}, priority {message.priority}")
    for line in await audit_lines(broker.hive, task_id):
        note(_time(to_naive_local(line.at_ms)), line.what, " ".join(filter(None, (line.why, line.node))))
    node = f"on {message.assigned_node}, " if message.assigned_node else ""
    if message.started_at:
        note(_time(message.started_at), "started", f"{node}attempt {message.attempt}")
    elif message.attempt:
        note("", "tried", f"{message.attempt} times so far")
    if message.crashes:
        note("", "crashed", f"{message.crashes} of its nodes died under it")
    for number, partial in await broker.hive.tasks.partials(task_id, 0):
        note("", "emitted", f"{number}: {as_text(decode(partial))}")
    if message.progress:
        note("", "progress", f"{message.progress['fraction']:.0%} {message.progress['note']}")
    if message.finished:
        note(_time(message.completed_at), str(message.status), message.error or as_text(message.result))
    else:
        note("", str(message.status), (await broker.explain(task_id)).sentence)
    data = [{"at": at or None, "what": what, "detail": detail} for at, what, detail in rows]
    return Listing(data, ("at", "what", "detail"), rows)


def _time(moment: Any) -> str:
    return moment.isoformat(" ", "milliseconds") if moment else ""


@click.command()
@task_argument
@json_option
@redis_url_option
def explain(task_id: str, redis_url: str | None, as_json: bool) -> None:
    """Why a task is where it is, in one sentence."""

    async def work(broker: MessageBroker) -> int:
        why = await broker.explain(task_id)
        if as_json:
            print_json({"task_id": task_id, "status": why.status, "reason": why.reason, "explanation": why.sentence})
        else:
            click.echo(how_it_is(why))
        return OK

    with_broker(redis_url, work)
