"""The typed door to the tasks in Redis: one method a transition, each one atomic script.

Nothing here decides; policy arrives as arguments. Every method may be called again after a lost reply.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from venom_core.domain.lane import claimed_by_type, home_lane
from venom_core.errors import LeaseLate, LeaseLost, QueueFull
from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.line import Argument
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import ScriptRunner
from venom_core.infrastructure.task_records import Batch, Held, Lease, Retention, Seen, Settlement, TaskGroup

TASKS_PER_CALL_MAX = 500
PARTIALS_MAX, PARTIALS_PAGE = 1_000, 16
WAITERS_MAX = 32
ANY_TYPE = "*"
# Who was woken does not say by which lane.
ANY_LANE = "%"


class TaskStore:
    """All task transitions of one hive."""

    def __init__(self, link: RedisLink, keyspace: Keyspace, *, guard_replays: bool = False) -> None:
        self._guard = int(guard_replays)
        self.link = link
        self.keyspace = keyspace
        self._runner = ScriptRunner(link, keyspace)
        self._run = self._runner.run

    async def enqueue(self, groups: Sequence[TaskGroup], queued_max: int) -> dict[str, bytes]:
        """Store new tasks; the answer holds ids that were taken by another envelope, with that envelope.

        Raises `QueueFull`; nothing of the affected partition was stored then.
        """
        taken: dict[str, bytes] = {}
        for partition, parts in self._by_partition(groups).items():
            types = list(dict.fromkeys(group.lane for group in parts))
            args: list[Argument] = [queued_max]
            ids: list[str] = []
            for group in parts:
                args += [types.index(group.lane) + 1, group.priority, group.when, group.reply_to, len(group.ids)]
                args += [item for pair in zip(group.ids, group.envelopes, strict=True) for item in pair]
                ids += group.ids
            reply = await self._run(scripts.ENQUEUE, partition, args, types=types)
            if reply[0] == b"full":
                raise QueueFull(f"the hive already holds {queued_max:,} queued tasks; wait, or raise HIVE_QUEUED_MAX")
            taken |= {ids[index]: envelope for index, envelope in zip(reply[2::2], reply[3::2], strict=True)}
        return taken

    def _by_partition(self, groups: Sequence[TaskGroup]) -> dict[int, list[TaskGroup]]:
        if self.keyspace.partitions == 1:
            return {0: list(groups)}
        split: dict[int, list[TaskGroup]] = {}
        for group in groups:
            parts: dict[int, TaskGroup] = {}
            for task_id, envelope in zip(group.ids, group.envelopes, strict=True):
                partition = self.keyspace.partition_of(task_id)
                if partition not in parts:
                    parts[partition] = TaskGroup(group.lane, group.priority, group.when, reply_to=group.reply_to)
                    split.setdefault(partition, []).append(parts[partition])
                parts[partition].ids.append(task_id)
                parts[partition].envelopes.append(envelope)
        return split

    async def claim(
        self,
        partition: int,
        epoch: int,
        number: int,
        types: Sequence[str],
        count: int,
        hints: tuple[str, str] = ("", ""),
    ) -> Batch:
        """Lease up to `count` tasks; `hints` are the type that woke this node and the type it watches.

        The same `number` again answers the same batch. Raises `LeaseLost` or `LeaseLate`.
        """
        reply = await self._run(scripts.CLAIM, partition, [epoch, number, count, *hints, self._guard], types=types)
        return self.read_claim(partition, epoch, number, reply)

    def claim_command(
        self, partition: int, epoch: int, number: int, types: Sequence[str], count: int, watched: str
    ) -> bytes:
        """The same claim as a command to be sent behind one that blocks; it leaves a token wherever work remains."""
        args: list[Argument] = [epoch, number, count, ANY_LANE, watched, self._guard]
        return self._runner.command(scripts.CLAIM, partition, args, types=types)

    @staticmethod
    def read_claim(partition: int, epoch: int, number: int, reply: Any) -> Batch:
        """What a claim brought. Raises `LeaseLost` or `LeaseLate`."""
        if reply[0] == b"late":
            raise LeaseLate(f"the lease of epoch {epoch} ran out; it must be renewed before it may claim")
        if reply[0] == b"old":
            return Batch([], reply[1], -1, "", old=True)
        if reply[0] != b"ok":
            raise LeaseLost(f"the lease of epoch {epoch} ran out or was taken over")
        _, now_ms, wait_ms, watched, ids, envelopes, tried, given = reply
        fence = f"{epoch}.{number}|"
        if not tried:
            leases = [
                Lease(task_id.decode(), envelope, 0, 0, fence, partition, now_ms)
                for task_id, envelope in zip(ids, envelopes, strict=True)
            ]
        else:
            leases = [
                Lease(task_id.decode(), envelope, *(_tries(tries) if tries else (0, 0)), fence, partition, now_ms)
                for task_id, envelope, tries in zip(ids, envelopes, tried, strict=True)
            ]
        if given:
            mine = {task_id.decode() for task_id in given}
            for lease in leases:
                lease.given = lease.task_id in mine
        return Batch(leases, now_ms, wait_ms, watched.decode())

    async def unwatch(self, partition: int, epoch: int, types: Sequence[str]) -> None:
        """Others are to wake for the next delayed tasks of these types, because this node gives up waiting."""
        await self._run(scripts.UNWATCH, partition, [epoch], types=types)

    async def settle(
        self, partition: int, epoch: int, number: int, items: Sequence[Settlement], keep: Retention
    ) -> tuple[list[Settlement], list[Settlement]]:
        """Report how attempts ended.

        The answer lists the settlements that were refused as stale, and those left as they are because
        somebody wants the task cancelled.
        """
        ends: dict[str, list[Argument]] = {}
        others: list[Settlement] = []
        for item in items:
            lease = item.lease
            if item.verb != "end":
                others.append(item)
            elif lease.fence in ends:
                ends[lease.fence] += (lease.task_id, item.data)
            else:
                ends[lease.fence] = [lease.task_id, item.data]
        types = list(dict.fromkeys(item.lane for item in others))
        limits = (keep.result_ttl_ms, keep.dead_ttl_ms, keep.dead_max, keep.crashes_max)
        args: list[Argument] = [epoch, number, *limits, len(ends)]
        for fence, pairs in ends.items():
            args += (fence, len(pairs) // 2, *pairs)
        for item in others:
            args += (item.lease.task_id, item.lease.fence, item.verb, item.data, types.index(item.lane) + 1)
        reply = await self._run(scripts.SETTLE, partition, args, types=types)
        if not (reply[1] or reply[2]):
            return [], []
        by_fence: dict[str, list[Settlement]] = {fence: [] for fence in ends}
        for item in items:
            if item.verb == "end":
                by_fence[item.lease.fence].append(item)
        ordered = [*chain.from_iterable(by_fence.values()), *others]
        return [ordered[index] for index in _indexes(reply[1])], [ordered[index] for index in _indexes(reply[2])]

    async def take_back(
        self,
        partition: int,
        epoch: int,
        items: Sequence[tuple[str, Held, bytes, bytes]],
        keep: Retention,
        *,
        force: bool = False,
    ) -> tuple[int, int]:
        """Return tasks of a dead node to the line; items are (id, held, quarantined record, cancelled record).

        `force` takes single tasks from a living node. Answers (returned, ended); (0, 0) if the node lives.
        """
        types = list(dict.fromkeys(home_lane(held.lane) for _, held, _, _ in items))
        args: list[Argument] = [
            epoch,
            int(force),
            keep.result_ttl_ms,
            keep.dead_ttl_ms,
            keep.dead_max,
            keep.crashes_max,
        ]
        args.append(self.keyspace.node_channel(epoch))
        for task_id, held, quarantined, cancelled in items:
            args += [task_id, held.fence, quarantined, cancelled, types.index(home_lane(held.lane)) + 1]
        reply = await self._run(scripts.TAKE_BACK, partition, args, types=types)
        return (reply[1], reply[2]) if reply[0] == b"ok" else (0, 0)

    async def cancel(self, task_id: str, lanes: Sequence[str], record: bytes, keep: Retention) -> str:
        """End a task that is pending in one of the lanes, or ask its node to.

        Answers "cancelled", "asked", "finished", "unknown", or "elsewhere" if it stands in another lane.
        """
        args: list[Argument] = [task_id, record, keep.result_ttl_ms, keep.dead_max, self.keyspace.node_channel()]
        partition = self.keyspace.partition_of(task_id)
        reply: bytes = await self._run(scripts.CANCEL, partition, args, types=lanes)
        return reply.decode()

    async def requeue(self, task_id: str, lane: str) -> str:
        """Put an ended task back in line: "pending", "completed", "active" or "unknown"."""
        partition = self.keyspace.partition_of(task_id)
        reply: bytes = await self._run(scripts.REQUEUE, partition, [task_id], types=[lane])
        return reply.decode()

    async def note(self, notes: Sequence[tuple[Lease, str, bytes]], ttl_ms: int) -> list[Lease]:
        """Store progress ("progress") and partial results ("emit"); answers the leases that are stale."""
        stale: list[Lease] = []
        for partition in {lease.partition for lease, _, _ in notes}:
            part = [note for note in notes if note[0].partition == partition]
            args: list[Argument] = [ttl_ms, PARTIALS_MAX]
            for lease, kind, data in part:
                args += [lease.task_id, lease.fence, kind, data]
            lists = [self.keyspace.partial(partition, lease.task_id) for lease, _, _ in part]
            reply = await self._run(scripts.NOTE, partition, args, extra=lists)
            stale += [part[index][0] for index in _indexes(reply)]
        return stale

    async def partials(self, task_id: str, start: int) -> list[tuple[int, bytes]]:
        """Partial results from number `start` on, (number, data) each; the latest 1,000 of a task are kept."""
        key = self.keyspace.partial(self.keyspace.partition_of(task_id), task_id)
        count = PARTIALS_PAGE
        while True:
            reply: list[bytes] = await self.link.command("LRANGE", key, -count, -1)
            found = [(int(number), data) for number, _, data in (item.partition(b"|") for item in reply)]
            if len(found) < count or found[0][0] <= start:
                return [item for item in found if item[0] >= start]
            count += found[0][0] - start

    async def look(self, ids: Sequence[str]) -> dict[str, Seen]:
        """All that is known of some tasks, each partition read at one moment."""
        seen: dict[str, Seen] = {}
        for partition, part in self._pages(ids):
            now_ms, *columns = await self._run(scripts.LOOK, partition, part)
            for task_id, envelope, held, outcome, tries, progress, assigned in zip(part, *columns, strict=True):
                counts = _tries(tries) if tries else (0, 0)
                holder = Held.parse(held) if held else None
                seen[task_id] = Seen(now_ms, envelope, holder, outcome, *counts, progress, assigned)
        return seen

    async def tries(self, partition: int, ids: Sequence[str]) -> list[tuple[int, int]]:
        """(failures, crashes) of each task so far."""
        reply = await self.link.command("HMGET", self.keyspace.key(partition, "tries"), *ids)
        return [_tries(text) if text else (0, 0) for text in reply]

    async def is_unwanted(self, task_id: str) -> bool:
        """Whether somebody wants a running task to end."""
        key = self.keyspace.key(self.keyspace.partition_of(task_id), "cancel")
        return bool(await self.link.command("HEXISTS", key, task_id))

    async def place(self, task_id: str, lane: str) -> tuple[int, int, int, int]:
        """(now ms, rank in its queue or -1, due ms or -1, length of its queue) of a pending task."""
        partition = self.keyspace.partition_of(task_id)
        now_ms, rank, due, length = await self._run(scripts.PLACE, partition, [task_id], types=[lane])
        return now_ms, rank, int(float(due)), length

    async def wait(self, ids: Sequence[str], channel: str, *, envelopes: bool) -> dict[str, tuple[bytes, bytes]]:
        """Register for the end of tasks.

        Per id its outcome record, b"pending", b"crowded" or b"unknown", and its envelope if asked for.
        """
        found: dict[str, tuple[bytes, bytes]] = {}
        for partition, part in self._pages(ids):
            reply = await self._run(scripts.WAIT, partition, [channel, WAITERS_MAX, int(envelopes), *part])
            found |= dict(zip(part, zip(reply[::2], reply[1::2], strict=True), strict=True))
        return found

    async def unwait(self, ids: Sequence[str], channel: str) -> None:
        """Take a registration back."""
        for partition, part in self._pages(ids):
            await self._run(scripts.UNWAIT, partition, [channel, *part])

    async def stats(self) -> list[int]:
        """[high, background, running, dead letters, completed, failed, cancelled, quarantined] of the whole hive."""
        rows = [await self._run(scripts.STATS, partition) for partition in range(self.keyspace.partitions)]
        return [sum(column) for column in zip(*rows, strict=True)]

    async def dead_letters(self, offset: int, limit: int) -> list[str]:
        """Ids of dead letters, newest first."""
        found: list[tuple[float, str]] = []
        for partition in range(self.keyspace.partitions):
            key = self.keyspace.key(partition, "dead")
            page = await self.link.command("ZRANGE", key, 0, offset + limit - 1, "REV", "WITHSCORES")
            pairs = page if page and isinstance(page[0], list) else zip(page[::2], page[1::2], strict=True)
            found += [(float(died), task_id.decode()) for task_id, died in pairs]
        return [task_id for _, task_id in sorted(found, reverse=True)[offset : offset + limit]]

    async def purge(self, before_ms: int, ids: Sequence[str] = ()) -> int:
        """Forget the given dead letters, or up to 1,000 a partition that died before `before_ms`."""
        pages: Iterable[tuple[int, Sequence[str]]] = self._pages(ids)
        if not ids:
            pages = [(partition, ()) for partition in range(self.keyspace.partitions)]
        gone = 0
        for partition, part in pages:
            gone += await self._run(scripts.PURGE, partition, [before_ms, 1_000, *part])
        return gone

    async def forget_expired(self, most: int) -> int:
        """Forget up to `most` results a partition that are past their time."""
        gone = 0
        for partition in range(self.keyspace.partitions):
            gone += await self._run(scripts.FORGET, partition, [most])
        return gone

    async def running(self, partition: int, cursor: int) -> tuple[int, list[tuple[str, Held]]]:
        """One page of the running table and the cursor of the next (0 = done)."""
        key = self.keyspace.key(partition, "run")
        following, fields = await self.link.command("HSCAN", key, cursor, "COUNT", 500)
        pairs = fields.items() if isinstance(fields, dict) else zip(fields[::2], fields[1::2], strict=True)
        return int(following), [(task_id.decode(), Held.parse(held)) for task_id, held in pairs]

    async def held(self, partition: int, ids: Sequence[str]) -> dict[str, Held]:
        """Those of some tasks of a partition that are leased now."""
        reply = await self.link.command("HMGET", self.keyspace.key(partition, "run"), *ids) if ids else []
        return {task_id: Held.parse(held) for task_id, held in zip(ids, reply, strict=True) if held}

    async def running_pages(self, partition: int) -> AsyncIterator[list[tuple[str, Held]]]:
        """The running table, page by page; what changes meanwhile may be there or not, or twice."""
        cursor = 0
        while True:
            cursor, page = await self.running(partition, cursor)
            yield page
            if cursor == 0:
                return

    async def open_types(self, partition: int, most: int) -> list[str]:
        """Types with work ready or delayed, the most urgent first."""
        ready = await self.link.command("ZRANGE", self.keyspace.key(partition, "ready"), 0, most - 1)
        due = await self.link.command("ZRANGE", self.keyspace.key(partition, "due"), 0, most - 1)
        lanes = dict.fromkeys(name.decode() for name in [*ready, *due])
        return [lane for lane in lanes if claimed_by_type(lane)][:most]

    async def audit(self, what: str, task_id: str, why: str, node: str) -> None:
        """Write a line of the security audit."""
        await self._run(scripts.REFUSE, self.keyspace.partition_of(task_id), [what, task_id, why[:500], node])

    def wake_keys(self, types: Iterable[str]) -> list[bytes]:
        """The lists an idle node of these types blocks on; `ANY_TYPE` for the token of any type."""
        keys = []
        for partition in range(self.keyspace.partitions):
            for name in types:
                wake = self.keyspace.key(partition, "wake")
                keys.append(wake if name == ANY_TYPE else self.keyspace.type_keys(partition, name)[2])
        return keys

    def _pages(self, ids: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        split: dict[int, list[str]] = {}
        for task_id in ids:
            split.setdefault(self.keyspace.partition_of(task_id), []).append(task_id)
        for partition, part in split.items():
            for start in range(0, len(part), TASKS_PER_CALL_MAX):
                yield partition, part[start : start + TASKS_PER_CALL_MAX]


def _tries(text: bytes) -> tuple[int, int]:
    failures, _, crashes = text.partition(b".")
    return int(failures), int(crashes)


def _indexes(text: bytes | Any) -> list[int]:
    return [int(index) for index in text.split(b",")] if text else []
