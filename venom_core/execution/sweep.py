"""One order for many tasks: cancel them, or put back in line what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from venom_core.domain.lifecycle import TaskStatus
from venom_core.errors import UnknownTask
from venom_core.execution.ends import read_end
from venom_core.infrastructure.message_broker import MessageBroker

AT_ONCE = 64
LOOK_PAGE = 500
FAILURES = frozenset({TaskStatus.FAILED, TaskStatus.QUARANTINED})


async def cancel_tasks(broker: MessageBroker, task_ids: Sequence[str]) -> int:
    """Cancel what is pending and ask what runs to stop; how many that were. Nobody's ids are left out."""
    return await _each(task_ids, broker.cancel_task)


async def retry_failed(broker: MessageBroker, task_ids: Sequence[str]) -> int:
    """Put failed and quarantined tasks back in line; how many are there now. Nobody's ids are left out."""
    back = 0
    for start in range(0, len(task_ids), LOOK_PAGE):
        seen = await broker.hive.tasks.look(task_ids[start : start + LOOK_PAGE])
        ends = [read_end(broker, task_id, look.outcome) for task_id, look in seen.items() if look.outcome is not None]
        back += await _each([end.task_id for end in ends if end.status in FAILURES], broker.retry_task)
    return back


async def _each(task_ids: Sequence[str], act: Callable[[str], Awaitable[bool]]) -> int:
    async def one(task_id: str) -> bool:
        try:
            return await act(task_id)
        except UnknownTask:
            return False

    done = 0
    for start in range(0, len(task_ids), AT_ONCE):
        done += sum(await asyncio.gather(*map(one, task_ids[start : start + AT_ONCE])))
    return done
