"""`venom ota status`: what every node runs, as the node itself told the hive when it joined."""

from __future__ import annotations

from typing import Any

import click

from venom_core.commands.frame import listing_options, show
from venom_core.commands.nodes import state_of
from venom_core.commands.screen import Listing, word
from venom_core.demo.path_text import printable
from venom_core.domain.node import NodeState
from venom_core.infrastructure.message_broker import MessageBroker

COLUMNS = ("node", "state", "release", "phase", "venom-hive", "host")
APP_RELEASE, BASE, SAFE_MODE = "app_release", "0-base", "safe-mode"
RELEASE_CHARS_MAX = 100


@click.command()
@listing_options
def status(redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """What every Spore runs: a release (kept or on trial), the base, or safe mode."""

    async def look(broker: MessageBroker) -> Listing:
        spores = [as_dict(node) for node in await broker.hive.nodes.all() if node.profile.kind == "spore"]
        rows = [
            (each["name"], word(each["state"]), each["release"] or "-", each["phase"], each["venom_hive"], each["host"])
            for each in spores
        ]
        return Listing(spores, COLUMNS, rows, "No Spore is known; start one with: venom-launcher")

    show(look, redis_url=redis_url, as_json=as_json, watch=watch)


def as_dict(node: NodeState) -> dict[str, Any]:
    """A Spore as JSON; `release` is the name of its folder, `<version>-<hash12>`, or empty without a launcher."""
    told = node.profile.hardware.get(APP_RELEASE, "")
    release = printable(told)[:RELEASE_CHARS_MAX] if isinstance(told, str) else ""
    version, _, digest = ("", "", "") if release == BASE else release.rpartition("-")
    return {
        "name": node.profile.name, "state": state_of(node), "release": release, "version": version, "sha256": digest,
        "phase": _phase(node, release), "venom_hive": node.profile.release, "host": node.profile.host,
    }  # fmt: skip


def _phase(node: NodeState, release: str) -> str:
    if SAFE_MODE in node.profile.tags:
        return "safe mode"
    if not release:
        return "no launcher"
    return "as installed by hand" if release == BASE else "released"
