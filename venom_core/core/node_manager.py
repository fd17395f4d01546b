"""`NodeManager`: who is in the hive, as the heartbeats tell.

It keeps one look at all nodes and renews it with every heartbeat, so that questions are answered at once and
without Redis; `refresh` looks now. A node counts as online until its lease would have ended by now. Nodes that
cannot beat by themselves (a model server, a printer) are registered here and stay as long as somebody calls
`update_heartbeat` within their timeout.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from venom_core.domain.node import NodeLoad, NodeProfile, NodeState, check_capabilities, check_name
from venom_core.domain.placement import Requirements
from venom_core.domain.roster import Roster
from venom_core.errors import InvalidSetting, StoreError, UnknownNode
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.message_broker import MessageBroker

log = logging.getLogger("venom.nodes")

HEARTBEAT_TIMEOUT_S = 60.0
PROFILE_BYTES_MAX = 65_536
# Who works for the hive but takes no tasks.
STAFF = ("nexus", "consumer")
BY_THEMSELVES = (*STAFF, "spore")


class NodeManager:
    """The nodes of one hive. `heartbeat_timeout` (seconds) is for nodes registered here."""

    def __init__(self, message_broker: MessageBroker, heartbeat_timeout: float = HEARTBEAT_TIMEOUT_S) -> None:
        if not 0 < heartbeat_timeout <= 86_400:
            raise InvalidSetting(f"heartbeat_timeout is 0 to 86,400 seconds, not {heartbeat_timeout!r}")
        self._broker, self._timeout_ms = message_broker, round(heartbeat_timeout * 1000)
        self._nodes: dict[str, NodeState] = {}
        self._roster = Roster()
        self._looked_s = 0.0
        self._epochs: dict[str, int] = {}
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look now, and again with every heartbeat, until `stop`. Raises `StoreError` if the first look fails."""
        if self._watching is None:
            await self.refresh()
            self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more; what was registered here stays until its timeout."""
        await end_tasks(self._watching)
        self._watching = None

    async def refresh(self) -> None:
        """Look at all nodes now."""
        began_s = self._broker.hive.clock.monotonic_s()
        states = await self._broker.hive.nodes.all()
        self._nodes = {state.profile.name: state for state in states}
        self._roster.renew(states)
        self._looked_s = began_s

    async def _watch(self) -> None:
        away = False
        while True:
            await asyncio.sleep(self._broker.hive.rhythm.heartbeat_s)
            try:
                await self.refresh()
                away = False
            except StoreError as fault:
                if not away:
                    log.warning("cannot look at the nodes, their leases run out meanwhile: %s", fault)
                away = True

    # ---------------------------------------------------------------------------------------------------- questions

    def list_nodes(self, online_only: bool = False) -> list[NodeState]:
        """Every node that takes tasks, in order of name. Raises what nobody foresaw and ended the watch."""
        age_ms = self._age_ms()
        nodes = [_aged(node, age_ms) for node in self._nodes.values() if node.profile.kind not in STAFF]
        return [node for node in nodes if node.online or not online_only]

    def get_node(self, node_id: str) -> NodeState | None:
        """One node by its name, or None."""
        return next((node for node in self.list_nodes() if node.profile.name == node_id), None)

    def find_nodes_by_skill(self, skill_name: str) -> list[NodeState]:
        """Online nodes that have the skill."""
        return [node for node in self.list_nodes(online_only=True) if skill_name in node.profile.skills]

    def find_nodes_by_tag(self, tag: str) -> list[NodeState]:
        """Online nodes that carry the tag."""
        return [node for node in self.list_nodes(online_only=True) if tag in node.profile.tags]

    def select_best_node(
        self, skill_name: str | None = None, task_requirements: dict[str, Any] | None = None
    ) -> NodeState | None:
        """The online Spore with the least load that has the skill and meets the requirements; `InvalidTask`."""
        return self.choose(Requirements.parse(task_requirements), skill_name)

    def choose(
        self, needs: Requirements, task_type: str | None, given: Mapping[str, int] | None = None
    ) -> NodeState | None:
        """The node for one task, as `placement.choose` defines it; `given` is what nodes got since their heartbeats."""
        age_ms = self._age_ms()
        self._roster.count(given or {})
        best = self._roster.best(needs, task_type)
        if best is not None and best.lease_left_ms <= age_ms:  # Some leases have run out since the look.
            self._roster.renew((node for node in self._nodes.values() if node.lease_left_ms > age_ms), given)
            best = self._roster.best(needs, task_type)
        return None if best is None else _aged(best, age_ms)

    def _age_ms(self) -> int:
        """How old the look is. Raises what nobody foresaw and ended the watch."""
        if self._watching is not None and self._watching.done():
            self._watching.result()
        return round((self._broker.hive.clock.monotonic_s() - self._looked_s) * 1000)

    # ------------------------------------------------------------------------------------------------- registration

    async def register_node(
        self,
        node_id: str,
        *,
        kind: str = "agent",
        endpoint: str = "",
        skills: Iterable[str] = (),
        tags: Iterable[str] = (),
        capabilities: dict[str, float] | None = None,
        hardware: dict[str, Any] | None = None,
    ) -> NodeState:
        """Add a node that cannot beat by itself, or renew what is said of it. `InvalidSetting`.

        The name of what beats by itself (a Spore, a Nexus) is refused: registering it would fence that one. One that
        was registered by another program, or by this one in an earlier life, is taken over. All that is said of a node
        together is at most `PROFILE_BYTES_MAX`.
        """
        profile = NodeProfile(
            name=check_name(node_id),
            kind=check_name(kind),
            endpoint=endpoint,
            skills=_names(skills),
            tags=_names(tags),
            capabilities=check_capabilities(capabilities or {}),
            hardware=hardware or {},
            started_ms=self._broker.hive.now_ms(),
        )
        _check_size(profile)
        if kind in BY_THEMSELVES:
            raise InvalidSetting(f"a node of kind {kind!r} joins by itself; register another kind, such as 'agent'")
        await self.refresh()
        known = self._nodes.get(node_id)
        if known is not None and known.online and known.profile.kind in BY_THEMSELVES:
            raise InvalidSetting(
                f"a node of kind {known.profile.kind!r} named {node_id!r} is online; choose another name"
            )
        joined = await self._broker.hive.nodes.join(profile, self._timeout_ms)
        if known is not None and known.epoch == joined.older_epoch and known.profile.kind not in BY_THEMSELVES:
            # Nothing is ever held under such a lease, so nobody has to take anything back before it goes.
            for partition in range(self._broker.hive.nodes.keyspace.partitions):
                await self._broker.hive.nodes.bury(partition, joined.older_epoch)
        self._epochs[node_id] = joined.epoch
        await self.refresh()
        return self._nodes[node_id]

    async def update_heartbeat(self, node_id: str, load: NodeLoad | None = None) -> bool:
        """A registered node is alive, under this load; False if its timeout had passed and it must register anew."""
        epoch = self._epoch_of(node_id)
        alive = await self._broker.hive.nodes.renew(epoch, node_id, self._timeout_ms, load or NodeLoad())
        if not alive:
            del self._epochs[node_id]
        return alive

    async def unregister_node(self, node_id: str) -> None:
        """Strike a registered node off. `UnknownNode` if it was not registered here."""
        await self._broker.hive.nodes.leave(self._epoch_of(node_id), node_id, clean=True)
        del self._epochs[node_id]
        self._nodes.pop(node_id, None)

    def _epoch_of(self, node_id: str) -> int:
        if node_id not in self._epochs:
            raise UnknownNode(f"no node {node_id!r:.60} was registered here; Spores join and leave by themselves")
        return self._epochs[node_id]


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of skills or tags; one alone is one name, not its letters."""
    return tuple(check_name(name) for name in ([names] if isinstance(names, str) else names))


def _check_size(profile: NodeProfile) -> None:
    try:
        size = len(msgspec.msgpack.encode(profile))
    except (TypeError, ValueError, RecursionError) as fault:
        raise InvalidSetting(f"node {profile.name!r} cannot be written down: {fault}") from None
    if size > PROFILE_BYTES_MAX:
        raise InvalidSetting(
            f"what is said of {profile.name!r} is {size:,} bytes; at most {PROFILE_BYTES_MAX:,} are kept"
        )


def _aged(node: NodeState, age_ms: int) -> NodeState:
    left_ms = max(node.lease_left_ms - age_ms, 0)
    return node if left_ms == node.lease_left_ms else msgspec.structs.replace(node, lease_left_ms=left_ms)
