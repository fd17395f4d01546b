"""Plain functions run in threads, and a thread that is told to stop stops."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator

import pytest

from venom_core.errors import TaskFailure
from venom_spore.threads import ThreadRunner, ThreadStopped, _Call, _Seat

SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("SEEN", default="nothing")


@pytest.fixture
async def runner() -> AsyncIterator[ThreadRunner]:
    threads = ThreadRunner(2, grace_s=5.0)
    yield threads
    threads.close()


async def started(event: threading.Event) -> None:
    """Wait until a thread says that it runs, without blocking the loop."""
    assert await asyncio.to_thread(event.wait, 10)


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_result_comes_back_from_another_thread(runner: ThreadRunner) -> None:
    def where(offset: int, *, name: str) -> tuple[int, str, int]:
        return offset, name, threading.get_ident()

    offset, name, ident = await runner.run(where, (3,), {"name": "x"})
    assert (offset, name) == (3, "x")
    assert ident != threading.get_ident()


async def test_a_thread_is_used_again(runner: ThreadRunner) -> None:
    idents = {await runner.run(threading.get_ident, (), {}) for _ in range(5)}
    assert len(idents) == 1


async def test_at_most_as_many_threads_as_slots_run_at_once(runner: ThreadRunner) -> None:
    lock, running, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def count() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1

    await asyncio.gather(*(runner.run(count, (), {}) for _ in range(8)))
    assert most == 2


async def test_context_variables_travel_and_do_not_leak_back(runner: ThreadRunner) -> None:
    def read_and_set() -> str:
        seen = SEEN.get()
        SEEN.set("changed in the thread")
        return seen

    SEEN.set("from the caller")
    assert await runner.run(read_and_set, (), {}) == "from the caller"
    assert SEEN.get() == "from the caller"


async def test_an_exception_comes_back_as_itself(runner: ThreadRunner) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await runner.run(int, ("x",), {})


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError("mine"), ThreadStopped()])
async def test_what_would_end_an_interpreter_is_an_outcome_and_the_pool_goes_on(
    runner: ThreadRunner, error: BaseException
) -> None:
    def end_all() -> None:
        raise error

    with pytest.raises(TaskFailure, match=f"the skill raised {type(error).__name__}"):
        await runner.run(end_all, (), {})
    assert await runner.run(len, ("abc",), {}) == 3


async def test_cancelling_ends_a_busy_loop(runner: ThreadRunner) -> None:
    begun, ended = threading.Event(), threading.Event()

    def spin() -> None:
        begun.set()
        try:
            while True:
                pass
        finally:
            ended.set()

    task = asyncio.create_task(runner.run(spin, (), {}))
    await started(begun)
    await cancelled(task)
    assert ended.is_set()
    assert runner.stuck == 0


async def test_an_ordinary_handler_does_not_swallow_the_stop_and_a_stubborn_one_is_told_again(
    runner: ThreadRunner,
) -> None:
    begun = threading.Event()
    swallowed: list[BaseException] = []

    def stubborn() -> None:
        while True:
            try:
                begun.set()
                while True:
                    try:
                        len("work")
                    except Exception as error:  # noqa: BLE001 the point of the test
                        swallowed.append(error)
            except ThreadStopped as stop:
                swallowed.append(stop)
                if len(swallowed) == 3:
                    raise

    task = asyncio.create_task(runner.run(stubborn, (), {}))
    await started(begun)
    await cancelled(task)
    assert [type(error) for error in swallowed] == [ThreadStopped] * 3


async def test_a_call_that_blocks_in_c_is_given_up_and_keeps_its_slot_until_it_ends() -> None:
    threads = ThreadRunner(1, grace_s=0.1)
    begun, release = threading.Event(), threading.Lock()
    release.acquire()

    def block() -> None:
        begun.set()
        release.acquire()

    task = asyncio.create_task(threads.run(block, (), {}))
    await started(begun)
    await cancelled(task)
    assert threads.stuck == 1
    waiting = asyncio.create_task(threads.run(len, ("abc",), {}))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    release.release()
    assert await waiting == 3
    assert threads.stuck == 0
    threads.close()


async def test_a_sleeping_call_ends_when_its_sleep_does(runner: ThreadRunner) -> None:
    begun = threading.Event()
    woke: list[str] = []

    def doze() -> None:
        begun.set()
        time.sleep(0.3)
        woke.append("went on")

    task = asyncio.create_task(runner.run(doze, (), {}))
    await started(begun)
    await cancelled(task)
    assert woke == []
    assert runner.stuck == 0


async def test_a_second_cancellation_cuts_the_grace_short(runner: ThreadRunner) -> None:
    begun, release = threading.Event(), threading.Lock()
    release.acquire()

    def block() -> None:
        begun.set()
        release.acquire()

    task = asyncio.create_task(runner.run(block, (), {}))
    await started(begun)
    task.cancel()
    await asyncio.wait([task], timeout=0.1)
    assert not task.done()
    await cancelled(task)
    assert runner.stuck == 1
    release.release()


async def test_a_call_that_was_told_before_its_thread_took_it_never_starts() -> None:
    ran: list[int] = []
    call = _Call(ran.append, (1,), {})
    call.prod(0)
    call.perform()
    with pytest.raises(TaskFailure, match="ThreadStopped"):
        call.outcome()
    assert ran == []
    assert call.end()


async def test_a_call_whose_thread_is_gone_has_ended(runner: ThreadRunner) -> None:
    for _ in range(3):  # more often than there are slots: each is freed
        await runner._slots.acquire()
        call = _Call(len, ("abc",), {})
        call.waiter.cancel()
        await runner._stop(_Seat(1, runner._on_end), call)
        assert call.settled
    assert await runner.run(len, ("abc",), {}) == 3


async def test_a_call_that_ends_while_its_cancellation_is_under_way_frees_its_slot_once(runner: ThreadRunner) -> None:
    await runner._slots.acquire()
    call, seat = _Call(len, ("abc",), {}), _Seat(1, runner._on_end)
    seat.retired = True
    call.waiter.cancel()
    for _ in range(2):
        runner._on_end(seat, call)
    await runner._stop(seat, call)
    assert runner._slots._value == 2


async def test_a_stop_never_hits_the_next_call() -> None:
    """Calls that end at the very moment they are cancelled, hundreds of times: every other call is untouched."""
    threads = ThreadRunner(3, grace_s=5.0)
    begun = threading.Event()

    def short(turns: int) -> int:
        begun.set()
        return sum(range(turns))

    async def victim(turns: int) -> None:
        task = asyncio.create_task(threads.run(short, (turns,), {}))
        await asyncio.sleep(0)
        if turns % 3:
            await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.wait([task])

    async def bystander() -> None:
        for turns in range(500):
            assert await threads.run(short, (turns,), {}) == sum(range(turns))

    watching = asyncio.create_task(bystander())
    for turns in range(500):
        begun.clear()
        await victim(turns)
    await watching
    assert threads.stuck == 0
    assert await threads.run(len, ("abc",), {}) == 3
    threads.close()


async def test_closing_ends_the_idle_threads_and_the_busy_one_after_its_call() -> None:
    threads = ThreadRunner(2)
    begun, release = threading.Event(), threading.Event()

    def wait() -> threading.Thread:
        begun.set()
        release.wait(10)
        return threading.current_thread()

    task = asyncio.create_task(threads.run(wait, (), {}))
    await started(begun)
    idle = await threads.run(threading.current_thread, (), {})
    threads.close()
    release.set()
    busy = await task
    for thread in (idle, busy):
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


async def test_a_machine_without_threads_is_named_and_frees_the_slot(
    runner: ThreadRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(TaskFailure, match="no thread could be started for the skill: can't start new thread"):
                await runner.run(len, ("abc",), {})
    assert await runner.run(len, ("abc",), {}) == 3


def test_a_call_that_outlives_its_event_loop_lets_its_thread_end() -> None:
    begun, release = threading.Event(), threading.Event()
    seen: list[threading.Thread] = []

    def outlive() -> None:
        seen.append(threading.current_thread())
        begun.set()
        release.wait(10)

    async def leave() -> None:
        threads = ThreadRunner(1, grace_s=0.0)
        task = asyncio.create_task(threads.run(outlive, (), {}))
        await started(begun)
        await cancelled(task)

    asyncio.run(leave())
    release.set()
    seen[0].join(10)
    assert not seen[0].is_alive()
