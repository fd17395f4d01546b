"""Docket's worker; times of the settings are seconds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import uvloop
from docket import Docket, Worker

from benchmarks.peers import bodies
from benchmarks.peers.serving import told_by_runner

TIMES = frozenset({"redelivery_timeout", "minimum_check_interval"})
# Its pool would run out at a concurrency of 100, and tasks would fail.
CONNECTIONS = 1000


async def main(address: str, settings: dict[str, Any]) -> None:
    spoken = {name: timedelta(seconds=value) if name in TIMES else value for name, value in settings.items()}
    async with Docket(url=f"{address}?max_connections={CONNECTIONS}") as docket:
        docket.register(bodies.noop)
        docket.register(bodies.telling)
        async with Worker(docket, **spoken) as worker:
            await worker.run_forever()


uvloop.run(main(*told_by_runner()))
