"""The typed door to lanes: what waits to be placed, what was given to which node, and moving between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from venom_core.domain.lane import WAITING, node_of, own_lane
from venom_core.domain.placement import Requirements
from venom_core.errors import InvalidTask
from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import Argument, ScriptRunner

LANES_PER_CALL_MAX = 500


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whom a pending task was given to (or ""), and what was asked of that node beyond its own requirements."""

    node: str
    needs: Requirements

    def pack(self) -> bytes:
        """As it is stored beside the task."""
        return self.node.encode() + b"|" + msgspec.json.encode(self.needs.to_dict())

    @classmethod
    def unpack(cls, text: bytes | None) -> Assignment:
        """Read what `pack` wrote; somebody else's writing asks for nothing."""
        node, _, needs = (text or b"").partition(b"|")
        try:
            return cls(node.decode(), Requirements.parse(msgspec.json.decode(needs) if needs else None))
        except (InvalidTask, msgspec.MsgspecError, UnicodeDecodeError):
            return cls("", Requirements())


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A pending task that waits for a node, or that one was given; `lane` is where it stands."""

    task_id: str
    envelope: bytes
    assignment: Assignment
    lane: str


@dataclass(frozen=True, slots=True)
class Move:
    """One pending task from lane to lane; without an assignment the one that is kept stays."""

    task_id: str
    source: str
    target: str
    assignment: Assignment | None = None


class PlacementStore:
    """Lanes of one hive; every method touches one partition."""

    def __init__(self, link: RedisLink, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self._link = link
        self._run = ScriptRunner(link, keyspace).run

    async def waiting(self, partition: int, skip: int, most: int) -> tuple[int, list[Unplaced]]:
        """(ms until the next delayed one or -1, `most` of what waits to be placed after `skip`, in order)."""
        _, wait_ms, *columns = await self._run(scripts.WAITING, partition, [skip, most], types=[WAITING])
        return wait_ms, _unplaced(WAITING, *columns)

    async def given(self, partition: int) -> dict[str, int]:
        """How many tasks wait in the lane of each node that has any."""
        lengths = await self._lengths(partition, "placed")
        return {node: length for lane, length in lengths.items() if (node := node_of(lane)) is not None}

    async def ready(self, partition: int) -> int:
        """How many tasks are ready to be claimed by anybody with the skill."""
        return sum((await self._lengths(partition, "ready")).values())

    async def _lengths(self, partition: int, index: str) -> dict[str, int]:
        key = self.keyspace.key(partition, index)
        lanes = [lane.decode() for lane in await self._link.command("ZRANGE", key, 0, -1)]
        lengths: dict[str, int] = {}
        for start in range(0, len(lanes), LANES_PER_CALL_MAX):
            part = lanes[start : start + LANES_PER_CALL_MAX]
            found = await self._run(scripts.LENGTHS, partition, types=part)
            lengths |= dict(zip(part, found, strict=True))
        return lengths

    async def given_to(self, partition: int, node: str, most: int) -> list[Unplaced]:
        """What waits in the lane of one node, up to `most`."""
        lane = own_lane(node)
        _, _, *columns = await self._run(scripts.WAITING, partition, [0, most], types=[lane])
        return _unplaced(lane, *columns)

    async def move(self, partition: int, moves: Sequence[Move]) -> list[Move]:
        """Move pending tasks, each at its place in line; those that were where they were thought to be."""
        lanes = list(dict.fromkeys(lane for move in moves for lane in (move.source, move.target)))
        args: list[Argument] = []
        for move in moves:
            note = move.assignment.pack() if move.assignment else b""
            args += [move.task_id, lanes.index(move.source) + 1, lanes.index(move.target) + 1, note]
        reply: bytes = await self._run(scripts.ASSIGN, partition, args, types=lanes)
        return [moves[int(index)] for index in reply.split(b",")] if reply else []

    def wake_keys(self) -> list[bytes]:
        """The lists a dispatcher blocks on."""
        keys = []
        for partition in range(self.keyspace.partitions):
            keys += [self.keyspace.type_keys(partition, WAITING)[2], self.keyspace.key(partition, "dispatch")]
        return keys


def _unplaced(lane: str, ids: Any, envelopes: Any, assignments: Any) -> list[Unplaced]:
    return [
        Unplaced(task_id.decode(), envelope, Assignment.unpack(text), lane)
        for task_id, envelope, text in zip(ids, envelopes, assignments, strict=True)
        if envelope is not None
    ]
