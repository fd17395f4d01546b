"""From what a caller asks to sealed envelopes in the queue: checks first, everything, then sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Raw

from venom_core.config import Settings
from venom_core.domain import payload as payloads
from venom_core.domain.lane import first_lane
from venom_core.domain.request import TaskOptions, Terms, settle_terms
from venom_core.domain.task import TaskBody, open_task, priority_of, seal_task
from venom_core.domain.task_id import TaskIds, check_id, check_type
from venom_core.errors import InvalidTask, TaskExists, VenomError
from venom_core.infrastructure.enqueuer import CALL_BYTES_MAX, Enqueuer
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.task_records import TaskGroup
from venom_core.infrastructure.task_store import TASKS_PER_CALL_MAX

# Terms of options that come back, call after call. 1, 1.0 and True are equal, so the kind belongs to the key.
REPEATED = frozenset({"priority", "timeout", "max_retries", "delay"})
TERMS_MAX = 64
_SIMPLE = frozenset({int, float, str, type(None)})


def _nobody(_task_id: str, _envelope: bytes) -> str:
    """Nobody is to be told."""
    return ""


class Intake:
    """Takes tasks into one hive."""

    def __init__(self, hive: Hive, settings: Settings, foresee: Callable[[str, bytes], str] = _nobody) -> None:
        """`foresee`: the channel to be told of a new task's end (id, envelope), or ""."""
        self._hive, self._settings, self._foresee = hive, settings, foresee
        self._enqueuer = Enqueuer(hive.tasks, settings.hive_queued_max)
        self._new_ids = TaskIds()
        self._settled: dict[tuple[object, ...], Terms] = {}

    async def close(self) -> None:
        """Wait until everything submitted has been sent or refused."""
        await self._enqueuer.close()

    async def one(
        self, task_type: str, payload: dict[str, Any] | None, task_id: str | None, options: dict[str, Any]
    ) -> str:
        """Enqueue one task, sharing the round trip with whatever is enqueued at the same time; its id."""
        hive = self._hive
        terms = self._terms(options)
        body = self._body(check_type(task_type), self._encode(payload), terms)
        new_id = self._new_ids.take(1, hive.now_ms())[0] if task_id is None else check_id(task_id)
        envelope = seal_task(hive.seal, new_id, terms.priority, body)
        # An id of the caller's own may be known already, and have ended: whoever waits for that one asks.
        reply_to = self._foresee(new_id, envelope) if task_id is None else ""
        other = await self._enqueuer.submit(first_lane(body), terms.priority, terms.when, new_id, envelope, reply_to)
        if other is not None:
            self._compare(new_id, body, terms, other)
        return new_id

    async def many(
        self,
        task_type: str,
        payloads_: Iterable[dict[str, Any] | payloads.Encoded],
        task_ids: Iterable[str] | None,
        options: dict[str, Any],
    ) -> list[str]:
        """Enqueue any number of tasks under the same options; their ids in order."""
        terms = self._terms(options)
        check_type(task_type)
        raws = [self._encode(payload) for payload in payloads_]
        ids = self._ids(len(raws), task_ids)
        bodies = [self._body(task_type, raw, terms) for raw in raws]
        by_id = dict(zip(ids, bodies, strict=True))
        for task_id, other in (await self._send(self._chunks(terms, by_id))).items():
            self._compare(task_id, by_id[task_id], terms, other)
        return ids

    def _ids(self, count: int, task_ids: Iterable[str] | None) -> list[str]:
        if task_ids is None:
            return self._new_ids.take(count, self._hive.now_ms())
        ids = [check_id(task_id) for task_id in task_ids]
        if len(ids) != count or len(set(ids)) != count:
            raise InvalidTask(f"{len(set(ids))} distinct task ids for {count} payloads; give one for each")
        return ids

    def _chunks(self, terms: Terms, bodies: dict[str, TaskBody]) -> list[TaskGroup]:
        groups: list[TaskGroup] = []
        size = CALL_BYTES_MAX
        seal = self._hive.seal
        for task_id, body in bodies.items():
            envelope = seal_task(seal, task_id, terms.priority, body)
            size += len(envelope)
            if size > CALL_BYTES_MAX or len(groups[-1].ids) == TASKS_PER_CALL_MAX:
                groups.append(TaskGroup(first_lane(body), terms.priority, terms.when))
                size = len(envelope)
            groups[-1].ids.append(task_id)
            groups[-1].envelopes.append(envelope)
        return groups

    async def _send(self, groups: Sequence[TaskGroup]) -> dict[str, bytes]:
        """Send one call after the other: two at once could arrive in the other order, and first in is first out."""
        stored = 0
        taken: dict[str, bytes] = {}
        for group in groups:
            try:
                taken |= await self._enqueuer.send([group])
            except VenomError as fault:
                fault.add_note(f"{stored:,} of {sum(len(each.ids) for each in groups):,} tasks were stored before this")
                raise
            stored += len(group.ids)
        return taken

    def _terms(self, options: dict[str, Any]) -> Terms:
        kinds = list(map(type, options.values()))
        if not (options.keys() <= REPEATED and _SIMPLE.issuperset(kinds)):
            return self._settle(options)
        known = (*options.items(), *kinds)
        terms = self._settled.get(known)
        if terms is None:
            terms = self._settle(options)
            if len(self._settled) == TERMS_MAX:
                self._settled.clear()
            self._settled[known] = terms
        return terms

    def _settle(self, options: dict[str, Any]) -> Terms:
        settings = self._settings
        return settle_terms(TaskOptions.parse(options), settings.hive_task_timeout, settings.hive_max_retries)

    def _encode(self, payload: dict[str, Any] | payloads.Encoded | None) -> bytes:
        return payloads.encode_payload(payload, self._settings.hive_payload_bytes_max)

    def _body(self, task_type: str, raw: bytes, terms: Terms) -> TaskBody:
        return TaskBody(
            task_type,
            Raw(raw),
            terms.timeout_ms,
            terms.max_retries,
            self._hive.now_ms(),
            terms.deadline_ms,
            terms.requirements,
            terms.extra,
        )

    def _compare(self, task_id: str, body: TaskBody, terms: Terms, other: bytes) -> None:
        theirs = open_task(self._hive.seal, task_id, other)
        same = (body.task_type, bytes(body.payload)) == (theirs.task_type, bytes(theirs.payload))
        if not same or not terms.same_as(theirs, priority_of(other)):
            raise TaskExists(f"task {task_id} exists with other content; choose another id or cancel that one")
