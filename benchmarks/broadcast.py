"""How long a broadcast takes to reach a thousand listeners."""

from __future__ import annotations

import asyncio
import json
import time

from benchmarks.lab import Lab
from benchmarks.listeners import listeners, read_line
from benchmarks.section import Promise, Section
from benchmarks.sides import TOKEN
from benchmarks.timing import percentile
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

LISTENERS = (1, 100, 1_000)
BROADCASTS, WARM = 100, 5
PAUSE_S = 0.02
LIMIT_MS = 50.0
NOTE = f"""From the call of `broadcast_control` (sealed, as with every token) to the moment when a listener has read the
message from its socket, on one machine and one clock. All listeners are raw sockets in one process that waits for them
with epoll, so the last of them also waits for the reading of all the others. {BROADCASTS} broadcasts a round, one after
the other; the percentiles are over all listeners of all broadcasts, the last column over broadcasts."""


def measure(lab: Lab) -> Section:
    section = Section(
        "broadcast",
        "A broadcast to a thousand listeners",
        ["listeners", "p50 ms", "p99 ms", "most ms", "until the last has it, p50 ms"],
        notes=[NOTE],
    )
    broadcasts = 10 if lab.quick else BROADCASTS
    for count in LISTENERS:
        rounds = [asyncio.run(_measure(lab, count, broadcasts)) for _ in range(lab.rounds)]
        lasts = [max(one) for found in rounds for one in found]
        every = [ms for found in rounds for one in found for ms in one]
        section.rows.append([
            f"{count:,}", *(f"{percentile(every, part):.2f}" for part in (50, 99)), f"{max(every):.2f}",
            f"{percentile(lasts, 50):.2f}",
        ])  # fmt: skip
        section.numbers[f"{count:,}"] = {"p50_ms": percentile(every, 50), "p99_ms": percentile(every, 99)}
    most = LISTENERS[-1]
    measured = section.numbers[f"{most:,}"]["p99_ms"]
    section.promises.append(Promise(f"a broadcast reaches {most:,} listeners, p99", LIMIT_MS, measured, "ms"))
    return section


async def _measure(lab: Lab, count: int, broadcasts: int) -> list[list[float]]:
    """Of each broadcast the milliseconds until each listener had it."""
    settings = Settings.load(redis_url=lab.server.url, nexus_shared_token=TOKEN)
    found = []
    async with MessageBroker(settings) as broker:
        with listeners(lab.server.port, settings.hive_broadcast_channel, count) as told:
            for number in range(WARM + broadcasts):
                begin = time.monotonic_ns()
                heard_by = await broker.broadcast_control("BENCH", {"n": number})
                heard = json.loads(read_line(told))
                if heard_by != count or len(heard) != count:
                    raise SystemExit(f"{heard_by:,} of {count:,} listeners heard a broadcast")
                found.append([(at - begin) / 1e6 for at in heard])
                await asyncio.sleep(PAUSE_S)
    return found[WARM:]
