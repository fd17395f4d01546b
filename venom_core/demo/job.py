"""The job itself: one task a file, a bounded number under way, every end awaited and written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from venom_core.demo.ledger import Ledger
from venom_core.demo.path_text import to_wire
from venom_core.demo.sources import SourceFile
from venom_core.domain.task_message import TaskMessage
from venom_core.infrastructure.message_broker import MessageBroker

TASK_TYPE = "scan_file"
TASK_TIMEOUT_S = 300.0


class Job:
    """Files go in, ends come out; `under_way` says which tasks are enqueued and not ended."""

    def __init__(
        self, broker: MessageBroker, ledger: Ledger, on_end: Callable[[SourceFile, TaskMessage], None]
    ) -> None:
        self._broker, self._ledger, self._on_end = broker, ledger, on_end
        self.under_way: dict[str, SourceFile] = {}

    async def run(self, files: Iterator[SourceFile], ahead: int, enough: Callable[[], bool] = bool) -> None:
        """Work until `files` is used up or `enough()`; at most `ahead` tasks are enqueued at a time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(ahead):
                group.create_task(self._follow(files, enough))

    async def _follow(self, files: Iterator[SourceFile], enough: Callable[[], bool]) -> None:
        while not enough():
            file = next(files, None)
            if file is None:
                return
            task_id = await self._broker.enqueue_task(
                TASK_TYPE, {"path": to_wire(file.path)}, timeout=TASK_TIMEOUT_S, max_retries=0
            )
            self.under_way[task_id] = file
            task = await self._broker.wait_for(task_id)
            del self.under_way[task_id]
            assert task is not None
            self._ledger.add(file, task)
            self._on_end(file, task)
