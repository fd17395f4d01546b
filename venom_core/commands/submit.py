"""`venom submit`: one task into the hive, and if wished its result out of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from venom_core.commands.follow import follow
from venom_core.commands.frame import OK, json_object, pairs, redis_url_option, with_broker
from venom_core.demo.path_text import printable
from venom_core.errors import InvalidTask, VenomError
from venom_core.infrastructure.explanation import nobody_has
from venom_core.infrastructure.message_broker import MessageBroker

STDIN_BYTES_MAX = 256 * 1024 * 1024
FOR_EVER = "-1"


def requirement_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a task needs of its node."""
    for option in (
        click.option("--code", metavar="RELEASE", help="Only on a node whose release is this or newer."),
        click.option("--memory-mb", type=float, metavar="MIB", help="Only on a node with so much free RAM."),
        click.option("--node", metavar="NAME", help="Only on this node."),
        click.option("--capability", multiple=True, metavar="NAME[>=P]", help="Only where it is, at least this good."),
        click.option("--gpu", is_flag=False, flag_value="1", type=int, metavar="[N]", help="Only with N GPUs (1)."),
        click.option("--tag", multiple=True, metavar="T", help="Only on a node with this tag; may be repeated."),
    ):
        command = option(command)
    return command


def attempt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a task is tried."""
    for option in (
        click.option("--retries", type=int, metavar="N", help="How often it is tried again after a failure."),
        click.option("--timeout", type=float, metavar="S", help="Seconds after which an attempt is ended."),
        click.option("--priority", metavar="P", help="0 to 10, high_priority (8) or background (2, the default)."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("task_type", metavar="TYPE")
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]... | -")
@click.option("--json", "payload", metavar="OBJECT", help="All arguments as one JSON object.")
@click.option(
    "--wait",
    is_flag=False,
    flag_value=FOR_EVER,
    type=float,
    metavar="[S]",
    help="Wait for the end, S seconds at most, and print the result.",
)
@click.option("--id", "task_id", help="Id of the task (default: a new one).")
@attempt_options
@click.option("--delay", type=float, metavar="S", help="Seconds to wait before it may start.")
@click.option("--run-at", metavar="TIME", help="ISO 8601 time before which it does not start.")
@click.option("--deadline", metavar="TIME", help="ISO 8601 time after which it does not start any more.")
@click.option("--metadata", metavar="OBJECT", help="A JSON object that travels with the task.")
@requirement_options
@redis_url_option
def submit(
    task_type: str,
    words: tuple[str, ...],
    payload: str | None,
    wait: float | None,
    task_id: str | None,
    redis_url: str | None,
    **given: Any,
) -> None:
    """Submit a task of TYPE; prints its id.

    Its arguments are NAME=VALUE words, or one JSON object with --json, or "-" for one on standard input. A VALUE
    that is JSON is what it says (3, true, null, [1, 2]), anything else is text; text that looks like JSON is put in
    double quotes: 'zip="01234"'. With --wait the result is printed instead, as JSON; the exit code is 0 if the task
    completed, 1 if it failed, 3 if it has not ended in time. Without it, a line on standard error says so if no Spore
    online has a skill of that name; the task is submitted all the same.
    """
    body = _payload(words, payload)
    options = task_options(given)
    if wait is not None and wait <= 0 and wait != float(FOR_EVER):
        raise click.UsageError(f"--wait takes seconds above 0, not {wait:g}.")

    async def work(broker: MessageBroker) -> int:
        submitted = await broker.enqueue_task(task_type, body, task_id=task_id, **options)
        if wait is None:
            click.echo(submitted)
            await _remark(broker, task_type, submitted)
            return OK
        return await follow(broker, submitted, None if wait < 0 else wait)

    with_broker(redis_url, work)


async def _remark(broker: MessageBroker, task_type: str, task_id: str) -> None:
    """Say so if nobody online has the skill: it may be misspelt, or its Spore is still to come."""
    try:
        nodes = await broker.hive.nodes.all()
    except VenomError as fault:  # the task is in the hive all the same
        remark = f"{task_id} is submitted; whether a Spore has its skill is not known: {fault}"
        click.echo(f"venom: {printable(remark)}", err=True)
        return
    if any(node.online and node.profile.kind == "consumer" for node in nodes):
        return  # a hand-written loop says nowhere which types it takes
    if nobody := nobody_has(task_type, nodes):
        reason, sentence = nobody
        if reason == "no_skill":
            sentence += f"; the task starts when one with it joins, or take it back with: venom task cancel {task_id}"
        click.echo(f"venom: {printable(sentence)}", err=True)


def _payload(words: tuple[str, ...], text: str | None) -> dict[str, Any]:
    if text is not None and words:
        raise click.UsageError("Give NAME=VALUE words, or --json, or -, not several of them.")
    if words == ("-",):
        return json_object("what stands on standard input", read_stdin())
    return pairs(words) if text is None else json_object("the payload", text)


def read_stdin() -> bytes:
    """Standard input to its end; `InvalidTask` if it is larger than any payload may be."""
    data = sys.stdin.buffer.read(STDIN_BYTES_MAX + 1)
    if len(data) > STDIN_BYTES_MAX:
        raise InvalidTask(f"standard input holds more than {STDIN_BYTES_MAX:,} bytes")
    return data


def task_options(given: dict[str, Any]) -> dict[str, Any]:
    """Options of an enqueue from those of a command."""
    needs = {
        "tags": list(given.pop("tag")),
        "gpu": given.pop("gpu"),
        "capabilities": _capabilities(given.pop("capability")),
        "node": given.pop("node"),
        "memory_mb": given.pop("memory_mb"),
        "code>=": given.pop("code"),
    }
    options = {name: value for name, value in given.items() if value is not None}
    if "retries" in options:
        options["max_retries"] = options.pop("retries")
    if "priority" in options:
        options["priority"] = priority_of(options["priority"])
    for name in options.keys() & {"run_at", "deadline"}:
        options[name] = moment(f"--{name.replace('_', '-')}", options[name])
    if "metadata" in options:
        options["metadata"] = json_object("--metadata", options["metadata"])
    if asked := {name: value for name, value in needs.items() if value}:
        options["requirements"] = asked
    return options


def _capabilities(words: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for given in words:
        name, sign, least = given.partition(">=")
        try:
            found[name.strip()] = float(least) if sign else 0.0
        except ValueError:
            raise click.UsageError(f"--capability is a name or name>=0.9, not {given!r:.60}.") from None
    return found


def priority_of(text: str) -> int | str:
    """A level as a number, a word as it is; the broker judges both."""
    return int(text) if text.lstrip("-").isdecimal() else text


def moment(what: str, text: str) -> datetime:
    """An ISO 8601 time; `InvalidTask`."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidTask(f"{what} is an ISO 8601 time such as 2030-01-31T08:00, not {text!r:.60}") from None
