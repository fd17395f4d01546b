"""The one door to Redis: a process has one link, and every connection of the project is made through it.

Nothing here tries a command again by itself, and redis-py's own retries are off: a command whose reply
was lost may have run. Whoever calls decides, with scripts that are safe to run twice. Timeouts are
always explicit, because the defaults of redis-py 5 (none) and of 8 (5 s) each break something.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import redis
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from venom_core.config import Settings
from venom_core.errors import StoreRefused, StoreUnavailable
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.line import Argument, Command, Line
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.redis_errors import foreign_errors, translate
from venom_core.infrastructure.redis_pools import Pools
from venom_core.infrastructure.redis_server import ServerFacts, judge_server, read_hello, read_info

__all__ = ["Argument", "RedisLink", "foreign_errors", "translate"]

log = logging.getLogger("venom.store")

COMMAND_TIMEOUT_S = 10.0
BLOCK_MARGIN_S = 5.0
CLIENT_CONNECTIONS_MAX = 8
LISTENERS_MAX = 32
CHECK_S, CHECK_AGAIN_S = 2.0, 0.1
UNREAD_MAX = 10_000


class RedisLink:
    """The connections of one process to one store, used from one event loop.

    `command`, `ask` and `evaluate` are the fast way, for any number of coroutines at once: they share one line,
    on which nobody waits for another's reply.
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
        self._common = self._line()
        self._lines: list[Line] = []
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
        for line in (self._common, *self._lines):
            await line.close()
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

    async def evaluate(self, source: str, keys: Sequence[bytes | str], args: Sequence[Argument]) -> Any:
        """Run a script by its source; the server remembers it for EVALSHA."""
        return await self.command("EVAL", source, len(keys), *keys, *args)

    async def command(self, *args: Argument) -> Any:
        """Send one command the fast way and return the server's reply as it is, bytes undecoded.

        Raises:
            StoreUnavailable: no connection, or no reply within 10 s; the command may have run all the same.
            StoreRefused: the server said no.
            redis.exceptions.ResponseError: the command is wrong, or the script raised.
        """
        return (await self.ask(args))[0]

    async def ask(self, *commands: Command) -> list[Any]:
        """The same with several commands in one write, which are run one after the other; their replies."""
        self._require_open()
        return await self._common.ask(self._timeout_s, *commands)

    async def check(self, within_s: float = CHECK_S) -> None:
        """Give all lines up if nothing is answered within some seconds, while somebody knows that the server is there.

        A connection may be dead without a word to either end, after a cut of the network or in a firewall. What is
        asked over it would be given up after 10 s, what only listens or sleeps there after 45 s.
        """
        asking = asyncio.ensure_future(self.command("PING"))
        try:
            # Twice: after the first time, this event loop may only have been too busy to read the answer.
            for patience_s in (within_s, CHECK_AGAIN_S):
                await asyncio.wait([asking], timeout=patience_s)
            if not asking.done():
                log.warning("%s answers, but not over the connections there were; making new ones", self.place)
                self._give_up()
            await asyncio.gather(asking, return_exceptions=True)
        finally:
            await end_tasks(asking)

    @asynccontextmanager
    async def hearing(self, channel: str, heard: Callable[[bytes], None]) -> AsyncIterator[asyncio.Future[None]]:
        """While the block lasts each message of a channel goes to `heard` the moment it comes, on a line of its own.

        The future ends with `StoreUnavailable` when the line is lost; what was said meanwhile is lost too.
        """
        line = self.own_line()
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        fault = StoreUnavailable(f"{self.place} is not heard any more on {channel}; subscribe again.")

        def lose() -> None:
            if not lost.done():
                lost.set_exception(fault)

        try:
            await line.subscribe(self._timeout_s, channel, heard, lose)
            yield lost
        finally:
            if not lost.cancel() and not lost.cancelled():
                lost.exception()  # nobody has to have looked at it
            await line.close()
            if line in self._lines:
                self._lines.remove(line)

    async def listen(self, channel: str) -> AsyncIterator[bytes | None]:
        """Messages of one channel for ever; first a None, once the subscription stands. Raises what `hearing` does."""
        said: asyncio.Queue[bytes | None] = asyncio.Queue()

        def hear(message: bytes) -> None:
            if said.qsize() < UNREAD_MAX:  # a message is only a hint; a flood of them is nobody's
                said.put_nowait(message)

        async with self.hearing(channel, hear) as lost:
            lost.add_done_callback(lambda _: said.put_nowait(None))
            yield None
            while (message := await said.get()) is not None:
                yield message
            await lost

    def own_line(self) -> Line:
        """A connection for one user, for what blocks; it closes with the link."""
        self._require_open()
        line = self._line()
        self._lines.append(line)
        return line

    def _line(self) -> Line:
        return Line(self._pools.line(), self.place, self._give_up, follows_master=bool(self.address.service))

    def _give_up(self) -> None:
        """One line is silent: whatever broke it has broken the others, also those on which nothing is due."""
        for line in (self._common, *self._lines):
            line.give_up()

    def _require_open(self) -> None:
        if not self._open:
            raise StoreUnavailable(f"{self.place} is not connected; call connect() first.")

    async def _read_facts(self) -> ServerFacts:
        """INFO tells most; a user whose ACL denies it may ask HELLO, which is never denied."""
        try:
            return read_info(await self.command("INFO"))
        except StoreRefused:
            return read_hello(await self.command("HELLO"))
