"""Skills that log in every way a skill may."""

from __future__ import annotations

import asyncio
import logging

from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()
log = logging.getLogger("shop")


@skills.skill
async def in_loop(ctx: TaskContext, word: str) -> None:
    ctx.logger.info("context %s", word)
    log.info("plain %s", word)
    await asyncio.gather(asyncio.create_task(_aside(word)), asyncio.to_thread(log.info, "thread of the loop %s", word))


async def _aside(word: str) -> None:
    log.info("aside %s", word)


@skills.skill
async def without_context(word: str) -> None:
    log.info("plain %s", word)


@skills.skill
def in_thread(ctx: TaskContext, word: str) -> None:
    ctx.logger.info("context %s", word)
    log.info("plain %s", word)


@skills.skill(process=True)
def in_process(ctx: TaskContext, word: str) -> None:
    ctx.logger.info("context %s", word)
    log.info("plain %s", word)


@skills.skill
async def second_time_lucky(ctx: TaskContext) -> None:
    log.info("try")
    if ctx.attempt == 1:
        raise ValueError("not yet,\nredis://ada:hunter2@store")
