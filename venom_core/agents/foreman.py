"""`ForemanAgent`: watches over a hive from a program of your own, and answers questions about it.

It runs the same services as a Nexus (`Crew`) and campaigns with them: beside a running leader it stands by and
only looks. What it decides is decided by `domain/placement`; what it moves is moved by the store's scripts, so
any number of them may run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import Counter
from typing import Any

from venom_core.agents.crew import Crew
from venom_core.agents.kernel_chat import ClusterTools, answer, chat_service
from venom_core.clock import to_naive_local
from venom_core.core.node_manager import NodeManager
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.node import NodeState, finite_percent
from venom_core.domain.placement import Requirements
from venom_core.domain.task import open_task
from venom_core.domain.task_id import check_id
from venom_core.errors import InvalidTask, UnknownTask
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.changes import lanes_of
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.placement_store import Assignment, Move

log = logging.getLogger("venom.foreman")

QUESTION_CHARS_MAX = 20_000


class ForemanAgent:
    """Load balancer and watchdog of one hive. `kernel` may be a semantic-kernel `Kernel` or None."""

    def __init__(
        self, kernel: Any | None, message_broker: MessageBroker, node_manager: NodeManager | None = None
    ) -> None:
        self.kernel, self.message_broker = kernel, message_broker
        self.node_manager = node_manager or NodeManager(message_broker)
        self._crew: Crew | None = None
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look at the nodes and campaign for the leadership; the broker must be connected. `StoreError`."""
        if self._crew is not None:
            return
        name = f"foreman-{socket.gethostname()[:60]}-{os.getpid()}"
        crew = Crew(self.message_broker.hive, name, self.message_broker.settings.hive_zombie_task_timeout)
        await self.node_manager.start()
        self._crew, self._work = crew, asyncio.create_task(crew.run(), name="foreman")

    async def stop(self) -> None:
        """Resign and stop looking; raises what ended the services if something did."""
        crew, self._crew = self._crew, None
        if crew is None:
            return
        work, self._work = self._work, None
        await end_tasks(work)
        await self.node_manager.stop()
        await crew.leadership.resign()
        if work is not None and not work.cancelled():
            work.result()

    @property
    def leads(self) -> bool:
        """Whether this Foreman's services work now, or stand by for another's."""
        return self._crew is not None and self._crew.leadership.epoch > 0

    # ------------------------------------------------------------------------------------------------------ placing

    def select_best_node(self, task_requirements: dict[str, Any] | None = None) -> str | None:
        """Name of the online Spore with the least load score that meets the requirements; None if none does.

        `task_requirements`: `Requirements.parse` lists them. Judged by the latest heartbeats; `InvalidTask`.
        """
        best = self.node_manager.select_best_node(task_requirements=task_requirements)
        return None if best is None else best.profile.name

    async def assign_task(self, task_id: str, task_requirements: dict[str, Any] | None = None) -> str | None:
        """Give a pending task to the best node that has its skill and meets its requirements and these.

        Returns the node's name; None if the task is delayed, runs or has ended. If no live node can take it
        now, None as well, and the task waits until one can: `explain` tells what is missing. `UnknownTask`,
        `InvalidTask`. Asked again, what was asked before still counts; a node named now replaces the one named then.
        """
        hive = self.message_broker.hive
        asked = Requirements.parse(task_requirements)
        seen = (await hive.tasks.look([check_id(task_id)]))[task_id]
        if seen.envelope is None:
            raise UnknownTask(f"no task {task_id} is known; was it enqueued in this hive?")
        if seen.outcome is not None or seen.held is not None:
            return None
        body = open_task(hive.seal, task_id, seen.envelope)
        before = Assignment.unpack(seen.assigned)
        own, beyond = Requirements.parse(body.requirements), asked.merged(before.needs)
        if own.node and asked.node not in ("", own.node):
            raise InvalidTask(f"task {task_id} was enqueued for {own.node!r}; it cannot be given to {asked.node!r}")
        await self.node_manager.refresh()
        given = Counter(await hive.placement.given())
        given.subtract({before.node: 1})  # It is not in its own way.
        node = self.node_manager.choose(own.merged(beyond), body.task_type, given)
        target, name = (WAITING, "") if node is None else (own_lane(node.profile.name), node.profile.name)
        # One that stands there already is moved as well: what was asked is noted with the move.
        sources = dict.fromkeys([target, *lanes_of(body, seen), WAITING, body.task_type])
        moves = [Move(task_id, source, target, Assignment(name, beyond)) for source in sources]
        moved = await hive.placement.move(hive.tasks.keyspace.partition_of(task_id), moves)
        if node is None:
            log.info("no live node can take %s; it waits", task_id)
        return name if moved and node is not None else None

    async def complete_task(self, task_id: str, node_id: str, result: Any) -> None:
        """Report the end of a task that this process claimed by hand (`next_task`).

        Nobody else may say so: `IllegalTransition`; Spores report by themselves. `LeaseLost` if it was taken away.
        """
        await self.message_broker.update_task_status(task_id, "completed", assigned_node=node_id, result=result)

    async def fail_task(self, task_id: str, node_id: str, error: str) -> None:
        """Like `complete_task`, for a failure."""
        await self.message_broker.update_task_status(task_id, "failed", assigned_node=node_id, error=error)

    # ------------------------------------------------------------------------------------------------------ talking

    def get_cluster_status(self) -> dict[str, Any]:
        """Counts, means over the online nodes (percent, one decimal) and every node, by the latest heartbeats."""
        nodes = self.node_manager.list_nodes()
        online = [node for node in nodes if node.online]
        return {
            "total_nodes": len(nodes),
            "online_nodes": len(online),
            "offline_nodes": len(nodes) - len(online),
            "avg_cpu_usage": _mean(node.load.cpu_percent for node in online),
            "avg_memory_usage": _mean(node.load.memory_percent for node in online),
            "total_active_tasks": sum(node.load.active_tasks for node in online),
            "nodes": [_as_dict(node) for node in nodes],
        }

    async def process(self, input_text: str) -> str:
        """An answer about the hive: by the kernel's chat service if it has one, else the status in plain prose.

        `input_text`: at most `QUESTION_CHARS_MAX` characters. Raises `InvalidTask`, and what the service raises.
        """
        if not isinstance(input_text, str) or len(input_text) > QUESTION_CHARS_MAX:
            raise InvalidTask(f"a question is a text of at most {QUESTION_CHARS_MAX:,} characters")
        await self.node_manager.refresh()
        service = chat_service(self.kernel)
        if service is None:
            return describe(self.get_cluster_status())
        return await answer(self.kernel, service, ClusterTools(self.get_cluster_status), input_text)


def describe(status: dict[str, Any]) -> str:
    """A cluster status in prose."""
    if not status["total_nodes"]:
        return "No node is known yet; start one with: venom-spore --skills module:skills"
    nodes = f"{status['online_nodes']} of {status['total_nodes']} nodes are online"
    means = f"CPU {status['avg_cpu_usage']} %, memory {status['avg_memory_usage']} % on average"
    lines = [f"{nodes} with {status['total_active_tasks']} active tasks; {means}."]
    for node in status["nodes"]:
        state = f"load {node['load_score']}, {node['active_tasks']} of {node['slots']} slots busy"
        lines.append(f"{node['node_name']}: {state if node['is_online'] else 'offline'}.")
    return "\n".join(lines)


def _as_dict(node: NodeState) -> dict[str, Any]:
    profile, load = node.profile, node.load
    return {
        "node_id": profile.name,
        "node_name": profile.name,
        "kind": profile.kind,
        "is_online": node.online,
        "cpu_usage": round(finite_percent(load.cpu_percent), 1),
        "memory_usage": round(finite_percent(load.memory_percent), 1),
        "active_tasks": load.active_tasks,
        "slots": profile.concurrency,
        "load_score": round(load.score(), 1),
        "gpu_available": profile.gpus > 0,
        "capabilities": dict(profile.capabilities),
        "skills": list(profile.skills),
        "tags": list(profile.tags),
        "last_update": to_naive_local(node.heard_ms).isoformat() if node.heard_ms else None,
    }


def _mean(percents: Any) -> float:
    found = [finite_percent(percent) for percent in percents]
    return round(sum(found) / len(found), 1) if found else 0.0
