"""A hand-written loop as a process: `python -m chaos.consumer NAME`. Takes tasks by `next_task` and reports each.

Most complete; some fail, and some are handed back once. It may be killed or frozen at any moment and started again.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from chaos import mutants, recording
from chaos.events import here
from venom_core.config import Settings
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import LeaseLost, StoreError
from venom_core.event_loop import run
from venom_core.infrastructure.message_broker import MessageBroker

LANES = ("byhand",)
LOOKS_EVERY_S, PAUSE_S = 1.0, 0.1
ONE_FAILS, ONE_GOES_BACK = 16, 8


class Loop:
    """Claims, works and reports, one task at a time, until it is told to stop."""

    def __init__(self, broker: MessageBroker) -> None:
        self._broker = broker
        self._stopping = asyncio.Event()

    async def work(self) -> None:
        """Until SIGTERM; a server that is away is waited for."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stopping.set)
        while not self._stopping.is_set():
            try:
                task = await self._broker.next_task(LANES, timeout=LOOKS_EVERY_S)
            except StoreError:
                await asyncio.sleep(PAUSE_S)
                continue
            if task is not None:
                await self._do(task)

    async def _do(self, task: TaskMessage) -> None:
        recorder = here()
        token = recorder.token()
        recorder.write("start", ids=(task.task_id,), token=token, fence=self._fence(task.task_id))
        await asyncio.sleep(task.payload["seconds"])
        if token % ONE_GOES_BACK == 1:
            recorder.write("stopped", ids=(task.task_id,), token=token)
            await self._report(task.task_id, "pending")
        elif token % ONE_FAILS == 0:
            recorder.write("stopped", ids=(task.task_id,), token=token)
            await self._report(task.task_id, "failed")
        else:
            recorder.write("end", ids=(task.task_id,), token=token)
            await self._report(task.task_id, "completed", token)

    async def _report(self, task_id: str, status: str, result: int | None = None) -> None:
        while True:
            try:
                await self._broker.update_task_status(task_id, status, result=result, error="by hand")
            except LeaseLost:
                here().write("disowned", ids=(task_id,), token=result or 0)
                return
            except StoreError:
                await asyncio.sleep(PAUSE_S)
            else:
                return

    def _fence(self, task_id: str) -> str:
        """Nobody who writes such a loop needs it; the history does."""
        consumer = self._broker._consumer  # noqa: SLF001 - no caller is told the fence
        assert consumer is not None
        return consumer._held[task_id][0].fence  # noqa: SLF001 - the same


async def _work() -> None:
    async with MessageBroker(Settings.load()) as broker:
        await Loop(broker).work()


def main() -> int:
    """The command; 1 if the server was away from the beginning: start it again."""
    recording.install("consumer", sys.argv[1])
    mutants.install()
    try:
        run(_work())
    except StoreError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
