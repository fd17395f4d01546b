"""What goes wrong in the quickstart: half-way, a Spore is killed while it is at a file."""

from __future__ import annotations

import asyncio

from venom_core.demo.job import Job
from venom_core.demo.rates import OneSlot
from venom_core.demo.run import Killed, Run
from venom_core.demo.scene import Scene, seconds_of
from venom_core.demo.sources import SourceFile
from venom_core.domain.lifecycle import TaskStatus

MOMENT_S = 0.005
KILL_FILES_MIN = 4


async def kill_half_way(scene: Scene, job: Job, run: Run, victim: str) -> None:
    """Wait for the half, kill the victim while it is at a file, and say what it was at."""
    if len(run.files) < KILL_FILES_MIN:
        return
    await run.ledger.reached(len(run.files) // 2)
    await _until_busy(scene, job, victim, run.one)
    component = scene.fleet.kill(victim)
    run.killed = Killed(victim, scene.now_s())
    scene.board.row(victim).killed = True
    run.killed.held = tuple(await _held_by(scene, job, victim))
    names = ", ".join(scene.sources.shown(file.path) for file, _ in run.killed.held) or "nothing"
    scene.view.say(f"  SIGKILL: {victim} (process {component.pid}) is dead. It was at: {names}", "bold red")


async def _until_busy(scene: Scene, job: Job, node: str, one: OneSlot) -> None:
    """Wait until a Spore is at a file that will, by its size, keep it busy for a moment longer."""
    while True:
        for file, started_s in await _held_by(scene, job, node):
            left_s = file.size / max(one.bytes_per_s, 1.0) - (scene.now_s() - started_s)
            if left_s > MOMENT_S:
                return
        await asyncio.sleep(MOMENT_S)


async def _held_by(scene: Scene, job: Job, node: str) -> list[tuple[SourceFile, float]]:
    """Files that a Spore is at, and since when."""
    under_way = dict(job.under_way)
    tasks = await asyncio.gather(*(scene.broker.get_task_status(task_id) for task_id in under_way))
    return [
        (under_way[task.task_id], seconds_of(task.started_at))
        for task in tasks
        if task is not None and task.status is TaskStatus.RUNNING and task.assigned_node == node
    ]
