"""`venom task`, `enqueue`, `cancel` and `retry`: one task."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from typing import Any

import click

from venom_core.commands.frame import json_option, print_json, redis_url_option, with_broker
from venom_core.demo.path_text import printable
from venom_core.domain.lifecycle import TaskStatus
from venom_core.errors import InvalidTask, UnknownTask
from venom_core.infrastructure.message_broker import MessageBroker

task_argument = click.argument("task_id", metavar="ID")


@click.command()
@task_argument
@json_option
@redis_url_option
def task(task_id: str, redis_url: str | None, as_json: bool) -> None:
    """Status of a task, and why it is where it is."""

    async def work(broker: MessageBroker) -> int:
        message = await broker.get_task_status(task_id)
        if message is None:
            raise UnknownTask(f"No task {task_id} is known; was it enqueued in this hive?")
        why = await broker.explain(task_id)
        if as_json:
            print_json(message.to_dict() | {"reason": why.reason, "explanation": why.sentence})
            return 0
        click.echo(f"{message.status}: {printable(why.sentence)}")
        shown = {name: value for name, value in message.to_dict().items() if value not in (None, "", {}, [])}
        for name, value in shown.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"  {name:14} {printable(text)}")
        return 0

    with_broker(redis_url, work)


@click.command()
@click.argument("task_type", metavar="TYPE")
@click.argument("payload", metavar="JSON", default="{}")
@click.option(
    "--wait",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Wait so many seconds for the end and print the result.",
)
@click.option("--id", "task_id", help="Id of the task (default: a new one).")
@click.option("--priority", metavar="P", help="0 to 10, high_priority (8) or background (2, the default).")
@click.option("--timeout", type=float, metavar="S", help="Seconds after which an attempt is ended.")
@click.option("--max-retries", type=int, metavar="N", help="How often it is tried again after a failure.")
@click.option("--delay", type=float, metavar="S", help="Seconds to wait before it may start.")
@click.option("--run-at", metavar="TIME", help="ISO 8601 time before which it does not start.")
@click.option("--deadline", metavar="TIME", help="ISO 8601 time after which it does not start any more.")
@click.option("--metadata", metavar="JSON", help="An object that travels with the task.")
@redis_url_option
def enqueue(
    task_type: str, payload: str, wait: float | None, task_id: str | None, redis_url: str | None, **given: Any
) -> None:
    """Enqueue a task of TYPE with the arguments in JSON ("-" reads them from standard input); prints its id.

    With --wait it prints the result instead, as JSON, and fails if the task does.
    """
    body = _object("the payload", sys.stdin.buffer.read() if payload == "-" else payload)
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if "priority" in options:
        options["priority"] = _priority(options["priority"])
    for name in options.keys() & {"run_at", "deadline"}:
        options[name] = _moment(name, options[name])
    if "metadata" in options:
        options["metadata"] = _object("--metadata", options["metadata"])

    async def work(broker: MessageBroker) -> int:
        enqueued = await broker.enqueue_task(task_type, body, task_id=task_id, **options)
        if wait is None:
            click.echo(enqueued)
            return 0
        return await _wait(broker, enqueued, wait)

    with_broker(redis_url, work)


async def _wait(broker: MessageBroker, task_id: str, seconds: float) -> int:
    try:
        message = await broker.wait_for(task_id, seconds)
    except asyncio.CancelledError:
        click.echo(f"venom: task {task_id} goes on; see it with: venom task {task_id}", err=True)
        raise
    if message is not None and message.status is TaskStatus.COMPLETED:
        print_json(message.result)
        return 0
    why = await broker.explain(task_id)
    ended = "" if message is not None else f"has not ended after {seconds:g} s, "
    click.echo(f"venom: task {task_id} {ended}is {why.status}: {printable(why.sentence)}", err=True)
    return 1


def _object(what: str, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as fault:
        raise InvalidTask(f"{what} is not JSON: {fault}") from None
    if not isinstance(value, dict):
        raise InvalidTask(f'{what} must be a JSON object such as {{"url": "x"}}, not {type(value).__name__}')
    return value


def _priority(text: str) -> int | str:
    """A level as a number, a word as it is; the broker judges both."""
    return int(text) if text.lstrip("-").isdecimal() else text


def _moment(name: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTask(
            f"--{name.replace('_', '-')} is an ISO 8601 time such as 2030-01-31T08:00, not {text!r:.60}"
        ) from None


@click.command()
@task_argument
@redis_url_option
def cancel(task_id: str, redis_url: str | None) -> None:
    """Cancel a task: a waiting one ends at once, a running one is stopped by its node."""

    async def work(broker: MessageBroker) -> int:
        done = await broker.cancel_task(task_id)
        return await _say_how(broker, task_id, done)

    with_broker(redis_url, work)


@click.command()
@task_argument
@redis_url_option
def retry(task_id: str, redis_url: str | None) -> None:
    """Put a failed, cancelled or quarantined task, or a zombie, back in line."""

    async def work(broker: MessageBroker) -> int:
        done = await broker.retry_task(task_id)
        return await _say_how(broker, task_id, done)

    with_broker(redis_url, work)


async def _say_how(broker: MessageBroker, task_id: str, done: bool) -> int:
    why = await broker.explain(task_id)
    refusal = "" if done else "nothing to do, "
    click.echo(f"{refusal}{why.status}: {printable(why.sentence)}", err=not done)
    return 0 if done else 1
