"""Plain functions in threads that can be told to stop.

`ThreadPoolExecutor` will not do: it joins its threads at exit, cannot give one up, and has no way to reach
the code inside. Here a cancelled call gets `ThreadStopped` raised in its thread, again and again until it
ends or the grace is over; then the thread is given up and keeps its slot until it ends by itself. Code that
blocks in C (a long `time.sleep`, a socket without timeout) is not reached before the C call returns: what
must be killable at any time belongs into a process.

How an exception raised from outside can never hit the next call: a thread that was told to stop serves no
other call. Whether a call has ended and whether it was told to stop is decided under one lock, so either the
thread ends its call first and nothing is raised in it, or it sees that it was told and retires. The one
exception that may still land in the few lines after the function is swallowed there, and should it end the
thread on the way, the watching side sees the thread dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import sys
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from venom_core.errors import TaskFailure

GRACE_S = 5.0
_PROD_S = 0.05


_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)


class ThreadStopped(BaseException):
    """Raised inside a skill's thread to end it; not an `Exception`, so that ordinary handlers let it through."""


class LeftRunning(asyncio.CancelledError):
    """The awaiting task was cancelled; the thread was told, does not end, and was given up."""


class _Cleared(BaseException):
    """Raised in the telling thread itself and caught on the spot."""


class _Call:
    """One call of one function, from the event loop to a thread and back."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._work = (function, args, kwargs)
        self._context = contextvars.copy_context()
        self._lock = threading.Lock()
        self._ended = False
        self._told = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.loop = asyncio.get_running_loop()
        self.waiter = self.loop.create_future()
        self.settled = False

    def perform(self) -> None:
        """Run the function in this thread, unless it was told to stop before it began; keeps the outcome."""
        function, args, kwargs = self._work
        try:
            if self._told:
                raise ThreadStopped
            self.result = self._context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 whatever it raises, SystemExit too, is the call's outcome
            self.error = error

    def prod(self, thread_id: int) -> None:
        """Raise `ThreadStopped` in the thread, unless the call has ended there."""
        own_id = threading.get_ident()
        with self._lock:
            if self._ended:
                return
            self._told = True
            _raise_in(thread_id, ThreadStopped)
            if sys.version_info < (3, 13):
                # While the other thread is inside C, its pending exception holds up the check that all threads make
                # between two steps: they run slower, and 3.11 under a tracer does not get past the next function
                # call. Taking an exception of our own clears that, and leaves the other one pending.
                try:
                    while True:
                        _raise_in(own_id, _Cleared)
                except _Cleared:
                    return

    def end(self) -> bool:
        """Close the call to further prods; True if it was told to stop, so that its thread must retire."""
        with self._lock:
            self._ended = True
            return self._told

    def outcome(self) -> Any:
        """The result, or raises the error; one that would end an event loop comes wrapped."""
        error, self.error = self.error, None
        if error is None:
            return self.result
        if isinstance(error, Exception):
            raise error
        raise TaskFailure(f"the skill raised {type(error).__name__}: {error}".removesuffix(": ")) from error


class _Seat:
    """One daemon thread and the calls it is given, one after the other."""

    def __init__(self, number: int, on_end: Callable[[_Seat, _Call], None]) -> None:
        self._inbox: SimpleQueue[_Call | None] = SimpleQueue()
        self._on_end = on_end
        self._thread = threading.Thread(target=self._main, name=f"venom-skill-{number}", daemon=True)
        self.retired = False

    def start(self) -> None:
        """Start the thread; raises `RuntimeError` when the machine has none left."""
        self._thread.start()

    def give(self, call: _Call | None) -> None:
        """Queue a call, or None to let the thread end."""
        self._inbox.put(call)

    def tell(self, call: _Call) -> bool:
        """Tell the thread to end this call; False if there is no thread any more."""
        if self._thread.is_alive():
            call.prod(self._thread.ident or 0)
            return True
        self.retired = True
        return False

    def _main(self) -> None:
        try:
            self._serve()
        except ThreadStopped:
            return  # a prod that landed after the function ended; the telling side sees that the thread is gone

    def _serve(self) -> None:
        while (call := self._inbox.get()) is not None:
            try:
                call.perform()
                self._close(call)
            except ThreadStopped:
                self._close(call)
            if self.retired:
                return
            del call  # an idle thread must not keep the last result alive

    def _close(self, call: _Call) -> None:
        self.retired = call.end()
        try:
            call.loop.call_soon_threadsafe(self._on_end, self, call)
        except RuntimeError:
            self.retired = True  # the event loop is closed: nobody waits for this outcome, or for any other


class ThreadRunner:
    """Runs plain functions in at most `slots` threads, started when first needed. For one event loop."""

    def __init__(self, slots: int, grace_s: float = GRACE_S) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._grace_s = grace_s
        self._idle: list[_Seat] = []
        self._given_up: set[_Call] = set()
        self._seats_made = 0
        self._closed = False

    @property
    def stuck(self) -> int:
        """How many threads were given up and have not ended; each still holds its slot."""
        return len(self._given_up)

    async def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The function's result; what it raises is raised here, in a `TaskFailure` if it is no `Exception`.

        Cancelling the awaiting task stops the thread as described above, then lets the cancellation through, as
        `LeftRunning` if the thread goes on; a second cancellation cuts the grace short.
        """
        await self._slots.acquire()
        call = _Call(function, args, kwargs)
        seat = self._take_seat()
        seat.give(call)
        try:
            await call.waiter
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):  # told twice: the grace is over
                await self._stop(seat, call)
            if not call.settled:
                self._given_up.add(call)
                raise LeftRunning from None
            raise
        return call.outcome()

    def close(self) -> None:
        """Let idle threads end. Busy ones end with their call; a stuck one does not hold up the interpreter."""
        self._closed = True
        while self._idle:
            self._idle.pop().give(None)

    def _take_seat(self) -> _Seat:
        if self._idle:
            return self._idle.pop()
        self._seats_made += 1
        seat = _Seat(self._seats_made, self._on_end)
        try:
            seat.start()
        except RuntimeError as error:
            self._slots.release()
            raise TaskFailure(f"no thread could be started for the skill: {error}") from error
        return seat

    async def _stop(self, seat: _Seat, call: _Call) -> None:
        """Tell the thread until the call ends or the grace is over."""
        call.waiter = call.loop.create_future()
        deadline = call.loop.time() + self._grace_s
        while not call.settled and call.loop.time() < deadline:
            if not seat.tell(call):
                self._on_end(seat, call)
            await asyncio.wait([call.waiter], timeout=_PROD_S)

    def _on_end(self, seat: _Seat, call: _Call) -> None:
        """In the event loop: the call has ended and its slot is free. May come twice; counts once."""
        if call.settled:
            return
        call.settled = True
        self._given_up.discard(call)
        if self._closed:
            seat.give(None)
        elif not seat.retired:
            self._idle.append(seat)
        if not call.waiter.done():
            call.waiter.set_result(None)
        self._slots.release()
