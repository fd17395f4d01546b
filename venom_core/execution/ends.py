"""How tasks end, as seen by whoever waits for many of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.payload import decode
from venom_core.domain.task import open_outcome
from venom_core.errors import SecurityError, StoreUnavailable
from venom_core.infrastructure.inbox import Inbox, Landed
from venom_core.infrastructure.message_broker import MessageBroker

RECONNECT_PAUSE_S = 0.2


@dataclass(slots=True)
class End:
    """How one task of a run ended or, when time ran out, stands.

    `index` is that of its item, -1 for a task that folds; `record_bytes` the size of its outcome record.
    """

    task_id: str
    index: int
    status: str
    result: Any = None
    error: str | None = None
    record_bytes: int = 0


async def ends_of(broker: MessageBroker, task_ids: Sequence[str], until_s: float) -> AsyncGenerator[End]:
    """Tasks as they end, until `until_s` of the loop's clock."""
    async with broker.results.inbox() as inbox:
        await follow(broker, inbox, task_ids, until_s)
        inbox.complete()
        while landed := await take(inbox, until_s):
            for task_id, end in landed:
                if isinstance(end, Exception):
                    raise end
                yield read_end(broker, task_id, end)


async def take(inbox: Inbox, until_s: float) -> list[Landed]:
    """What landed; nothing when all has, or when time runs out."""
    try:
        async with asyncio.timeout_at(until_s):
            return await inbox.take()
    except TimeoutError:
        return []


async def follow(broker: MessageBroker, inbox: Inbox, task_ids: Sequence[str], until_s: float) -> bool:
    """Have tasks land in an inbox; a server that is away is waited for until `until_s`. Whether they will land."""
    try:
        async with asyncio.timeout_at(until_s):
            await _follow_patiently(broker, inbox, task_ids)
    except TimeoutError:
        return False
    return True


async def _follow_patiently(broker: MessageBroker, inbox: Inbox, task_ids: Sequence[str]) -> None:
    while True:
        try:
            return await inbox.follow(task_ids)
        except StoreUnavailable:
            if not broker.is_connected():
                raise
            await asyncio.sleep(RECONNECT_PAUSE_S)


def read_end(broker: MessageBroker, task_id: str, record: bytes, index: int = -1) -> End:
    """An outcome record as an `End`; a forged one is a failure of its item alone."""
    try:
        status, outcome = open_outcome(broker.hive.seal, task_id, record)
    except SecurityError as fault:
        return End(task_id, index, TaskStatus.FAILED, error=f"SecurityError: {fault}")
    return End(task_id, index, status, decode(bytes(outcome.result)), outcome.error, len(record))
