"""One connection for many: replies find their calls, whatever is cancelled, late, lost or never asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.line import CONNECT_S, Line, Wire
from venom_core.infrastructure.redis_link import RedisLink

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def own(url: str) -> AsyncIterator[Line]:
    """A line of a link that is open."""
    async with RedisLink(Settings.load(redis_url=url)) as link:
        yield link.own_line()


def wire_of(line: Line) -> Wire:
    assert line.wire is not None
    return line.wire


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110 - looks at a connection, which announces itself to nobody
            await asyncio.sleep(0.005)


@asynccontextmanager
async def stranger(talk: Talk) -> AsyncIterator[Line]:
    """A line to something that greets like a server, and then talks as a test wants."""

    talks: list[asyncio.Task[None]] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(talk(reader, writer)))
        await talks[-1]
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        link = RedisLink(Settings.load(redis_url=f"redis://127.0.0.1:{port}"))
        line = link._line()
        yield line
        await line.close()
        await link.close()
        await asyncio.gather(*talks)


async def past_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer whatever redis-py says of itself with OK until the first PING."""
    while b"PING" not in (said := await reader.read(65536)) and said:
        writer.write(b"+OK\r\n" * said.count(b"*"))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_call_waits_for_the_reply_of_another(
    private_server: PrivateServer, run: Callable[[Awaitable[None]], None]
) -> None:
    async def scenario() -> None:
        async with own(private_server.url) as line:
            await line.ask(5, ("PING",))
            private_server.stall()
            asked = [asyncio.create_task(line.ask(5, ("ECHO", str(n)), ("ECHO", "and"))) for n in range(50)]
            await until(lambda: len(wire_of(line)._calls) == 100)
            private_server.resume()
            assert await asyncio.gather(*asked) == [[str(n).encode(), b"and"] for n in range(50)]

    run(scenario())


async def test_callers_who_come_together_open_one_connection(private_server: PrivateServer) -> None:
    async with own(private_server.url) as line:
        await asyncio.gather(*(line.ask(5, ("PING",)) for _ in range(20)))
        client = private_server.client()
        assert len(client.client_list()) == 3  # the link's own, this one, and the one that asks
        client.close()


async def test_whoever_waits_hears_that_the_line_was_lost_each_by_an_error_of_its_own(
    private_server: PrivateServer,
) -> None:
    async with own(private_server.url) as line:
        await line.ask(5, ("PING",))
        private_server.stall()
        asked = [asyncio.create_task(line.ask(5, ("PING",))) for _ in range(3)]
        await until(lambda: len(wire_of(line)._calls) == 3)
        private_server.kill()
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(fault) for fault in ended] == [StoreUnavailable] * 3
        assert len({id(fault) for fault in ended}) == 3


async def test_a_shorter_time_limit_counts_though_a_longer_call_went_first(private_server: PrivateServer) -> None:
    async with own(private_server.url) as line:
        await line.ask(60, ("PING",))
        private_server.stall()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await line.ask(0.05, ("PING",))
        private_server.resume()
        assert await line.ask(5, ("ECHO", "new")) == [b"new"]


async def test_a_call_that_is_answered_in_time_outlives_the_alarm_of_an_earlier_one(link: RedisLink) -> None:
    line = link.own_line()
    for _ in range(3):
        assert await line.ask(1.5, ("BLPOP", "nobody:fills:this", 0.6)) == [None]
    wire = line.wire
    assert await line.ask(1.5, ("ECHO", "same line")) == [b"same line"]
    assert line.wire is wire


async def test_a_cancelled_call_costs_nobody_else_the_line(private_server: PrivateServer) -> None:
    async with own(private_server.url) as line:
        await line.ask(5, ("PING",))
        wire = line.wire
        private_server.stall()
        unwanted = asyncio.create_task(line.ask(5, ("ECHO", "unwanted"), ("ECHO", "both")))
        wanted = asyncio.create_task(line.ask(5, ("ECHO", "wanted")))
        await until(lambda: len(wire_of(line)._calls) == 3)
        unwanted.cancel()
        private_server.resume()
        assert await wanted == [b"wanted"]
        assert line.wire is wire


async def test_a_cancelled_exclusive_call_takes_its_line_with_it(private_server: PrivateServer) -> None:
    async with own(private_server.url) as line:
        await line.ask(5, ("PING",))
        wire = wire_of(line)
        blocked = asyncio.create_task(line.ask(5, ("BLPOP", "list", 3), exclusive=True))
        await until(lambda: len(wire._calls) == 1)
        blocked.cancel()
        await asyncio.gather(blocked, return_exceptions=True)
        assert not wire.usable
        assert await line.ask(5, ("LPUSH", "list", "x")) == [1]
        assert await line.ask(5, ("LLEN", "list")) == [1]


async def test_an_exclusive_call_that_is_given_up_while_it_connects_is_not_sent(private_server: PrivateServer) -> None:
    async with own(private_server.url) as line:
        private_server.stall()
        blocked = asyncio.create_task(line.ask(5, ("LPUSH", "list", "x"), exclusive=True))
        await until(line._connecting.locked)
        line.drop()
        private_server.resume()
        with pytest.raises(StoreUnavailable):
            await blocked
        assert await line.ask(5, ("LLEN", "list")) == [0]


async def test_a_line_that_is_given_up_while_it_connects_does_not_wait_for_that(private_server: PrivateServer) -> None:
    async with own(private_server.url) as line:
        private_server.stall()
        asked = asyncio.create_task(line.ask(600, ("PING",)))
        await until(line._connecting.locked)
        line.give_up()
        async with asyncio.timeout(CONNECT_S):
            with pytest.raises(StoreUnavailable, match="did not answer in time"):
                await asked
        private_server.resume()
        assert await line.ask(5, ("PING",)) == [b"PONG"]


async def test_one_wrong_command_of_several_spoils_no_other_reply(link: RedisLink) -> None:
    line = link.own_line()
    with pytest.raises(Exception, match="unknown command"):
        await line.ask(5, ("NONSENSE",), ("ECHO", "x"))
    assert await line.ask(5, ("ECHO", "y")) == [b"y"]


async def test_cancelling_while_connecting_leaves_the_line_fit_for_the_next() -> None:
    greeted = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not greeted.is_set():
            greeted.set()
            await reader.read()
            return
        await past_greeting(reader, writer)
        writer.write(b"+PONG\r\n")
        await reader.read()

    async with stranger(talk) as line:
        first = asyncio.create_task(line.ask(5, ("PING",)))
        await greeted.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert await line.ask(5, ("PING",)) == [b"PONG"]


async def test_a_server_that_greets_and_says_no_more_is_unavailable_in_time() -> None:
    async def talk(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with stranger(talk) as line:
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await line.ask(0.1, ("PING",))


@pytest.mark.parametrize("more", [b"+PONG\r\n", b"?\r\n"], ids=["a reply too many", "no protocol at all"])
async def test_what_nobody_asked_for_ends_the_line(more: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await past_greeting(reader, writer)
        writer.write(b"+PONG\r\n" + more)
        await reader.read()

    async with stranger(talk) as line:
        assert await line.ask(5, ("PING",)) == [b"PONG"]
        await until(lambda: not wire_of(line).usable)


async def test_a_subscriber_hears_what_comes_together_with_its_subscription() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"SUBSCRIBE" not in (said := await reader.read(65536)) and said:
            writer.write(b"+OK\r\n" * said.count(b"*"))
        writer.write(b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" + b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n")
        await writer.drain()

    heard: list[bytes] = []
    lost = asyncio.Event()
    async with stranger(talk) as line:
        await line.subscribe(5, "c", heard.append, lost.set)
        async with asyncio.timeout(10):
            await lost.wait()
    assert heard == [b"hi"]


async def test_a_subscription_to_nobody_says_who_is_away() -> None:
    link = RedisLink(Settings.load(redis_url="redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await link._line().subscribe(1, "c", print, print)
    await link.close()
