"""A caller as a process: `python -m chaos.caller PLAN`. Enqueues until everything is acknowledged, cancels, waits.

It may be killed at any moment and started again: its ids and contents are the same each time.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from chaos import mutants, recording
from chaos.events import HISTORY, here, wall_us
from chaos.mix import Chunk, Plan, begun_us, chunks
from chaos.run_caller import run_through
from venom_core.config import Settings
from venom_core.errors import StoreError, UnknownTask
from venom_core.event_loop import run
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker

PAUSE_S, POLL_S = 0.1, 0.02
US = 1_000_000
WAITS_S = 600.0
DEAD = ("failed", "quarantined")


class Caller:
    """One caller and what it waits for."""

    def __init__(self, broker: MessageBroker, plan: Plan) -> None:
        self._broker, self._plan = broker, plan
        self._skill = ParallelSkill(broker)

    async def work(self) -> None:
        """Everything in the plan; hear how the first task of each chunk ended, and the answers of runs."""
        folder = Path(os.environ[HISTORY])
        while not (begun := begun_us(folder)):  # noqa: ASYNC110 - another process says it
            await asyncio.sleep(POLL_S)
        async with asyncio.TaskGroup() as group:
            for chunk in chunks(self._plan):
                await asyncio.sleep(max((begun - wall_us()) / US + chunk.at_s, 0))
                if chunk.run_id:
                    group.create_task(run_through(self._skill, chunk))
                    continue
                await self._enqueue(chunk)
                group.create_task(self._revive(chunk.ids) if chunk.recipe.revived else self._follow(chunk.ids[0]))
                if chunk.recipe.unwanted:
                    group.create_task(self._cancel(chunk.ids))

    async def _enqueue(self, chunk: Chunk) -> None:
        recipe = chunk.recipe
        while True:
            try:
                await self._broker.enqueue_many(
                    recipe.task_type, [recipe.payload] * len(chunk.ids), task_ids=chunk.ids, **recipe.options
                )
            except StoreError:
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _cancel(self, ids: list[str]) -> None:
        for task_id in ids[1:]:
            try:
                await self._broker.cancel_task(task_id)
            except (StoreError, UnknownTask):
                await asyncio.sleep(PAUSE_S)

    async def _revive(self, ids: list[str]) -> None:
        """Put back in line what has failed, until all has completed."""
        left = ids
        while left:
            left = [task_id for task_id in left if await self._follow(task_id) in DEAD]
            try:
                await self._broker.dead_letters.requeue(left)
            except StoreError:
                await asyncio.sleep(PAUSE_S)

    async def _follow(self, task_id: str) -> str:
        """How a task has ended, by and by."""
        try:
            task = await self._broker.wait_for(task_id, WAITS_S)
        except UnknownTask:
            here().write("told", ids=(task_id,), text="unknown")
            return "unknown"
        if task is None:
            return "pending"
        token = task.result if isinstance(task.result, int) else 0
        here().write("told", ids=(task_id,), text=str(task.status), token=token)
        return str(task.status)


async def _work(plan: Plan) -> None:
    async with MessageBroker(Settings.load()) as broker:
        await Caller(broker, plan).work()


def main() -> int:
    """The command; 1 if the server was away from the beginning: start it again."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    recording.install("caller", plan.prefix)
    mutants.install()
    try:
        run(_work(plan))
    except StoreError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
