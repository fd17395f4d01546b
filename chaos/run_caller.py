"""How a caller of a storm gets the answer of a map-reduce, wherever it or a predecessor of it was when it died."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from chaos.events import here, wall_us
from chaos.look import token_of
from chaos.mix import Chunk, Recipe
from venom_core.errors import StoreError, UnknownTask
from venom_core.execution import gather
from venom_core.execution.skills.parallel_skill import ParallelSkill

PAUSE_S = 0.1
WAITS_S = 30.0
# A run is sent slice by slice, and each is noted; small ones, so that callers die between two of them.
gather.SLICE = 50

Answer = dict[str, Any]
_decode = msgspec.json.Decoder(Answer).decode


async def run_through(skill: ParallelSkill, chunk: Chunk) -> None:
    """Take the run up, or begin it, until its answer is whole; write that down."""
    here().write("run", text=chunk.run_id, number=len(chunk.ids), lane=chunk.recipe.reduce or "")
    while True:
        begun = wall_us()
        try:
            answer = await _ask(skill, chunk)
        except StoreError:
            await asyncio.sleep(PAUSE_S)
        else:
            if is_whole(answer, chunk.recipe):
                _write(chunk.run_id, begun, answer)
                return


async def _ask(skill: ParallelSkill, chunk: Chunk) -> Answer:
    """Whoever began it may be dead: first it is looked for by its id, then what is missing is enqueued."""
    try:
        found = _decode(await skill.resume(chunk.run_id, WAITS_S))
    except UnknownTask:
        found = {}
    recipe = chunk.recipe
    if is_whole(found, recipe):
        return found
    if recipe.revived and has_ended(found):
        return _decode(await skill.retry_failed(chunk.run_id, WAITS_S))
    items = list(range(len(chunk.ids)))
    text = await skill.map_reduce(
        "storm",
        items,
        wait_timeout=WAITS_S,
        skill=recipe.task_type,
        reduce=recipe.reduce,
        run_id=chunk.run_id,
        **recipe.options,
    )
    return _decode(text)


def has_ended(answer: Answer) -> bool:
    """Whether every item has ended, and the fold if there is one."""
    if not answer:
        return False
    summary = answer["summary"]
    unfinished = summary["pending"] or summary.get("never_enqueued") or summary.get("forgotten")
    return not unfinished and _fold_of(answer) != "pending"


def is_whole(answer: Answer, recipe: Recipe) -> bool:
    """Whether there is nothing left to wait for; what is to be revived must have completed."""
    if not recipe.revived:
        return has_ended(answer)
    return has_ended(answer) and not answer["summary"]["failed"] and _fold_of(answer) in ("", "completed")


def _fold_of(answer: Answer) -> str:
    status: str = answer.get("reduction", {}).get("status", "")
    return status


def _write(run_id: str, begun: int, answer: Answer) -> None:
    lines = answer["results"]
    here().write(
        "ran",
        text=run_id,
        since=begun,
        ids=tuple(line["task_id"] for line in lines),
        marks="".join(_mark(line["status"]) for line in lines),
        tokens=tuple(token_of(line["result"]) for line in lines),
        sums=tuple(answer.get("reduced") or ()),
        fence=_fold_of(answer),
    )


def _mark(status: str) -> str:
    return {"cancelled": "x"}.get(status, status[0])
