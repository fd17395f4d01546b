"""The typed door to nodes and their leases.

A lease stands in every partition, because a claim may touch only one; profile and load stand in the first.
The heartbeat runs in its own thread on its own connection, so `renewal` builds the call and reads its
answer without doing any I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from venom_core.domain.node import NodeLoad, NodeProfile, NodeState
from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import ScriptRunner

log = logging.getLogger("venom.nodes")

# Whoever was told to reap has so much of a lease for it before another is told.
DUTY_OF_LEASE = 0.25

_encoder = msgspec.msgpack.Encoder()
_profile_decoder = msgspec.msgpack.Decoder(NodeProfile)
_load_decoder = msgspec.msgpack.Decoder(NodeLoad)


@dataclass(frozen=True, slots=True)
class Beat:
    """What one heartbeat brought back from one partition; `anew` if it came over a connection just made."""

    partition: int
    alive: bool
    now_ms: int
    replaced: bool = False
    cancels: tuple[str, ...] = ()
    expired: tuple[int, ...] = ()
    budget: int | None = None
    anew: bool = False

    @classmethod
    def parse(cls, partition: int, reply: Sequence[Any]) -> Beat:
        """Read the answer of the renew script."""
        if reply[0] != b"ok":
            return cls(partition, alive=False, now_ms=reply[1], replaced=reply[2] == b"1")
        cancels = tuple(task_id.decode() for task_id in reply[2])
        expired = tuple(int(epoch) for epoch in reply[3])
        budget = int(reply[4]) if reply[4] else None
        return cls(partition, alive=True, now_ms=reply[1], cancels=cancels, expired=expired, budget=budget)


@dataclass(frozen=True, slots=True)
class Joined:
    """A lease just taken; `older_epoch` is the fenced incarnation of the same name, or 0."""

    epoch: int
    older_epoch: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class RenewalCall:
    """A heartbeat ready to send by EVALSHA, or by EVAL when the server does not know the script."""

    sha: str
    source: str
    keys: list[bytes]
    args: list[Any]


class NodeStore:
    """Joining, leaving, reading and forgetting nodes, and the leadership among Nexus processes."""

    def __init__(self, link: RedisLink, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self._link = link
        self._runner = ScriptRunner(link, keyspace)
        self._run = self._runner.run
        self._unreadable: set[bytes] = set()
        # Read once for each joining, not with every look: {name: (as it is written, as it is read)}.
        self._profiles: dict[bytes, tuple[bytes, NodeProfile]] = {}

    async def join(self, profile: NodeProfile, lease_ms: int) -> Joined:
        """Take a lease under a new epoch, fencing an older incarnation of the name."""
        body = _encoder.encode(profile)
        epoch, older, now_ms = "", 0, 0
        for partition in range(self.keyspace.partitions):
            reply = await self._run(scripts.JOIN, partition, [profile.name, lease_ms, body, epoch])
            epoch, older, now_ms = reply[0].decode(), int(reply[1]) if reply[1].isdigit() else 0, reply[2]
        return Joined(int(epoch), older, now_ms)

    def renewal(
        self, partition: int, epoch: int, name: str, lease_ms: int, load: NodeLoad, *, may_reap: bool
    ) -> RenewalCall:
        """The call of one heartbeat in one partition."""
        keys = self._runner.keys(scripts.RENEW, partition)
        args = [epoch, name, lease_ms, _encoder.encode(load), int(may_reap), round(lease_ms * DUTY_OF_LEASE)]
        return RenewalCall(scripts.RENEW.sha, scripts.RENEW.source, keys, args)

    async def renew(self, epoch: int, name: str, lease_ms: int, load: NodeLoad) -> bool:
        """One heartbeat in every partition; False if the lease is lost. Spores beat from `LeaseKeeper` instead."""
        alive = True
        for partition in range(self.keyspace.partitions):
            args: list[Any] = [epoch, name, lease_ms, _encoder.encode(load), 0, round(lease_ms * DUTY_OF_LEASE)]
            alive = Beat.parse(partition, await self._run(scripts.RENEW, partition, args)).alive and alive
        return alive

    async def leave(self, epoch: int, name: str, *, clean: bool) -> None:
        """End the lease; not `clean` means something is still held and must be taken back by others."""
        for partition in range(self.keyspace.partitions):
            await self._run(scripts.LEAVE, partition, [epoch, name, int(clean)])

    async def bury(self, partition: int, epoch: int) -> None:
        """Strike a dead incarnation off, once nothing is held under it."""
        await self._run(scripts.BURY, partition, [epoch])

    async def leased(self, partition: int) -> set[int]:
        """Epochs that have a lease entry, live or run out."""
        key = self.keyspace.key(partition, "lease")
        return {int(epoch) for epoch in await self._link.command("ZRANGE", key, 0, -1)}

    async def all(self) -> list[NodeState]:
        """Every known node, online or not, in order of name."""
        reply = await self._run(scripts.NODES, 0)
        now_ms, states = reply[0], list[NodeState]()
        unreadable: set[bytes] = set()
        known, self._profiles = self._profiles, {}
        for at in range(1, len(reply), 5):
            name, epoch, deadline, written, load = reply[at : at + 5]
            try:
                before = known.get(name)
                read = (
                    before if before is not None and before[0] == written else (written, _read_profile(name, written))
                )
                self._profiles[name] = read
                states.append(_state(read[1], epoch, deadline, load, now_ms))
            except (msgspec.MsgspecError, ValueError) as fault:
                if name not in self._unreadable:
                    log.warning("the record of node %r cannot be read and is left out: %s", name[:60], fault)
                unreadable.add(name)
        self._unreadable = unreadable
        return sorted(states, key=lambda state: state.profile.name)

    async def set_budgets(self, budgets: dict[str, int], ttl_ms: int) -> None:
        """Tell nodes by their next heartbeat how many tasks to hold; who is not named has no limit but its slots."""
        args: list[Any] = [ttl_ms]
        for name, tasks in budgets.items():
            args += [name, tasks]
        await self._run(scripts.BUDGET, 0, args)

    async def forget(self, name: str, before_ms: int) -> bool:
        """Forget a node not seen since `before_ms`; False if it lives or was seen later."""
        gone = [
            await self._run(scripts.FORGET_NODE, partition, [name, before_ms])
            for partition in range(self.keyspace.partitions)
        ]
        return bool(gone[0])

    async def lead(self, name: str, lease_ms: int) -> int:
        """Take or keep the leadership: its epoch, or 0 if somebody else leads."""
        epoch: int = await self._run(scripts.LEAD, 0, [name, lease_ms])
        return epoch

    async def led(self) -> bool:
        """Whether anybody leads now."""
        return bool(await self._link.command("EXISTS", self.keyspace.key(0, "leader")))

    async def resign(self, name: str) -> None:
        """Give the leadership up."""
        await self._run(scripts.RESIGN, 0, [name])


def _read_profile(name: bytes, written: bytes) -> NodeProfile:
    """`ValueError` or a `MsgspecError` for what no node wrote."""
    said = _profile_decoder.decode(written)
    if said.name.encode() != name:
        raise ValueError(f"it says it is of {said.name!r:.60}")
    return said


def _state(profile: NodeProfile, epoch: bytes, deadline: bytes, load: bytes, now_ms: int) -> NodeState:
    """One node of the reply of the nodes script; raises like `_read_profile`."""
    left_ms = int(float(deadline)) - now_ms if deadline else 0
    heard, _, beat = load.partition(b"|")
    last = _load_decoder.decode(beat) if beat else NodeLoad()
    return NodeState(profile, last, int(epoch or 0), max(left_ms, 0), int(heard or 0))
