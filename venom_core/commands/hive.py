"""`venom status` and `venom nodes`: the hive at large."""

from __future__ import annotations

from typing import Any

import click

from venom_core.commands.frame import json_option, print_json, print_table, redis_url_option, with_broker
from venom_core.domain.node import NodeState
from venom_core.infrastructure.message_broker import MessageBroker


@click.command()
@json_option
@redis_url_option
def status(redis_url: str | None, as_json: bool) -> None:
    """Counters of the hive."""

    async def work(broker: MessageBroker) -> int:
        stats = await broker.get_queue_stats()
        nodes = await broker.hive.nodes.all()
        stats |= {"nodes_online": sum(node.online for node in nodes), "nodes_known": len(nodes)}
        if as_json:
            print_json(stats)
        else:
            print_table(("what", "number"), [(name.replace("_", " "), value) for name, value in stats.items()])
        return 0

    with_broker(redis_url, work)


@click.command()
@json_option
@redis_url_option
def nodes(redis_url: str | None, as_json: bool) -> None:
    """Nodes, where they run and what they are doing."""

    async def work(broker: MessageBroker) -> int:
        rows = [_node(node) for node in await broker.hive.nodes.all()]
        if as_json:
            print_json(rows)
        else:
            shown = (
                "name",
                "kind",
                "online",
                "active_tasks",
                "concurrency",
                "cpu_percent",
                "memory_percent",
                "host",
                "pid",
            )
            columns = ("name", "kind", "online", "running", "slots", "CPU %", "memory %", "host", "process", "offers")
            offers = [{"offers": _offers(row)} for row in rows]
            print_table(
                columns, [[(row | offer)[name] for name in shown] for row, offer in zip(rows, offers, strict=True)]
            )
        return 0

    with_broker(redis_url, work)


def _offers(row: dict[str, Any]) -> str:
    """Tags and capabilities, by which tasks with requirements are placed."""
    capabilities = [f"{name}={proficiency:g}" for name, proficiency in row["capabilities"].items()]
    return " ".join([*row["tags"], *capabilities])


def _node(node: NodeState) -> dict[str, Any]:
    profile, load = node.profile, node.load
    return {
        "name": profile.name, "kind": profile.kind, "online": node.online, "lease_left_s": node.lease_left_ms / 1000,
        "active_tasks": load.active_tasks, "concurrency": profile.concurrency, "load_score": round(load.score(), 1),
        "cpu_percent": round(load.cpu_percent, 1), "memory_percent": round(load.memory_percent, 1),
        "disk_percent": round(load.disk_percent, 1), "load_1m": load.load_1m, "skills": list(profile.skills),
        "tags": list(profile.tags), "capabilities": dict(profile.capabilities), "release": profile.release,
        "host": profile.host, "pid": profile.pid,
    }  # fmt: skip
