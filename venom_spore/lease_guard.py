"""Holds back the bodies of tasks while nobody knows whether their Spore still has its lease.

A Spore that was stopped or suspended for longer than its lease wakes up with bodies whose tasks may run elsewhere
by now; timers and answers that came due meanwhile would let them go on at once, before the next heartbeat says so.
So each step of a body is preceded by a look at the clock, and if the lease is in doubt (see `lease_board`) the body is
parked: with Redis' answer it goes on where it was, or is cancelled. A Redis that is away parks nothing.

What a body does in its own asyncio task and in those it makes (`gather`, `TaskGroup`) is held back; what it began in
a thread is not, nor a step that was under way when the Spore stood still.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Coroutine, Generator
from types import CoroutineType, coroutine
from typing import Any
from weakref import WeakSet

from venom_core.clock import Clock
from venom_spore.lease_board import PULSE, LeaseBoard

log = logging.getLogger("venom.spore")

LOOK_S = 0.02

Body = Coroutine[Any, Any, Any]
Made = Body | Generator[Any, None, Any]
Task = asyncio.Task[Any]


class LeaseGuard:
    """The doubt about one Spore's lease, and who waits for it to end. Made in the Spore's event loop."""

    def __init__(self, lease_s: float, clock: Clock) -> None:
        self.board = LeaseBoard(lease_s)
        self.until_s = math.inf
        self.now_s = clock.lasting_reader()
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()
        self._parked: set[asyncio.Future[None]] = set()
        self._noticed = False
        self._closing = threading.Event()
        self._pulse: threading.Thread | None = None
        self._is_body: Callable[[Task], bool] = lambda _: False
        self._subtasks: WeakSet[Task] = WeakSet()
        self._older_factory: Any = None

    def open(self, is_body: Callable[[Task], bool]) -> None:
        """Begin; `is_body` says of an asyncio task whether a body runs in it, whose new tasks are guarded too."""
        self._is_body = is_body
        self._older_factory = self._loop.get_task_factory()
        self._loop.set_task_factory(self._make_task)
        self.board.pulse(self.now_s())
        self._pulse = threading.Thread(target=self._beat, name="venom-pulse", daemon=True)
        self._pulse.start()

    def close(self) -> None:
        """Hold back nothing any more."""
        self.give_up()
        self._is_body = lambda _: False
        self._closing.set()
        if self._pulse is not None:
            self._pulse.join()
            self._pulse = None
        if self._loop.get_task_factory() == self._make_task:
            self._loop.set_task_factory(self._older_factory)

    # -------------------------------------------------------------------------------------- told by the lease keeper

    def renewed(self, sent_s: float) -> None:
        """The lease was renewed everywhere by calls sent at this moment (`Clock.lasting_s`) or later. In any thread."""
        if self._closing.is_set():
            return
        doubted = self.in_doubt()
        self.board.renew(sent_s)
        self.until_s = self.board.until_s
        if doubted and not self.in_doubt():
            self._loop.call_soon_threadsafe(self._reassure)

    def lost(self) -> None:
        """The lease is lost, and the event loop does not know it yet. In any thread."""
        self.board.doubt(self.now_s())
        self.until_s = 0.0

    # --------------------------------------------------------------------------------------------- asked by others

    def in_doubt(self) -> bool:
        """Whether the lease may have been lost while this Spore stood still. In any thread."""
        return self.until_s != math.inf and self.board.in_doubt(self.now_s())

    def give_up(self) -> None:
        """The lease is lost, and whatever ran was told to stop: let it. Child processes stay held until they end."""
        self.until_s = math.inf
        self._release()

    async def certain(self) -> None:
        """Come back when the lease is not in doubt, or not any more."""
        while self.in_doubt():
            if not self._noticed:
                self._noticed = True
                log.warning("this Spore stood still for too long; what runs waits until Redis says who holds its lease")
            waiter = self._loop.create_future()
            self._parked.add(waiter)
            try:
                await waiter
            finally:
                self._parked.discard(waiter)

    def wait_in_thread(self, is_over: Callable[[], bool]) -> None:
        """The same for a thread, or until `is_over`; in the event loop, which must not wait, it comes back at once."""
        while self.in_doubt() and threading.get_ident() != self._home and not is_over():
            if self._closing.wait(LOOK_S):
                return

    # ----------------------------------------------------------------------------------------------------- inside

    def _beat(self) -> None:
        while not self._closing.wait(PULSE * self.board.lease_s):
            self.board.pulse(self.now_s())

    def _reassure(self) -> None:
        if self._noticed:
            log.warning("nobody took the lease meanwhile; what was held back goes on")
        self._release()

    def _release(self) -> None:
        self._noticed = False
        for waiter in self._parked:
            if not waiter.done():
                waiter.set_result(None)

    def _make_task(self, loop: asyncio.AbstractEventLoop, made: Made, /, **options: Any) -> Task:
        """The loop's task factory: what is made in a body is guarded like the body."""
        current = asyncio.current_task(loop)
        of_a_body = current is not None and (current in self._subtasks or self._is_body(current))
        if of_a_body and isinstance(made, CoroutineType):
            made = _named(_subtask(self, made), made)
        make: Any = self._older_factory or _plain_task
        task: Task = make(loop, made, **options)
        if of_a_body:
            self._subtasks.add(task)
        return task


def _plain_task(loop: asyncio.AbstractEventLoop, made: Any, **options: Any) -> Task:
    return asyncio.Task(made, loop=loop, **options)


async def guarded(guard: LeaseGuard, body: Body) -> Any:
    """Run a body to its end; each step but the first is held back while the lease is in doubt."""
    try:
        waits = body.send(None)
    except StopIteration as end:
        return end.value
    return await go_on(guard, body, waits)


async def _subtask(guard: LeaseGuard, body: Body) -> Any:
    """The same for a task that a body has made; its first step is held back too."""
    await guard.certain()
    return await guarded(guard, body)


def _named(outer: Any, inner: CoroutineType[Any, Any, Any]) -> Body:
    """A coroutine under the name of what it wraps, so that a list of tasks says what runs."""
    outer.__name__, outer.__qualname__ = inner.__name__, inner.__qualname__
    wrapped: Body = outer
    return wrapped


@coroutine
def go_on(guard: LeaseGuard, body: Body, waits: Any) -> Generator[Any, Any, Any]:
    """What is left of a body that has made its first step and waits for `waits`.

    Whatever comes from outside, a result or an exception, is held back as long as the lease is in doubt.
    """
    fault: BaseException | None = None
    try:
        while True:
            given = fault = None
            try:
                given = yield waits
            except GeneratorExit:
                raise
            except BaseException as raised:  # noqa: BLE001  whatever it is, it is for the body
                fault = raised
            if guard.now_s() > guard.until_s:
                fault = yield from _parked(guard, fault)
            waits = body.send(given) if fault is None else body.throw(fault)
    except StopIteration as end:
        return end.value
    finally:
        fault = None
        body.close()


@coroutine
def _parked(guard: LeaseGuard, fault: BaseException | None) -> Generator[Any, Any, BaseException | None]:
    """What the body is to get then: a cancellation that comes while it waits takes the place of what was there."""
    try:
        yield from guard.certain()
    except GeneratorExit:
        raise
    except BaseException as raised:  # noqa: BLE001  whatever it is, it is for the body
        return raised
    return fault
