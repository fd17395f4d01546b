from __future__ import annotations

import asyncio
import gc
import importlib
import sys

import pytest

from venom_core import event_loop
from venom_core.errors import StoreUnavailable, VenomError


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


@pytest.mark.parametrize(
    ("fault", "level"),
    [
        (StoreUnavailable("Redis is away"), "DEBUG"),
        (ExceptionGroup("all at once", [StoreUnavailable("Redis is away"), VenomError("and more")]), "DEBUG"),
        (ExceptionGroup("all at once", [StoreUnavailable("Redis is away"), KeyError("a bug")]), "ERROR"),
        (RuntimeError("a bug"), "ERROR"),
    ],
)
async def test_what_had_failed_before_is_said_once_aloud_if_it_is_a_bug(
    fault: Exception, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise fault

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)
    assert task.done()
    with caplog.at_level("DEBUG", "venom.loop"):
        await event_loop.end_tasks(task)
    del task
    gc.collect()
    [record] = caplog.records
    assert (record.name, record.levelname) == ("venom.loop", level)
    assert repr(fault) in record.getMessage()
    assert bool(record.exc_info) == (level == "ERROR")


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
