"""Whether the node of this host does its work, as a command for health checks: python -m venom_core.health spore

The store is asked, not the process: a node is well while its lease is, and the lease is renewed from within it.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Iterable, Sequence

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.node import NodeState
from venom_core.errors import VenomError
from venom_core.infrastructure.hive import Hive

PATIENCE_S = 8.0
KINDS = ("spore", "nexus")


def judge(nodes: Iterable[NodeState], kind: str, host: str) -> str:
    """What is wrong with the nodes of this kind on this host; empty if one of them is online."""
    here = [node for node in nodes if node.profile.kind == kind and node.profile.host == host]
    if any(node.online for node in here):
        return ""
    if not here:
        return f"no {kind} of host {host!r} has joined the hive"
    return f"{here[0].profile.name} is offline: its lease has ended"


async def look(settings: Settings, kind: str) -> str:
    """What is wrong here; raises `StoreUnavailable` and the like when the hive cannot be asked."""
    hive = await Hive.connect(settings, Clock())
    try:
        return judge(await hive.nodes.all(), kind, socket.gethostname())
    finally:
        await hive.link.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 if such a node is online, 1 with one sentence if none is or the store cannot be asked."""
    parser = argparse.ArgumentParser(prog="python -m venom_core.health", description="Judge the node of this host.")
    parser.add_argument("kind", choices=KINDS)
    kind = parser.parse_args(arguments).kind
    try:
        fault = asyncio.run(asyncio.wait_for(look(Settings.load(), kind), PATIENCE_S))
    except VenomError as refused:
        fault = str(refused)
    except TimeoutError:
        fault = f"the store did not answer within {PATIENCE_S:g} s"
    if fault:
        sys.stderr.write(f"{fault}\n")
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
