"""However strangely an attempt ends, its end is recorded and its slot is free again."""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.hives import ended, once_launched, running
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.attempts import Attempts
from venom_spore.execution import Attempt, Verdict
from venom_spore.skills import SkillSet

skills = SkillSet()


class Unspeakable(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


@skills.skill
async def half_a_letter() -> None:
    raise RuntimeError(f"cannot scan {os.fsdecode(bytes([0xFF]))}.py")


@skills.skill
async def unspeakable() -> None:
    raise Unspeakable


@pytest.mark.parametrize("skill", ["half_a_letter", "unspeakable"])
async def test_an_error_that_cannot_be_written_down_still_ends_its_task(
    settings: Settings, broker: MessageBroker, skill: str
) -> None:
    async with running(skills, settings, slots=1):
        task = await ended(broker, await broker.enqueue_task(skill, max_retries=0))
        assert task.status == "failed"
        assert "cannot" in str(task.error)


async def test_an_attempt_that_is_stopped_before_its_first_step_frees_its_slot(
    settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings, slots=1) as spore:
        assert spore.worker is not None
        attempts: Attempts = spore.worker.attempts
        stopped: list[Attempt] = []

        def stop_first(attempt: Attempt) -> None:
            if not stopped:
                stopped.append(attempt)
                attempts.stop(attempt, Verdict.CANCELLED)

        once_launched(attempts, stop_first)
        first = await broker.enqueue_task("unspeakable", max_retries=0)
        assert (await ended(broker, first)).status == "cancelled"
        await asyncio.wait_for(attempts.until_idle(), 5)
        assert (await ended(broker, await broker.enqueue_task("unspeakable", max_retries=0))).status == "failed"
