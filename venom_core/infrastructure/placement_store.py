"""The typed door to lanes: what waits to be placed, what was given to which node, and moving between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from venom_core.domain.lane import WAITING, node_of, own_lane
from venom_core.domain.placement import Requirements
from venom_core.errors import InvalidTask
from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.line import Argument
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import ScriptRunner

LANES_PER_CALL_MAX = 500
RECALL_STEP = 200


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
        if text is None:
            return NOBODY
        node, _, needs = text.partition(b"|")
        try:
            return cls(node.decode(), Requirements.parse(msgspec.json.decode(needs) if needs else None))
        except (InvalidTask, msgspec.MsgspecError, UnicodeDecodeError):
            return NOBODY


NOBODY = Assignment("", Requirements())


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


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a lane: `looked_at` ids in line and the tasks among them; `wait_ms` until the next delayed one or -1."""

    tasks: list[Unplaced]
    looked_at: int
    wait_ms: int


class PlacementStore:
    """Lanes of one hive."""

    def __init__(self, link: RedisLink, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self._link = link
        self._run = ScriptRunner(link, keyspace).run

    async def waiting(self, partition: int, lane: str, skip: int, most: int) -> Page:
        """`most` of what stands in a lane after `skip`, in order."""
        wait_ms, looked_at, ids, envelopes, texts = await self._run(
            scripts.WAITING, partition, [skip, most], types=[lane]
        )
        tasks = [
            Unplaced(task_id.decode(), envelope, Assignment.unpack(text), lane)
            for task_id, envelope, text in zip(ids, envelopes, texts, strict=True)
        ]
        return Page(tasks, looked_at, wait_ms)

    async def given(self) -> dict[str, int]:
        """How many tasks wait in the lane of each node that has any, in all partitions together."""
        lengths = await self._lengths("placed")
        return {node: length for lane, length in lengths.items() if (node := node_of(lane)) is not None}

    async def ready(self) -> dict[str, int]:
        """How many tasks of each type are ready to be claimed by anybody with the skill, in all partitions."""
        return await self._lengths("ready")

    async def _lengths(self, index: str) -> Counter[str]:
        lengths: Counter[str] = Counter()
        for partition in range(self.keyspace.partitions):
            key = self.keyspace.key(partition, index)
            lanes = [lane.decode() for lane in await self._link.command("ZRANGE", key, 0, -1)]
            for start in range(0, len(lanes), LANES_PER_CALL_MAX):
                part = lanes[start : start + LANES_PER_CALL_MAX]
                found = await self._run(scripts.LENGTHS, partition, types=part)
                lengths.update(dict(zip(part, found, strict=True)))
        return lengths

    async def move(self, partition: int, moves: Sequence[Move]) -> list[Move]:
        """Move pending tasks, each at its place in line; those that were where they were thought to be."""
        lanes = list(dict.fromkeys(lane for move in moves for lane in (move.source, move.target)))
        args: list[Argument] = []
        for move in moves:
            note = move.assignment.pack() if move.assignment else b""
            args += [move.task_id, lanes.index(move.source) + 1, lanes.index(move.target) + 1, note]
        reply: bytes = await self._run(scripts.ASSIGN, partition, args, types=lanes)
        return [moves[int(index)] for index in reply.split(b",")] if reply else []

    async def recall(self, node: str) -> int:
        """Have placed anew what an earlier life of a node was given, which may have been able to do more; how many."""
        returned, lane = 0, own_lane(node)
        for partition in range(self.keyspace.partitions):
            looked_at = RECALL_STEP
            while looked_at == RECALL_STEP:
                page = await self.waiting(partition, lane, 0, RECALL_STEP)
                looked_at = page.looked_at
                moves = [Move(it.task_id, lane, WAITING, Assignment("", it.assignment.needs)) for it in page.tasks]
                returned += len(await self.move(partition, moves)) if moves else 0
        return returned

    async def pass_on(self, partition: int, lane: str) -> None:
        """Wake another node of a lane: this one was woken and does not claim now."""
        await self._run(scripts.PASS_ON, partition, types=[lane])

    def wake_keys(self) -> list[bytes]:
        """The lists a dispatcher blocks on."""
        keys = []
        for partition in range(self.keyspace.partitions):
            keys += [self.keyspace.type_keys(partition, WAITING)[2], self.keyspace.key(partition, "dispatch")]
        return keys
