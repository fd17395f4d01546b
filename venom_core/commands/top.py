"""`venom top`: machines and tasks together, live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from rich.text import Text

from venom_core.commands.frame import WATCH_S, json_option, redis_url_option, show
from venom_core.commands.nodes import as_dict, state_of
from venom_core.commands.screen import STYLES, Listing, ago, console
from venom_core.domain.node import NodeState
from venom_core.domain.task import open_task
from venom_core.errors import SecurityError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.task_records import Held, Seen
from venom_core.infrastructure.task_view import view_progress

RUNNING_MAX = 2_000
SHOWN_PER_NODE = 8
COLUMNS = ("machine / task", "state", "slots", "CPU %", "memory %", "disk %", "for", "progress")


@dataclass(slots=True)
class _Meter:
    """Tasks that ended a second, from one look to the next."""

    ended: int = -1
    looked_s: float = 0.0
    rate: float | None = None

    def read(self, ended: int, now_s: float) -> float | None:
        if self.ended >= 0 and now_s > self.looked_s:
            self.rate = max(ended - self.ended, 0) / (now_s - self.looked_s)
        self.ended, self.looked_s = ended, now_s
        return self.rate


@dataclass(slots=True)
class _Job:
    """One running task."""

    task_id: str
    task_type: str
    seconds: float
    progress: dict[str, Any] | None = field(default=None)


@click.command()
@click.option("--once", is_flag=True, help="Show it once and end.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), metavar="S", help=f"How often it is renewed; {WATCH_S:g} by default."
)
@json_option
@redis_url_option
def top(once: bool, every: float | None, redis_url: str | None, as_json: bool) -> None:
    """Machines with the tasks that run on them, renewed until Ctrl-C.

    Once as JSON and where nobody looks at a screen, unless --every says how often.
    """
    meter = _Meter()
    live = not once and (every is not None or (console().is_terminal and not as_json))
    watch = (every or WATCH_S) if live else None
    show(lambda broker: _look(broker, meter), redis_url=redis_url, as_json=as_json, watch=watch)


async def _look(broker: MessageBroker, meter: _Meter) -> Listing:
    hive = broker.hive
    stats = await broker.get_queue_stats()
    nodes = await hive.nodes.all()
    jobs, more = await _jobs(hive)
    ended = stats["tasks_completed"] + stats["tasks_failed"]
    rate = meter.read(ended, hive.clock.monotonic_s())
    rows: list[Sequence[object]] = []
    data = []
    for node in nodes:
        own = jobs.get(node.epoch, []) if node.online else []
        data.append(as_dict(node) | {"tasks": [_as_dict(job) for job in own]})
        rows += _rows(node, own)
    title = (
        f"{sum(node.online for node in nodes)} of {len(nodes)} nodes online   {stats['tasks_running']} running   "
        f"{stats['tasks_pending']} waiting   {stats['tasks_completed']} completed   {stats['tasks_failed']} failed   "
        f"{stats['dead_letters']} dead letters" + ("" if rate is None else f"   {rate:.1f}/s")
    )
    if more:
        title += f"   (tasks beyond the first {RUNNING_MAX:,} are not shown)"
    nothing = "" if nodes else "No node is known; start a hive with: venom up"
    return Listing({"counters": stats, "per_second": rate, "nodes": data}, COLUMNS, rows, nothing, title)


async def _jobs(hive: Hive) -> tuple[dict[int, list[_Job]], bool]:
    """Running tasks by the epoch of their node, the longest first, and whether there are more."""
    held: dict[str, Held] = {}
    for partition in range(hive.tasks.keyspace.partitions):
        async for page in hive.tasks.running_pages(partition):
            held |= dict(page)
            if len(held) > RUNNING_MAX:
                break
    ids = list(held)[:RUNNING_MAX]
    jobs: dict[int, list[_Job]] = {}
    for task_id, seen in (await hive.tasks.look(ids)).items():
        if seen.held is not None and seen.envelope is not None:
            jobs.setdefault(seen.held.epoch, []).append(_job(hive, task_id, seen, seen.held))
    for listed in jobs.values():
        listed.sort(key=lambda job: -job.seconds)
    return jobs, len(held) > RUNNING_MAX


def _job(hive: Hive, task_id: str, seen: Seen, held: Held) -> _Job:
    assert seen.envelope is not None
    try:
        task_type = open_task(hive.seal, task_id, seen.envelope).task_type
    except SecurityError:
        task_type = "(not signed by this hive)"
    return _Job(task_id, task_type, (seen.now_ms - held.started_ms) / 1000, view_progress(seen.progress))


def _as_dict(job: _Job) -> dict[str, Any]:
    return {
        "task_id": job.task_id,
        "task_type": job.task_type,
        "seconds": round(job.seconds, 1),
        "progress": job.progress,
    }


def _rows(node: NodeState, jobs: list[_Job]) -> list[Sequence[object]]:
    told = as_dict(node)
    spore = node.profile.kind == "spore"
    figures = [told[name] if spore and told[name] is not None else "-" for name in _FIGURES]
    slots = f"{told['active_tasks']}/{told['concurrency']}" if spore and node.online else "-"
    state = state_of(node)
    head = (Text(node.profile.name, style="bold"), Text(state, style=STYLES[state]), slots, *figures, "", "")
    rows: list[Sequence[object]] = [head]
    for job in jobs[:SHOWN_PER_NODE]:
        done = job.progress
        progress = f"{done['fraction']:.0%} {done['note']}" if done else ""
        rows.append((f"  {job.task_id}", job.task_type, "", "", "", "", ago(job.seconds), progress))
    if len(jobs) > SHOWN_PER_NODE:
        rows.append((f"  and {len(jobs) - SHOWN_PER_NODE} more", "", "", "", "", "", "", ""))
    return rows


_FIGURES = ("cpu_percent", "memory_percent", "disk_percent")
