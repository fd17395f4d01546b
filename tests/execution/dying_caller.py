"""A caller that starts a run and is killed while it enqueues: `python -m tests.execution.dying_caller`."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from venom_core.execution import gather
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker


class DyingBroker(MessageBroker):
    """Stores two slices and half of the third, then nobody hears of it again."""

    async def enqueue_many(self, task_type: str, payloads: Any, *, task_ids: Any = None, **options: Any) -> list[str]:
        if task_ids and task_ids[0].endswith(".20"):
            await super().enqueue_many(task_type, payloads[:5], task_ids=task_ids[:5], **options)
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().enqueue_many(task_type, payloads, task_ids=task_ids, **options)


async def main() -> None:
    gather.SLICE = 10
    async with DyingBroker() as broker:
        await ParallelSkill(broker).map_reduce("d", list(range(50)), skill="double", reduce="total", run_id="orphan")


if __name__ == "__main__":
    asyncio.run(main())
