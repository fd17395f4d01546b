from __future__ import annotations

import asyncio
import gc
import importlib
import sys

import pytest

from venom_core import event_loop
from venom_core.errors import StoreUnavailable


async def test_a_task_that_swallows_its_first_cancel_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "RECANCEL_S", 0.01)
    told = 0

    async def deaf() -> None:
        nonlocal told
        while told < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told += 1
        raise RuntimeError("gone at last")

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await event_loop.end_tasks(task)
    assert told == 3
    with pytest.raises(RuntimeError, match="gone at last"):
        task.result()


async def test_ending_nothing_and_what_has_ended_is_nothing() -> None:
    done = asyncio.create_task(asyncio.sleep(0, "result"))
    await done
    await event_loop.end_tasks(None, done)
    await event_loop.end_tasks()
    assert done.result() == "result"


@pytest.mark.parametrize("overlooked", [True, False])
async def test_what_is_overlooked_is_not_said_to_be_unheard(overlooked: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise StoreUnavailable("Redis is away")

    never = asyncio.Event()
    failed, cancelled, runs = (asyncio.create_task(work) for work in (fail(), never.wait(), never.wait()))
    cancelled.cancel()
    await asyncio.wait([failed, cancelled])
    if overlooked:
        event_loop.overlook(failed, cancelled, runs)
    assert not runs.done()
    await event_loop.end_tasks(failed, cancelled, runs)
    del failed
    gc.collect()
    assert ("Redis is away" in caplog.text) is not overlooked


async def test_many_are_ended_together() -> None:
    tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(5)]
    await event_loop.end_tasks(*tasks)
    assert all(task.cancelled() for task in tasks)


def test_a_program_runs_to_its_end_on_the_fastest_loop() -> None:
    seen: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        seen.append(asyncio.get_running_loop())

    event_loop.run(main())
    (loop,) = seen
    assert type(loop).__module__.startswith("uvloop")
    assert loop.is_closed()


def test_without_uvloop_the_usual_loop_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "uvloop", None)
        importlib.reload(event_loop)
        assert event_loop.LOOP_FACTORY is asyncio.new_event_loop
    importlib.reload(event_loop)
    assert event_loop.LOOP_FACTORY is not asyncio.new_event_loop


def test_what_ignores_being_cancelled_is_left_behind_with_its_loop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_loop, "LAST_WAIT_S", 0.05)
    told: list[int] = []
    left: list[asyncio.Task[None]] = []

    async def heedless() -> None:
        while len(told) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append(1)

    async def main() -> None:
        left.append(asyncio.create_task(heedless()))
        left.append(asyncio.create_task(asyncio.Event().wait()))  # type: ignore[arg-type]  # it never says its bool
        await asyncio.sleep(0)

    event_loop.run(main())
    stubborn, obedient = left
    assert not stubborn.done()
    assert obedient.cancelled()
    assert "1 tasks ignore that they are to end" in caplog.text
    loop = stubborn.get_loop()
    stubborn.cancel()
    loop.run_until_complete(stubborn)
    loop.close()


def test_a_loop_in_which_all_has_ended_is_closed() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        raise RuntimeError("its own fault comes out")

    with pytest.raises(RuntimeError, match="its own fault comes out"):
        event_loop.run(main())
    assert loops[0].is_closed()
