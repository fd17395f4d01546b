"""The real stores, which also write down what they are asked and what they answer. Nothing of the product changes.

`install` puts them where the product finds its stores, so that a Spore, a Nexus or a broker of this process uses them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from redis import Redis

from chaos.events import Recorder, here, level_mark, sum_of
from venom_core import nexus
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.errors import StoreError
from venom_core.infrastructure import consumer, hive
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.lease_keeper import LeaseKeeper
from venom_core.infrastructure.line import Argument
from venom_core.infrastructure.node_store import Beat, Joined, NodeStore
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import Script, ScriptRunner
from venom_core.infrastructure.task_records import Batch, Held, Retention, Settlement, TaskGroup
from venom_core.infrastructure.task_store import TaskStore
from venom_spore import worker

_NOW: ContextVar[int] = ContextVar("chaos_now", default=0)
_NOW_STANDS = {"enqueue": 1, "claim": 1, "settle": 0}
VERB_MARKS = {"retry": "r", "back": "b", "crash": "k"}


class _TimedRunner(ScriptRunner):
    """Keeps the time that Redis names in its answers."""

    async def run(
        self,
        script: Script,
        partition: int,
        args: Sequence[Argument] = (),
        *,
        types: Sequence[str] = (),
        extra: Sequence[bytes] = (),
    ) -> Any:
        reply = await super().run(script, partition, args, types=types, extra=extra)
        stands = _NOW_STANDS.get(script.name)
        if stands is not None:
            _NOW.set(int(reply[stands]) if len(reply) > stands else 0)
        return reply


class RecordingStore(TaskStore):
    """All task transitions, written down."""

    def __init__(
        self, link: RedisLink, keyspace: Keyspace, *, guard_replays: bool = False, recorder: Recorder | None = None
    ) -> None:
        super().__init__(link, keyspace, guard_replays=guard_replays)
        self._runner = _TimedRunner(link, keyspace)
        self._run = self._runner.run
        self._recorder = recorder or here()
        self._claims: dict[tuple[int, int, int], int] = {}
        self._claimed: tuple[int, int, int] = (0, 0, 0)

    async def enqueue(self, groups: Sequence[TaskGroup], queued_max: int) -> dict[str, bytes]:
        write = self._recorder.write
        calls = [
            write("enqueue", lane=group.lane, level=group.priority, delay=_delay(group.when), ids=tuple(group.ids))
            for group in groups
        ]
        try:
            taken = await super().enqueue(groups, queued_max)
        except BaseException as fault:
            self._failed(calls, fault)
            raise
        now = _NOW.get()
        for call, group in zip(calls, groups, strict=True):
            others = tuple(index for index, task_id in enumerate(group.ids) if task_id in taken)
            write("ok", op=call, now=now, refused=others)
        return taken

    async def claim(
        self,
        partition: int,
        epoch: int,
        number: int,
        types: Sequence[str],
        count: int,
        hints: tuple[str, str] = ("", ""),
    ) -> Batch:
        call = self._asked_to_claim(partition, epoch, number, count)
        try:
            return await super().claim(partition, epoch, number, types, count, hints)
        except BaseException as fault:
            self._failed([call], fault)
            raise

    def claim_command(
        self, partition: int, epoch: int, number: int, types: Sequence[str], count: int, watched: str
    ) -> bytes:
        self._asked_to_claim(partition, epoch, number, count)
        return super().claim_command(partition, epoch, number, types, count, watched)

    def _asked_to_claim(self, partition: int, epoch: int, number: int, count: int) -> int:
        # What is asked again is found in the running table, in no order.
        claim = (partition, epoch, number)
        text, self._claimed = "again" if claim == self._claimed else "", claim
        call = self._recorder.write("claim", partition=partition, epoch=epoch, number=number, count=count, text=text)
        self._claims[claim] = call
        return call

    def read_claim(self, partition: int, epoch: int, number: int, reply: Any) -> Batch:  # type: ignore[override]  # it is called on the store
        """What a claim brought, written down."""
        call = self._claims.pop((partition, epoch, number))
        try:
            batch = TaskStore.read_claim(partition, epoch, number, reply)
        except StoreError as fault:
            self._failed([call], fault)
            raise
        marks = "".join(
            level_mark(lease.envelope[3], tried=lease.failures + lease.crashes > 0) for lease in batch.leases
        )
        ids = tuple(lease.task_id for lease in batch.leases)
        self._recorder.write("ok", op=call, now=batch.now_ms, ids=ids, marks=marks)
        return batch

    async def settle(
        self, partition: int, epoch: int, number: int, items: Sequence[Settlement], keep: Retention
    ) -> tuple[list[Settlement], list[Settlement]]:
        write = self._recorder.write
        groups: dict[str, list[Settlement]] = {}
        for item in items:
            groups.setdefault(item.lease.fence, []).append(item)
        calls = [
            write(
                "settle",
                epoch=epoch,
                number=number,
                fence=fence,
                ids=tuple(item.lease.task_id for item in group),
                marks="".join(map(_mark, group)),
                sums=tuple(sum_of(item.data) if isinstance(item.data, bytes) else 0 for item in group),
            )
            for fence, group in groups.items()
        ]
        try:
            refused, asked = await super().settle(partition, epoch, number, items, keep)
        except BaseException as fault:
            self._failed(calls, fault)
            raise
        now, stale, wished = _NOW.get(), set(map(id, refused)), set(map(id, asked))
        for call, group in zip(calls, groups.values(), strict=True):
            write("ok", op=call, now=now, refused=_places(group, stale), asked=_places(group, wished))
        return refused, asked

    async def take_back(
        self,
        partition: int,
        epoch: int,
        items: Sequence[tuple[str, Held, bytes, bytes]],
        keep: Retention,
        *,
        force: bool = False,
    ) -> tuple[int, int]:
        call = self._recorder.write(
            "take",
            partition=partition,
            epoch=epoch,
            number=int(force),
            ids=tuple(task_id for task_id, _, _, _ in items),
            fences=tuple(held.fence for _, held, _, _ in items),
            sums=tuple(itertools.chain.from_iterable((sum_of(lost), sum_of(off)) for _, _, lost, off in items)),
        )
        try:
            returned, ended = await super().take_back(partition, epoch, items, keep, force=force)
        except BaseException as fault:
            self._failed([call], fault)
            raise
        self._recorder.write("ok", op=call, count=returned + ended)
        return returned, ended

    async def cancel(self, task_id: str, lanes: Sequence[str], record: bytes, keep: Retention) -> str:
        call = self._recorder.write("cancel", ids=(task_id,), sums=(sum_of(record),))
        try:
            answer = await super().cancel(task_id, lanes, record, keep)
        except BaseException as fault:
            self._failed([call], fault)
            raise
        self._recorder.write("ok", op=call, text=answer)
        return answer

    async def requeue(self, task_id: str, lane: str) -> str:
        call = self._recorder.write("requeue", ids=(task_id,))
        try:
            answer = await super().requeue(task_id, lane)
        except BaseException as fault:
            self._failed([call], fault)
            raise
        self._recorder.write("ok", op=call, text=answer)
        return answer

    def _failed(self, calls: Sequence[int], fault: BaseException) -> None:
        for call in calls:
            self._recorder.write("fault", op=call, text=type(fault).__name__)


class RecordingNodes(NodeStore):
    """Joining, leaving and leading, written down."""

    def __init__(self, link: RedisLink, keyspace: Keyspace, *, recorder: Recorder | None = None) -> None:
        super().__init__(link, keyspace)
        self._recorder = recorder or here()

    async def join(self, profile: NodeProfile, lease_ms: int) -> Joined:
        call = self._recorder.write("join", text=profile.name, number=lease_ms)
        joined = await super().join(profile, lease_ms)
        self._recorder.write("ok", op=call, epoch=joined.epoch, older=joined.older_epoch, now=joined.now_ms)
        return joined

    async def leave(self, epoch: int, name: str, *, clean: bool) -> None:
        self._recorder.write("leave", epoch=epoch)
        await super().leave(epoch, name, clean=clean)

    async def lead(self, name: str, lease_ms: int) -> int:
        call = self._recorder.write("lead", text=name, number=lease_ms)
        epoch = await super().lead(name, lease_ms)
        self._recorder.write("ok", op=call, epoch=epoch)
        return epoch

    async def resign(self, name: str) -> None:
        self._recorder.write("resign", text=name)
        await super().resign(name)


class RecordingKeeper(LeaseKeeper):
    """Renewals, written down."""

    def _renew(self, client: Redis, partition: int, epoch: int, load: NodeLoad) -> Beat:
        beat = super()._renew(client, partition, epoch, load)
        here().write("renew", partition=partition, epoch=epoch, now=beat.now_ms, text="ok" if beat.alive else "lost")
        return beat


def install(kind: str, name: str) -> None:
    """From now on every store of this process writes its history."""
    recorder = here(kind)
    recorder.write("hello", text=name, lane=kind, number=recorder.pid)
    # The product looks its stores up by these names when it connects.
    for module, attribute, recording in (
        (hive, "TaskStore", RecordingStore),
        (hive, "NodeStore", RecordingNodes),
        (worker, "LeaseKeeper", RecordingKeeper),
        (nexus, "LeaseKeeper", RecordingKeeper),
        (consumer, "LeaseKeeper", RecordingKeeper),
    ):
        setattr(module, attribute, recording)


def _delay(when: str) -> int:
    return int(when[1:]) if when.startswith("+") else 0


def _mark(item: Settlement) -> str:
    """c, f, x or q for an end, as in the record; r retry, b handed back, k crash."""
    if item.verb == "end":
        assert isinstance(item.data, bytes)
        return chr(item.data[3])
    return VERB_MARKS[item.verb]


def _places(group: Sequence[Settlement], chosen: set[int]) -> tuple[int, ...]:
    return tuple(index for index, item in enumerate(group) if id(item) in chosen)
