"""The typed door to the runs in Redis: what was asked for, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from venom_core.domain.run import RUN_TTL_S, RunRecord, open_run, seal_run
from venom_core.errors import UnknownTask
from venom_core.infrastructure import scripts
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.line import Argument
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import ScriptRunner

# A count outlives its record, so that whoever finds the record finds the count.
COUNT_LONGER_MS = 60_000
COUNT_TTL_MS = RUN_TTL_S * 1000 + COUNT_LONGER_MS


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run at one moment; `fold` are the tasks of the last level that was folded, `ended` counts its items."""

    run_id: str
    record: RunRecord
    enqueued: int
    cancelled: bool
    fold: list[str]
    ended: int = 0


class JoinCounts:
    """How many tasks of a run have ended, counted by the scripts that end them, partition by partition."""

    def __init__(self, link: RedisLink, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._run = ScriptRunner(link, keyspace).run

    async def keep(self, run_id: str, ttl_ms: int, *, opening: bool = False) -> int:
        """Count from now on if `opening`, and for `ttl_ms` more in any case; the number that has ended."""
        args: list[Argument] = [run_id, int(opening), ttl_ms]
        ended = [await self._run(scripts.COUNT_RUN, number, args) for number in range(self._keyspace.partitions)]
        return sum(count or 0 for count in ended)


class RunStore:
    """Records of runs. Each call keeps the record for `RUN_TTL_S` from now, or as long as results once it is over."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive
        self._run = ScriptRunner(hive.link, hive.tasks.keyspace).run
        self._counts = JoinCounts(hive.link, hive.tasks.keyspace)

    async def open(self, run_id: str, record: RunRecord) -> KnownRun:
        """Open a run, or find it as it was opened before; `TaskExists` if that was another."""
        found = await self._keep(run_id, seal_run(self._hive.seal, run_id, record))
        record.refuse_other(run_id, found.record)
        return replace(found, ended=await self._counts.keep(run_id, COUNT_TTL_MS, opening=True))

    async def find(self, run_id: str) -> KnownRun:
        """A run as it stands; `UnknownTask` if nobody opened it or it is forgotten."""
        found = await self._keep(run_id)
        return replace(found, ended=await self._counts.keep(run_id, COUNT_TTL_MS))

    async def note_enqueued(self, run_id: str, enqueued: int) -> KnownRun:
        """All items before this index are enqueued."""
        return await self._keep(run_id, enqueued=enqueued)

    async def note_fold(self, run_id: str, task_ids: Sequence[str]) -> KnownRun:
        """These tasks fold the run now."""
        return await self._keep(run_id, fold=" ".join(task_ids))

    async def cancel(self, run_id: str) -> KnownRun:
        """No more of its items are to be enqueued."""
        return await self._keep(run_id, cancelled=1)

    async def end(self, run_id: str) -> None:
        """All its tasks have ended: it is remembered as long as their results."""
        ttl_ms = self._hive.keep.result_ttl_ms
        await self._keep(run_id, ttl_ms=ttl_ms)
        await self._counts.keep(run_id, ttl_ms + COUNT_LONGER_MS)

    async def _keep(
        self,
        run_id: str,
        record: bytes = b"",
        *,
        ttl_ms: int = RUN_TTL_S * 1000,
        enqueued: int = 0,
        cancelled: int = 0,
        fold: str = "",
    ) -> KnownRun:
        space = self._hive.tasks.keyspace
        reply = await self._run(
            scripts.KEEP_RUN,
            space.partition_of(run_id),
            [record, ttl_ms, enqueued, cancelled, fold],
            extra=[space.gather(run_id)],
        )
        if not reply:
            raise UnknownTask(f"no run {run_id} is known; was it started in this hive, and less than a week ago?")
        sealed, reached, off, folding = reply
        found = open_run(self._hive.seal, run_id, sealed)
        return KnownRun(run_id, found, reached, bool(off), folding.decode().split())
