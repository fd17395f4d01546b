"""Bodies that end at once share an asyncio task; what one sets or cancels before it ends reaches no other."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

from tests.hives import altered, done, ended, once_launched, running
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.execution import Attempt, Verdict
from venom_spore.skills import SkillSet

skills = SkillSet()
_mark: ContextVar[str] = ContextVar("mark", default="untouched")
_release = asyncio.Event()


@skills.skill
async def which() -> int:
    return id(asyncio.current_task())


@skills.skill
async def wait_and_tell_which() -> int:
    await _release.wait()
    return id(asyncio.current_task())


@skills.skill
async def mark() -> str:
    before = _mark.get()
    _mark.set("marked")
    return before


@skills.skill
async def cancel_yourself() -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return "gone on to the end"


@skills.skill
async def sometimes(waits: bool) -> None:
    if waits:
        await asyncio.sleep(0)


class Incomparable:
    """Like an array: not to be asked whether it equals another."""

    __hash__ = None  # type: ignore[assignment]  # what has no equals has no hash

    def __eq__(self, _other: object) -> bool:
        raise ValueError("ambiguous")


_odd: ContextVar[Incomparable] = ContextVar("odd")


@skills.skill
async def odd() -> None:
    _odd.set(Incomparable())


@skills.skill
async def breathe() -> str:
    await asyncio.sleep(0)
    return "breathed"


async def results_of(settings: Settings, broker: MessageBroker, *types: str) -> list[Any]:
    """Enqueued before there is a Spore, so that one claim brings them all."""
    ids = [await broker.enqueue_task(name, max_retries=0) for name in types]
    async with running(skills, altered(settings, hive_max_retries=0), slots=len(types)):
        tasks = [await ended(broker, task_id) for task_id in ids]
    assert [task.error for task in tasks] == [None] * len(types)
    return [task.result for task in tasks]


async def test_bodies_that_end_in_their_first_step_share_an_asyncio_task(
    settings: Settings, broker: MessageBroker
) -> None:
    assert len(set(await results_of(settings, broker, *["which"] * 50))) == 1


async def test_each_body_that_waits_has_its_own_and_holds_up_no_other(
    settings: Settings, broker: MessageBroker
) -> None:
    quick = [await broker.enqueue_task("which") for _ in range(2)]
    ids = [await broker.enqueue_task("wait_and_tell_which") for _ in range(5)]
    late = await broker.enqueue_task("which")
    async with running(skills, settings, slots=8):
        for task_id in (*quick, late):
            assert (await ended(broker, task_id)).status == "completed"
        _release.set()
        assert len({(await ended(broker, task_id)).result for task_id in ids}) == 5


async def test_bodies_of_a_type_that_waited_do_not_stand_in_line_until_one_did_not_wait(
    settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings, slots=8) as spore:
        assert spore.worker is not None
        loners = spore.worker.attempts._loners
        await done(broker, "sometimes", {"waits": False})
        assert not loners
        for waits in (True, True, False):
            await done(broker, "sometimes", {"waits": waits})
            assert loners == ({"sometimes"} if waits else set())
        await done(broker, "mark")
        assert loners == {"mark"}
        assert await done(broker, "mark") == "untouched"
        assert loners == {"mark"}


async def test_one_that_stands_in_no_line_and_is_stopped_before_it_begins_frees_its_slot(
    settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings, slots=1) as spore:
        assert spore.worker is not None
        attempts = spore.worker.attempts
        await done(broker, "sometimes", {"waits": True})
        once_launched(attempts, lambda attempt: attempts.stop(attempt, Verdict.CANCELLED))
        task = await ended(broker, await broker.enqueue_task("sometimes", {"waits": True}, max_retries=0))
        assert (task.status, task.error) == ("cancelled", "stopped before it began")
        await asyncio.wait_for(attempts.until_idle(), 5)


async def test_a_context_variable_of_one_body_is_not_seen_by_the_next(
    settings: Settings, broker: MessageBroker
) -> None:
    assert await results_of(settings, broker, *["mark"] * 10) == ["untouched"] * 10


async def test_a_slot_that_is_freed_passes_no_context_on(settings: Settings, broker: MessageBroker) -> None:
    """So many that they are fetched ahead, and each is begun where the one before it ended."""
    ids = await broker.enqueue_many("mark", [{}] * 300)
    async with running(skills, settings, slots=4):
        assert {(await ended(broker, task_id)).result for task_id in ids} == {"untouched"}


async def test_a_body_that_cancels_its_own_asyncio_task_and_ends_cancels_no_other(
    settings: Settings, broker: MessageBroker
) -> None:
    assert await results_of(settings, broker, "cancel_yourself", "breathe", "cancel_yourself", "breathe") == [
        "gone on to the end",
        "breathed",
        "gone on to the end",
        "breathed",
    ]


async def test_a_runner_that_is_cancelled_before_its_first_step_is_replaced(
    settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings, slots=2) as spore:
        assert spore.worker is not None
        attempts = spore.worker.attempts
        doomed: list[asyncio.Task[None]] = []

        def cancel_runner(_attempt: Attempt) -> None:
            """As a body might that cancels every task."""
            if not doomed and attempts._runner is not None:
                doomed.append(attempts._runner)
                attempts._runner.cancel()

        once_launched(attempts, cancel_runner)
        first = await broker.enqueue_task("which", timeout=0.5, max_retries=0)
        assert await done(broker, "which") not in (None, id(doomed[0]))
        assert (await ended(broker, first)).status in ("completed", "failed")
        await asyncio.wait_for(attempts.until_idle(), 5)


async def test_a_context_variable_that_cannot_be_compared_counts_as_changed(
    settings: Settings, broker: MessageBroker
) -> None:
    _odd.set(Incomparable())
    async with running(skills, settings, slots=2) as spore:
        assert spore.worker is not None
        await done(broker, "odd")
        assert spore.worker.attempts._loners == {"odd"}
