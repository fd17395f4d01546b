"""Bodies are held back while the lease is in doubt, and notice nothing of it otherwise."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from types import coroutine
from typing import Any

import pytest

from tests.hives import until
from venom_core.clock import ManualClock
from venom_spore.lease_guard import Body, LeaseGuard, guarded

LEASE_S = 600.0  # so long that the pulse does not come by itself


class Bench:
    """A guard whose clock stands still, and the bodies under it."""

    def __init__(self) -> None:
        self.clock = ManualClock(elapsed_s=1000.0)
        self.guard = LeaseGuard(LEASE_S, self.clock)
        self.bodies: set[asyncio.Task[Any]] = set()
        self.guard.open(self.bodies.__contains__)
        self.guard.renewed(self.clock.lasting_s())

    def run(self, body: Body) -> asyncio.Task[Any]:
        task = asyncio.Task(guarded(self.guard, body), loop=asyncio.get_running_loop())
        self.bodies.add(task)
        return task

    def stand_still(self) -> None:
        self.clock.advance(2 * LEASE_S)

    def hear(self) -> None:
        """As the lease thread does when Redis says that the lease lives."""
        self.guard.renewed(self.clock.lasting_s())

    async def parked(self, count: int = 1) -> None:
        await until(lambda: len(self.guard._parked) == count)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.guard.close()
    made.guard.board.close()


class Walk:
    """A body of one step for each future that it is given; `said` are the results."""

    def __init__(self, steps: int) -> None:
        loop = asyncio.get_running_loop()
        self.gates = [loop.create_future() for _ in range(steps)]
        self.said: list[Any] = []
        self.waits = asyncio.Event()

    async def body(self) -> list[Any]:
        self.waits.set()
        try:
            for gate in self.gates:
                self.said.append(await gate)
        except BaseException as fault:
            self.said.append(fault)
            raise
        return self.said


# ------------------------------------------------------------------------------------------ with a lease that holds


async def test_a_body_of_one_step_gives_its_result(bench: Bench) -> None:
    async def body() -> int:
        return 7

    assert await bench.run(body()) == 7


async def test_values_and_exceptions_reach_the_body_and_come_out_of_it(bench: Bench) -> None:
    walk = Walk(3)
    task = bench.run(walk.body())
    for gate in walk.gates[:2]:
        gate.set_result("x")
    walk.gates[2].set_exception(ZeroDivisionError("no"))
    with pytest.raises(ZeroDivisionError, match="no"):
        await task
    assert walk.said[:2] == ["x", "x"]
    assert isinstance(walk.said[2], ZeroDivisionError)


async def test_timeouts_groups_shields_and_swallowed_cancels_work_in_a_body(bench: Bench) -> None:
    async def body() -> list[str]:
        found = []
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            found.append("timeout")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except TimeoutError:
            found.append("wait_for")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.Event().wait())
                group.create_task(fail())
        except* ZeroDivisionError:
            found.append("group")
        found += await asyncio.gather(asyncio.shield(echo("shield")), echo("gather"))
        await asyncio.sleep(0)
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            found.append(f"uncancelled {current.uncancel()}")
        await asyncio.sleep(0)
        return found

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def echo(word: str) -> str:
        await asyncio.sleep(0)
        return word

    bare = await asyncio.create_task(body())
    assert [found.split()[0] for found in bare] == ["timeout", "wait_for", "group", "shield", "gather", "uncancelled"]
    assert await bench.run(body()) == bare


async def test_a_body_that_is_dropped_in_the_middle_is_closed(bench: Bench) -> None:
    walk = Walk(1)
    body = guarded(bench.guard, walk.body())
    body.send(None)
    body.close()
    assert isinstance(walk.said[0], GeneratorExit)


async def test_a_redis_that_is_away_for_long_holds_nothing_back(bench: Bench) -> None:
    walk = Walk(1)
    task = bench.run(walk.body())
    for _ in range(20):
        bench.clock.advance(LEASE_S / 6)
        bench.guard.board.pulse(bench.clock.lasting_s())
    walk.gates[0].set_result(1)
    assert await task == [1]


# ------------------------------------------------------------------------------------------------- in doubt


async def test_a_body_is_held_back_until_the_lease_is_renewed_and_then_gets_what_had_come(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    walks = [Walk(1), Walk(1)]
    tasks = [bench.run(walk.body()) for walk in walks]
    await asyncio.sleep(0)
    bench.stand_still()
    walks[0].gates[0].set_result("value")
    walks[1].gates[0].set_exception(ZeroDivisionError())
    await bench.parked(2)
    assert [walk.said for walk in walks] == [[], []]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "venom.spore"):
        threading.Thread(target=bench.hear).start()
        assert await tasks[0] == ["value"]
        with pytest.raises(ZeroDivisionError):
            await tasks[1]
    assert caplog.messages == ["nobody took the lease meanwhile; what was held back goes on"]


async def test_it_is_said_once_that_the_spore_stood_still(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    walks = [Walk(1) for _ in range(3)]
    tasks = [bench.run(walk.body()) for walk in walks]
    await asyncio.sleep(0)
    bench.stand_still()
    for walk in walks:
        walk.gates[0].set_result(1)
    await bench.parked(3)
    assert [message.partition(";")[0] for message in caplog.messages] == ["this Spore stood still for too long"]
    bench.hear()
    await asyncio.gather(*tasks)


async def test_an_answer_to_an_older_question_lets_nothing_go_on(bench: Bench) -> None:
    asked_s = bench.clock.lasting_s()
    walk = Walk(1)
    task = bench.run(walk.body())
    await asyncio.sleep(0)
    bench.stand_still()
    walk.gates[0].set_result(1)
    await bench.parked()
    bench.guard.renewed(asked_s)
    await asyncio.sleep(0)
    assert walk.said == []
    bench.hear()
    assert await task == [1]


async def test_a_body_whose_lease_was_lost_is_cancelled_where_it_waits_and_may_clean_up(bench: Bench) -> None:
    walk, tidied = Walk(1), []

    async def body() -> None:
        try:
            await walk.body()
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    task = bench.run(body())
    await asyncio.sleep(0)
    bench.stand_still()
    walk.gates[0].set_result(1)
    await bench.parked()
    bench.guard.lost()
    task.cancel()
    bench.guard.give_up()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [type(said) for said in walk.said] == [asyncio.CancelledError]
    assert tidied == [True]


async def test_a_lost_lease_holds_bodies_back_before_the_event_loop_knows(bench: Bench) -> None:
    walk = Walk(2)
    task = bench.run(walk.body())
    walk.gates[0].set_result(1)
    await until(lambda: walk.said == [1])
    bench.guard.lost()
    walk.gates[1].set_result(2)
    await bench.parked()
    assert walk.said == [1]
    task.cancel()
    bench.guard.give_up()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_timeout_that_came_due_meanwhile_is_still_one_afterwards(bench: Bench) -> None:
    async def body() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "timeout"
        return "none"

    task = bench.run(body())
    await asyncio.sleep(0)
    bench.stand_still()
    await bench.parked()
    bench.hear()
    assert await task == "timeout"


@pytest.mark.parametrize("make", ["group", "gather", "wait_for"])
async def test_what_a_body_makes_is_held_back_with_it(bench: Bench, make: str) -> None:
    inner = Walk(1)

    async def body() -> Any:
        await asyncio.sleep(0)
        if make == "gather":
            return await asyncio.gather(nested(), asyncio.sleep(0))
        if make == "wait_for":
            return await asyncio.wait_for(nested(), 60)
        async with asyncio.TaskGroup() as group:
            return group.create_task(nested(), name="inner")

    async def nested() -> Any:
        return await asyncio.create_task(inner.body())

    task = bench.run(body())
    await asyncio.wait_for(inner.waits.wait(), 5)
    bench.stand_still()
    inner.gates[0].set_result(1)
    await bench.parked()
    assert inner.said == []
    bench.hear()
    await task
    assert inner.said == [1]


async def test_a_task_made_while_in_doubt_does_not_begin_and_keeps_its_name(bench: Bench) -> None:
    begun: list[str] = []

    async def beginning() -> None:
        begun.append("inner")

    async def body() -> str:
        inner = asyncio.create_task(beginning())
        bench.stand_still()
        said = repr(inner)
        await inner
        return said

    task = bench.run(body())
    await bench.parked(1)
    assert begun == []
    bench.hear()
    assert "beginning()" in await task
    assert begun == ["inner"]


async def test_what_the_spore_makes_for_itself_is_not_held_back(bench: Bench) -> None:
    async def engine() -> str:
        await asyncio.sleep(0)
        return "engine"

    bench.stand_still()
    assert await asyncio.create_task(engine()) == "engine"


async def test_awaitables_of_older_kinds_are_run_as_they_are(bench: Bench) -> None:
    @coroutine
    def plain() -> Any:
        yield from asyncio.sleep(0, "old").__await__()
        return "old"

    async def body() -> Any:
        return await plain()

    assert await bench.run(body()) == "old"


async def test_a_thread_waits_for_certainty_and_the_event_loop_does_not(bench: Bench) -> None:
    bench.stand_still()
    bench.guard.wait_in_thread(lambda: False)
    waiting = asyncio.create_task(asyncio.to_thread(bench.guard.wait_in_thread, lambda: False))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    bench.hear()
    await waiting
    bench.stand_still()
    await asyncio.to_thread(bench.guard.wait_in_thread, lambda: True)


async def test_the_task_factory_that_was_there_before_is_used_and_comes_back() -> None:
    loop, made = asyncio.get_running_loop(), []

    def older(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(older)
    first, second = Bench(), Bench()
    await asyncio.create_task(asyncio.sleep(0))
    assert len(made) == 1
    for bench in (first, second):
        bench.guard.close()
        bench.guard.renewed(1.0)
        bench.guard.board.close()
    await asyncio.create_task(asyncio.sleep(0))
    assert len(made) == 2
    loop.set_task_factory(None)


async def test_the_pulse_comes_by_itself() -> None:
    clock = ManualClock(elapsed_s=1000.0)
    guard = LeaseGuard(0.06, clock)
    guard.open(lambda _: False)
    guard.renewed(1000.0)
    clock.advance(0.03)
    await until(lambda: not guard.board._moments[2] < 1000.03)
    clock.advance(1.0)
    await until(lambda: guard.board._moments[3] > 1000)
    assert guard.in_doubt()
    guard.close()
    guard.board.close()
