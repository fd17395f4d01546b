"""One connection on which commands leave as they come and replies return in their order, none waiting for another.

redis-py opens it: it finds the address, asks the Sentinel, speaks TLS and logs in. Then the socket is handed to a
protocol of our own, because the streams and timers that redis-py holds for each call cost more than the call does
(ADR 0013).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TooLate

from venom_core.infrastructure.redis_errors import translate

Argument = str | bytes | int | float
Command = tuple[Argument, ...] | bytes  # the latter packed, by a `Head`
CONNECT_S = 5.0
_NOT_YET: Any = object()
_SILENT = "Timeout reading from the server"
_CLOSED = "Connection closed by the server"
# What a master says that is none any more; the Sentinel knows who is.
_DEMOTED = ("READONLY", "UNBLOCKED")
# On, and for no time at all.
_NO_LINGERING = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_pack: Callable[[tuple[Argument, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub knows one argument only


class Head:
    """The first arguments of a command that is sent often, packed once for all calls."""

    def __init__(self, *args: Argument) -> None:
        self._count, self._packed = len(args), _arguments(args)

    def __len__(self) -> int:
        """Bytes that it takes."""
        return len(self._packed)

    def with_rest(self, args: Sequence[Argument]) -> bytes:
        """The whole command, as `Line.ask` takes it."""
        return b"*%d\r\n%b%b" % (self._count + len(args), self._packed, _arguments(args) if args else b"")


def _arguments(args: Sequence[Argument]) -> bytes:
    packed = _pack(tuple(args))
    return packed[packed.index(b"\n") + 1 :]


def _error(said: str) -> ResponseError:
    """An error reply; the first word stays, `translate` reads it."""
    kind = NoScriptError if said.startswith("NOSCRIPT") else ResponseError
    return kind(said.removeprefix("ERR "))


class Wire(asyncio.Protocol):
    """One life of a line, from the login until either side ends it."""

    def __init__(self, connection: AbstractConnection, loop: asyncio.AbstractEventLoop) -> None:
        """Takes the socket of an open connection over; the connection is kept, because it closes what it opened."""
        self.connection = connection
        self.heard: Callable[[Any], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.on_silence: Callable[[], None] | None = None
        writer = connection._writer  # noqa: SLF001 - redis-py has no public way to its transport
        assert writer is not None
        self._transport: asyncio.WriteTransport = writer.transport
        self._loop = loop
        self._reader = hiredis.Reader(replyError=_error, notEnoughData=_NOT_YET)
        self._calls: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._answered_s = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._streams = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """Whether neither side has closed it, as far as is known here."""
        return not self._transport.is_closing()

    def send(self, packed: bytes, count: int, timeout_s: float) -> list[asyncio.Future[Any]]:
        """Write commands at once; a future for each reply, which may take `timeout_s` seconds after the one before."""
        made = [self._loop.create_future() for _ in range(count)]
        for future in made:
            self._calls.append((future, timeout_s))
        due_s = (now_s := self._loop.time()) + timeout_s
        if len(self._calls) == count:
            self._answered_s = now_s
        if self._alarm is None:
            self._alarm = self._loop.call_at(due_s, self._look)
        elif self._alarm.when() > due_s:
            self._alarm.cancel()
            self._alarm = self._loop.call_at(due_s, self._look)
        self._transport.write(packed)
        return made

    def data_received(self, data: bytes) -> None:
        """Replies; each belongs to the oldest call that has none, or to the subscriber."""
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOT_YET:
                self._take(reply)
        except hiredis.ProtocolError as fault:
            self.fail(InvalidResponse(f"Protocol Error: {fault}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears of it."""
        self._streams.connection_lost(exc)
        self.fail(Lost(str(exc) if exc else _CLOSED))

    def fail(self, fault: Exception) -> None:
        """Close it, and let every call that waits end with this."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if isinstance(fault, TooLate) and self.usable:
            self._break_off()
        self._transport.close()
        calls, self._calls = self._calls, deque()
        for future, _ in calls:
            if not future.done():
                future.set_exception(type(fault)(*fault.args))
        if self.on_lost is not None:
            self.on_lost()

    def _break_off(self) -> None:
        """Close it at once, and take back what was not delivered.

        Otherwise the system would go on delivering it for minutes, and whatever is given up here, and asked again
        over a new line, could be carried out after that: a node's first join would fence its second.
        """
        if (own := self._transport.get_extra_info("socket")) is not None:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._transport.abort()

    def _take(self, reply: Any) -> None:
        if not self._calls:
            if self.heard is None:
                raise hiredis.ProtocolError("a reply that nobody asked for")
            self.heard(reply)
            return
        future, _ = self._calls.popleft()
        if self._calls:
            self._answered_s = self._loop.time()
        if future.done():
            return
        if isinstance(reply, ResponseError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _look(self) -> None:
        """One timer for all calls: is the oldest too late?"""
        self._alarm = None
        if not self._calls:
            return
        due_s = self._answered_s + self._calls[0][1]
        if due_s <= self._loop.time():
            self.fail(TooLate(_SILENT))
            if self.on_silence is not None:
                self.on_silence()
        else:
            self._alarm = self._loop.call_at(due_s, self._look)


class Line:
    """A connection that is made when it is needed, and anew after it was lost; for any number of coroutines."""

    def __init__(
        self, connection: AbstractConnection, place: str, on_silence: Callable[[], None], *, follows_master: bool
    ) -> None:
        """`connection`: of redis-py, not open; `follows_master`: a Sentinel is asked for the address each time.

        `on_silence` is called when a reply was given up that did not come in time.
        """
        self.wire: Wire | None = None
        self._on_silence = on_silence
        self._connection, self._place, self._follows_master = connection, place, follows_master
        self._connecting = asyncio.Lock()
        self._opening: asyncio.Timeout | None = None
        self._drops = 0

    async def ask(self, timeout_s: float, *commands: Command, exclusive: bool = False) -> list[Any]:
        """Send commands at once, to be run one after the other; their replies. Each reply has `timeout_s` seconds.

        An `exclusive` call that is cancelled closes the line, so that the server forgets what it was blocked on;
        otherwise the replies are dropped when they come.

        Raises:
            StoreUnavailable: no connection, or no reply in time; the commands may have run all the same.
            StoreRefused: the server said no.
            redis.exceptions.ResponseError: a command is wrong, or a script raised.
        """
        packed = b"".join([each if isinstance(each, bytes) else _pack(each) for each in commands])
        made: list[asyncio.Future[Any]] = []
        try:
            wire = self.wire
            if wire is None or not wire.usable:
                drops = self._drops
                wire = await self.open(timeout_s)
                if exclusive and self._drops != drops:
                    raise Lost(_CLOSED)
            made = wire.send(packed, len(commands), timeout_s)
            return [await made[0]] if len(made) == 1 else await _all(made)
        except asyncio.CancelledError:
            for future in made:
                future.cancel()
            if exclusive:
                self.drop()
            raise
        except RedisError as error:
            raise self._judge(error) from error

    async def subscribe(
        self, timeout_s: float, channel: str, heard: Callable[[bytes], None], on_lost: Callable[[], None]
    ) -> None:
        """Hand every message of a channel to `heard` as it comes, until the line is lost; raises what `ask` raises."""
        try:
            wire = await self.open(timeout_s)
            wire.heard, wire.on_lost = lambda push: heard(push[2]), on_lost
            (standing,) = wire.send(_pack(("SUBSCRIBE", channel)), 1, timeout_s)
            await standing
        except RedisError as error:
            raise self._judge(error) from error

    async def open(self, timeout_s: float) -> Wire:
        """The present wire, or a new one; redis-py's own errors if there is none to be had.

        Whoever finds others connecting waits for them, but in all no longer than `timeout_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open()
        except TimeoutError:
            raise TooLate(_SILENT) from None

    async def _open(self) -> Wire:
        async with self._connecting:
            if self.wire is not None and self.wire.usable:
                return self.wire
            await self.close()
            try:
                # What blocks for long need not wait as long to be connected.
                async with asyncio.timeout(CONNECT_S) as opening:
                    self._opening = opening
                    try:
                        await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py says no type
                    finally:
                        self._opening = None
            except BaseException:
                await self._connection.disconnect(nowait=True)
                raise
            self.wire = Wire(self._connection, asyncio.get_running_loop())
            self.wire.on_silence = self._on_silence
            return self.wire

    def drop(self) -> None:
        """Close the wire without a word; the next call makes a new one. An exclusive call that connects ends too."""
        self._drops += 1
        self._stop_opening()
        if self.wire is not None:
            self.wire.fail(Lost(_CLOSED))

    def give_up(self) -> None:
        """Nothing will come over this wire any more: whoever waits for a reply is told that it did not come in time."""
        self._stop_opening()
        if self.wire is not None:
            self.wire.fail(TooLate(_SILENT))

    def _stop_opening(self) -> None:
        if self._opening is not None and not self._opening.expired():
            self._opening.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Close it; whoever waits for a reply gets `StoreUnavailable`. It can be used again."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.fail(Lost(_CLOSED))
        await self._connection.disconnect(nowait=True)

    def _judge(self, error: RedisError) -> Exception:
        """Our error for one of redis-py's; what is our own fault stays as it is."""
        if self._follows_master and str(error).startswith(_DEMOTED):
            self.drop()
            error = Lost("the master has become a replica")
        return translate(error, self._place) or error


async def _all(made: list[asyncio.Future[Any]]) -> list[Any]:
    """Every reply, or the first error after the last one came. They come in this order, so one waits for the last."""
    with contextlib.suppress(RedisError):
        await made[-1]
    faults = [future.exception() for future in made]
    if fault := next(filter(None, faults), None):
        raise fault
    return [future.result() for future in made]
