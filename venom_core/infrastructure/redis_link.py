"""The one door to Redis: a process has one link, and every connection of the project is made through it.

Nothing here tries a command again by itself, and redis-py's own retries are off: a command whose reply
was lost may have run. Whoever calls decides, with scripts that are safe to run twice. Timeouts are
always explicit, because the defaults of redis-py 5 (none) and of 8 (5 s) each break something.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Self

import hiredis
import redis
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from venom_core.config import Settings
from venom_core.errors import StoreRefused, StoreUnavailable
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.redis_errors import foreign_errors, translate
from venom_core.infrastructure.redis_pools import Pools
from venom_core.infrastructure.redis_server import ServerFacts, judge_server, read_hello, read_info

__all__ = ["RedisLink", "foreign_errors", "translate"]

COMMAND_TIMEOUT_S = 10.0
BLOCK_MARGIN_S = 5.0
CLIENT_CONNECTIONS_MAX = 8
LISTENERS_MAX = 32
LINES_MAX = 16

Argument = str | bytes | int | float


class RedisLink:
    """The connections of one process to one store, used from one event loop.

    `command`, `evalsha` and `evaluate` are the fast way, for any number of coroutines at once: at most 16
    connections, each packing with hiredis and holding one timer a call. That costs a quarter of the CPU
    of `client.execute_command` for a call with a thousand arguments.
    """

    def __init__(self, settings: Settings, *, command_timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Takes the address apart; nothing is sent before `connect`.

        Raises:
            InvalidSetting: REDIS_URL is none of the known forms.
        """
        self.address = parse_address(settings.store_url())
        self.place = self.address.place
        self.server = ServerFacts()
        self._timeout_s = command_timeout_s
        self._pools = Pools(self.address)
        self._client = self._pools.client(command_timeout_s, CLIENT_CONNECTIONS_MAX)
        self._listener = self._pools.client(None, LISTENERS_MAX)
        self._blocking: list[Redis] = []
        self._lines: list[AbstractConnection] = []
        self._idle: list[AbstractConnection] = []
        self._room = asyncio.Semaphore(LINES_MAX)
        self._open = False

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether `connect` succeeded and `close` was not called since; says nothing about this moment."""
        return self._open

    async def connect(self) -> None:
        """Open the link and see that the server is fit to hold a hive; does nothing if it is open.

        Raises:
            StoreUnavailable: it cannot be reached or is not ready.
            StoreRefused: wrong password, a read-only replica, a cluster node or a Sentinel.
            StoreTooOld: older than Redis 7.0 or Valkey 7.2.
        """
        if self._open:
            return
        self._open = True
        try:
            await self.command("PING")
            self.server = await self._read_facts()
            judge_server(self.server, self.place)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection of this event loop; safe to call twice. A closed link can connect again."""
        self._open = False
        blocking, self._blocking = self._blocking, []
        for line in self._lines:
            await line.disconnect(nowait=True)
        for client in (self._client, self._listener, *blocking):
            await client.aclose()
        await self._pools.close()

    @property
    def client(self) -> Redis:
        """redis-py's own client for what is not hot (8 connections at most); use it inside `foreign_errors()`."""
        self._require_open()
        return self._client

    def blocking_client(self, block_s: float) -> Redis:
        """A client with one connection for commands that block up to `block_s` seconds; it closes with the link."""
        self._require_open()
        client = self._pools.client(block_s + BLOCK_MARGIN_S, 1)
        self._blocking.append(client)
        return client

    def pubsub(self) -> PubSub:
        """A subscription on its own connection, which may stay silent for ever; use it in an `async with`."""
        self._require_open()
        return self._listener.pubsub()

    def sync_client(self, timeout_s: float = 2.0, on_connect: Callable[[], None] | None = None) -> redis.Redis:
        """A blocking client for a thread, `timeout_s` seconds to connect and for each reply; close it there.

        `on_connect` is called in that thread whenever a connection was made.
        """
        return self._pools.sync_client(timeout_s, on_connect)

    async def evalsha(self, sha: str, keys: Sequence[bytes | str], args: Sequence[Argument]) -> Any:
        """Run a script by its digest; redis-py's NoScriptError says that the server has to be told the source."""
        return await self.command("EVALSHA", sha, len(keys), *keys, *args)

    async def evaluate(self, source: str, keys: Sequence[bytes | str], args: Sequence[Argument]) -> Any:
        """Run a script by its source; the server remembers it for `evalsha`."""
        return await self.command("EVAL", source, len(keys), *keys, *args)

    async def command(self, *args: Argument) -> Any:
        """Send one command the fast way and return the server's reply as it is, bytes undecoded.

        Raises:
            StoreUnavailable: no connection, or no reply within 10 s; the command may have run all the same.
            StoreRefused: the server said no.
            redis.exceptions.ResponseError: the command is wrong, or the script raised.
        """
        self._require_open()
        async with self._room:
            line = self._idle.pop() if self._idle else self.own_line()
            try:
                return await self.ask(line, self._timeout_s, *args)
            finally:
                self._idle.append(line)

    async def ask(self, line: AbstractConnection, timeout_s: float, *args: Argument) -> Any:
        """Send one command over a given line and return its reply; a line that failed is connected anew next time.

        Raises what `command` raises.
        """
        return (await self.ask_in_turn(line, timeout_s, args))[0]

    async def ask_in_turn(
        self, line: AbstractConnection, timeout_s: float, *commands: tuple[Argument, ...]
    ) -> list[Any]:
        """Send commands at once, to be run one after the other; `timeout_s` is for all their replies.

        Raises what `command` raises, also if only one of them failed.
        """
        packed = b"".join(hiredis.pack_command(args) for args in commands)  # type: ignore[arg-type]  # its stub means any number of arguments
        replies: list[Any] = []
        try:
            async with asyncio.timeout(timeout_s):
                if not _usable(line):
                    await line.disconnect(nowait=True)
                    await line.connect()  # type: ignore[no-untyped-call]  # redis-py says no type
                await line.send_packed_command(packed, check_health=False)
                for _ in commands:
                    replies.append(await line.read_response())  # noqa: PERF401 - how many came is needed below
                return replies
        except BaseException as error:
            # An error that is the last reply leaves the line as good as before.
            if not isinstance(error, ResponseError) or len(replies) < len(commands) - 1:
                await line.disconnect(nowait=True)
            if ours := translate(error, self.place):
                raise ours from error
            raise

    async def listen(self, channel: str) -> AsyncIterator[bytes | None]:
        """Messages of one channel on a line of its own, for ever; first a None, once the subscription stands.

        Raises:
            StoreUnavailable: the line was lost; what was said meanwhile is lost too.
        """
        line = self.own_line()
        try:
            await self.ask(line, self._timeout_s, "SUBSCRIBE", channel)
            yield None
            while True:
                with foreign_errors(self.place):
                    _, _, data = await line.read_response()
                yield data
        finally:
            await line.disconnect(nowait=True)
            if line in self._lines:
                self._lines.remove(line)

    def own_line(self) -> AbstractConnection:
        """A connection for one user at a time, for `ask`; it closes with the link."""
        self._require_open()
        line = self._pools.line()
        self._lines.append(line)
        return line

    def _require_open(self) -> None:
        if not self._open:
            raise StoreUnavailable(f"{self.place} is not connected; call connect() first.")

    async def _read_facts(self) -> ServerFacts:
        """INFO tells most; a user whose ACL denies it may ask HELLO, which is never denied."""
        try:
            return read_info(await self.command("INFO"))
        except StoreRefused:
            return read_hello(await self.command("HELLO"))


def _usable(line: AbstractConnection) -> bool:
    """Open, and not closed by the server meanwhile: a transport of uvloop raises RuntimeError if written to then."""
    reader, writer = line._reader, line._writer  # noqa: SLF001 - redis-py has no public look that costs nothing
    return reader is not None and writer is not None and not reader.at_eof() and not writer.is_closing()
