"""`venom dead`: tasks that failed for good."""

from __future__ import annotations

import click

from venom_core.commands.frame import json_option, print_json, print_table, redis_url_option, with_broker
from venom_core.domain.task_message import TaskMessage
from venom_core.infrastructure.message_broker import MessageBroker

ERROR_CHARS = 100


@click.group()
def dead() -> None:
    """Dead letters: tasks that failed for good."""


@dead.command("list")
@click.option("--offset", default=0, show_default=True, help="How many of the newest to skip.")
@click.option("--limit", default=100, show_default=True, help="How many to list, at most 1,000.")
@json_option
@redis_url_option
def list_dead(offset: int, limit: int, redis_url: str | None, as_json: bool) -> None:
    """List them, newest first."""

    async def work(broker: MessageBroker) -> int:
        letters = await broker.dead_letters.list(offset, limit)
        if as_json:
            print_json([letter.to_dict() for letter in letters])
        else:
            print_table(("id", "type", "status", "attempt", "ended", "error"), map(_letter, letters))
        return 0

    with_broker(redis_url, work)


def _letter(letter: TaskMessage) -> tuple[object, ...]:
    ended = letter.completed_at.isoformat(" ", "seconds") if letter.completed_at else ""
    error = (letter.error or "").partition("\n")[0][:ERROR_CHARS]
    return letter.task_id, letter.task_type, letter.status, letter.attempt, ended, error


def _chosen(ids: tuple[str, ...], everything: bool) -> tuple[str, ...] | None:
    if bool(ids) == everything:
        raise click.UsageError("Give the ids of dead letters, or --all.")
    return ids or None


@dead.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them, 1,000 at a time.")
@redis_url_option
def requeue(ids: tuple[str, ...], everything: bool, redis_url: str | None) -> None:
    """Put them back in line."""
    chosen = _chosen(ids, everything)

    async def work(broker: MessageBroker) -> int:
        click.echo(f"{await broker.dead_letters.requeue(chosen)} put back in line")
        return 0

    with_broker(redis_url, work)


@dead.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@redis_url_option
def purge(ids: tuple[str, ...], everything: bool, redis_url: str | None) -> None:
    """Forget them."""
    chosen = _chosen(ids, everything)

    async def work(broker: MessageBroker) -> int:
        click.echo(f"{await broker.dead_letters.purge(chosen)} forgotten")
        return 0

    with_broker(redis_url, work)
