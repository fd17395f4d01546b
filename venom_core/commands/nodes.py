"""`venom nodes` and `venom node`: who is in the hive, and taking one out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import click

from venom_core.commands.frame import FAILED, OK, Commands, listing_options, redis_url_option, show, with_broker
from venom_core.commands.screen import Listing, word
from venom_core.domain.node import NodeState
from venom_core.domain.node_order import CORDON, DRAIN, DRAIN_NOW, UNCORDON, aimed_at
from venom_core.errors import UnknownNode
from venom_core.infrastructure.message_broker import MessageBroker

COLUMNS = ("name", "kind", "state", "running", "slots", "CPU %", "memory %", "host", "process", "release", "offers")
CONFIRM_S = 15.0
LOOK_S = 0.1
REPEAT_S = 1.0

Met = Callable[[NodeState | None], bool]


@click.command()
@listing_options
def nodes(redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """Nodes, where they run and what they are doing."""

    async def look(broker: MessageBroker) -> Listing:
        states = await broker.hive.nodes.all()
        return Listing(
            [as_dict(node) for node in states],
            COLUMNS,
            [_row(node) for node in states],
            "No node is known; start a hive with: venom up, or a Spore with: venom-spore",
        )

    show(look, redis_url=redis_url, as_json=as_json, watch=watch)


def state_of(node: NodeState) -> str:
    """One word for a node's state."""
    if not node.online:
        return "offline"
    return "cordoned" if node.load.cordoned else "online"


def as_dict(node: NodeState) -> dict[str, Any]:
    """A node as JSON; of one that is offline nothing is known of its load now."""
    profile, load, online = node.profile, node.load, node.online
    return {
        "name": profile.name, "kind": profile.kind, "online": online, "state": state_of(node),
        "lease_left_s": node.lease_left_ms / 1000, "concurrency": profile.concurrency,
        "active_tasks": load.active_tasks if online else None,
        "load_score": round(load.score(), 1) if online else None,
        "cpu_percent": round(load.cpu_percent, 1) if online else None,
        "memory_percent": round(load.memory_percent, 1) if online else None,
        "disk_percent": round(load.disk_percent, 1) if online else None,
        "load_1m": load.load_1m if online else None,
        "skills": list(profile.skills), "tags": list(profile.tags), "capabilities": dict(profile.capabilities),
        "release": profile.release, "host": profile.host, "pid": profile.pid,
    }  # fmt: skip


def _row(node: NodeState) -> Sequence[object]:
    told, works = as_dict(node), node.profile.kind == "spore"
    figures = [told["active_tasks"] if works else None, told["concurrency"] if works else None]
    figures += [told["cpu_percent"] if works else None, told["memory_percent"] if works else None]
    capabilities = [f"{name}={proficiency:g}" for name, proficiency in told["capabilities"].items()]
    offers = " ".join([*told["tags"], *capabilities])
    cells = ["-" if figure is None else figure for figure in figures]
    return (told["name"], told["kind"], word(told["state"]), *cells, told["host"], told["pid"], told["release"], offers)


@click.group(cls=Commands)
def node() -> None:
    """One node: keep new tasks from it, let it take them again, have it leave."""


@node.command()
@click.argument("name")
@redis_url_option
def cordon(name: str, redis_url: str | None) -> None:
    """Have it take no new tasks; what runs there goes on. It holds until uncordon, or until the Spore ends."""
    _order(redis_url, name, CORDON, lambda state: state is not None and state.load.cordoned, "is cordoned")


@node.command()
@click.argument("name")
@redis_url_option
def uncordon(name: str, redis_url: str | None) -> None:
    """Have it take tasks again."""
    _order(redis_url, name, UNCORDON, lambda state: state is not None and not state.load.cordoned, "takes tasks again")


@node.command()
@click.argument("name")
@click.option("--now", is_flag=True, help="Do not wait for what runs there: it is handed back at once.")
@click.option(
    "--for", "seconds", type=click.FloatRange(0, min_open=True), metavar="S",
    help="Wait so long for it to leave (default: HIVE_DRAIN_TIMEOUT and 15 s).",
)  # fmt: skip
@redis_url_option
def drain(name: str, now: bool, seconds: float | None, redis_url: str | None) -> None:
    """Have it leave the hive: it ends what runs, within its HIVE_DRAIN_TIMEOUT, and hands back the rest."""
    _order(redis_url, name, DRAIN_NOW if now else DRAIN, lambda state: state is None, "has left the hive", seconds)


def _order(redis_url: str | None, name: str, command: str, met: Met, done: str, seconds: float | None = None) -> None:
    """Give an order until the store shows that it was obeyed."""

    async def work(broker: MessageBroker) -> int:
        target = await _node(broker, name)
        if target is None or not target.online or target.profile.kind != "spore":
            raise UnknownNode(f"no Spore named {name!r:.60} is online; see them with: venom nodes")
        draining_s = broker.settings.hive_drain_timeout if command == DRAIN else 0.0
        if await _obeyed(broker, target, command, met, seconds or CONFIRM_S + draining_s):
            click.echo(f"{name} {done}.")
            return OK
        click.echo(
            f"venom: {name} does not answer the order; is its release older, or its NEXUS_SHARED_TOKEN another? "
            "See its log, or look again with: venom nodes",
            err=True,
        )
        return FAILED

    with_broker(redis_url, work)


async def _obeyed(broker: MessageBroker, target: NodeState, command: str, met: Met, seconds: float) -> bool:
    """Whether the node did it in time. Another one that comes under its name is not the one that was meant."""
    clock, name = broker.hive.clock, target.profile.name
    until_s, again_s = clock.monotonic_s() + seconds, 0.0
    while (now_s := clock.monotonic_s()) < until_s:
        if now_s >= again_s:
            await broker.broadcast_control(command, aimed_at(broker.settings.hive_namespace, name))
            again_s = now_s + REPEAT_S
        state = await _node(broker, name)
        if command in (DRAIN, DRAIN_NOW) and state is not None and state.epoch != target.epoch:
            state = None
        if met(state):
            return True
        await asyncio.sleep(LOOK_S)
    return False


async def _node(broker: MessageBroker, name: str) -> NodeState | None:
    return next((state for state in await broker.hive.nodes.all() if state.profile.name == name), None)
