"""`venom status`, `venom queues` and `venom broadcast`: the hive at large."""

from __future__ import annotations

import click

from venom_core.commands.frame import (
    OK,
    json_object,
    json_option,
    listing_options,
    pairs,
    redis_url_option,
    show,
    with_broker,
)
from venom_core.commands.screen import Listing, ago, print_json
from venom_core.domain.node_order import NODE_ORDERS
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.queues import Queue, read_queues


@click.command()
@listing_options
def status(redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """Counters of the hive."""

    async def look(broker: MessageBroker) -> Listing:
        stats = await broker.get_queue_stats()
        nodes = await broker.hive.nodes.all()
        stats |= {"nodes_online": sum(node.online for node in nodes), "nodes_known": len(nodes)}
        rows = [(name.replace("_", " "), value) for name, value in stats.items()]
        return Listing(stats, ("what", "number"), rows)

    show(look, redis_url=redis_url, as_json=as_json, watch=watch)


@click.command()
@listing_options
def queues(redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """What waits, by task type: how many, how long the first has waited, and how many Spores take it."""

    async def look(broker: MessageBroker) -> Listing:
        lanes = await read_queues(broker.hive)
        spores = [node for node in await broker.hive.nodes.all() if node.profile.kind == "spore" and node.takes_tasks]
        able = {lane.lane: sum(lane.lane in node.profile.skills for node in spores) for lane in lanes}
        data = [_as_dict(lane) | {"spores": able[lane.lane]} for lane in lanes]
        rows = [
            (lane.name, lane.ready, lane.delayed, _age(lane), able[lane.lane] if lane.name == lane.lane else "-")
            for lane in lanes
        ]
        columns = ("queue", "ready", "delayed", "first waits", "Spores that take it")
        return Listing(data, columns, rows, "Nothing waits.")

    show(look, redis_url=redis_url, as_json=as_json, watch=watch)


def _as_dict(lane: Queue) -> dict[str, object]:
    oldest_s = lane.oldest_ms / 1000 if lane.oldest_ms >= 0 else None
    return {"queue": lane.name, "ready": lane.ready, "delayed": lane.delayed, "oldest_s": oldest_s}


def _age(lane: Queue) -> str:
    return ago(lane.oldest_ms / 1000) if lane.oldest_ms >= 0 else "-"


@click.command()
@click.argument("command")
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--data", "text", metavar="OBJECT", help="What goes with it, as one JSON object.")
@json_option
@redis_url_option
def broadcast(command: str, words: tuple[str, ...], text: str | None, as_json: bool, redis_url: str | None) -> None:
    """Send COMMAND to everybody who listens, signed when a token is set; says how many heard it.

    Spores obey the orders of `venom node`; every other command is for programs of your own that call
    subscribe_broadcast.
    """
    if text is not None and words:
        raise click.UsageError("Give NAME=VALUE words or --data, not both.")
    data = pairs(words) if text is None else json_object("--data", text)

    async def work(broker: MessageBroker) -> int:
        if command in NODE_ORDERS:
            data.setdefault("hive", broker.settings.hive_namespace)
        heard = await broker.broadcast_control(command, data)
        if as_json:
            print_json({"command": command, "heard": heard})
        else:
            click.echo(f"{command} was heard by {heard}.")
        return OK

    with_broker(redis_url, work)
