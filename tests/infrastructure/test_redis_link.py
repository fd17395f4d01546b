from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.exceptions import NoScriptError, ResponseError

from tests.cables import Cable
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, StoreError, StoreRefused, StoreUnavailable
from venom_core.infrastructure.redis_link import RedisLink, foreign_errors

Start = Callable[..., PrivateServer]
# Of a connection of one machine with itself, on both sides together.
MORE_THAN_BUFFERS_HOLD = 64 * 1024 * 1024


@pytest.fixture
def start(short_dir: Path) -> Iterator[Start]:
    """Starts servers with arguments of the test's choice; they end with the test."""
    running: list[PrivateServer] = []

    def begin(*extra: str, loopback: bool = False) -> PrivateServer:
        server = PrivateServer(short_dir / str(len(running)), loopback=loopback, extra=extra)
        running.append(server)
        return server

    yield begin
    for server in running:
        server.kill()


def linked(url: str, **options: Any) -> RedisLink:
    return RedisLink(Settings.load(redis_url=url), **options)


async def refusal(url: str, kind: type[StoreError]) -> str:
    """What connecting to this address is refused with."""
    link = linked(url)
    with pytest.raises(kind) as caught:
        await link.connect()
    assert not link.connected
    return str(caught.value)


def waiting_for(link: RedisLink) -> int:
    """How many replies are still to come."""
    return len(link._common.wire._calls) if link._common.wire else 0


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110 - looks at states of redis-py that announce themselves to nobody
            await asyncio.sleep(0.005)


async def test_a_command_returns_the_bytes_the_server_sent(link: RedisLink) -> None:
    assert await link.command("ECHO", "é") == "é".encode()
    assert await link.command("ECHO", 1.5) == b"1.5"


async def test_connecting_learns_what_the_server_is(link: RedisLink) -> None:
    assert link.connected
    assert link.server.name in {"Redis", "Valkey"}
    assert link.server.version
    await link.connect()


async def test_two_hundred_coroutines_each_get_their_own_answer_over_one_connection(link: RedisLink) -> None:
    wire = link._common.wire
    answers = await asyncio.gather(*(link.command("ECHO", str(number)) for number in range(200)))
    assert answers == [str(number).encode() for number in range(200)]
    assert link._common.wire is wire


async def test_a_script_runs_by_source_then_by_digest(link: RedisLink, settings: Settings) -> None:
    key = f"{{{settings.hive_namespace}:0}}:wake"
    digest = "be89b5b8eaf83a9fa8b4c2f5d0a9a3ec9a4f1a2d"
    with pytest.raises(NoScriptError):
        await link.command("EVALSHA", digest, 1, key, 1)
    source = "return {KEYS[1], ARGV[1], #ARGV}"
    reply = await link.evaluate(source, [key], [b"x" * 10_000, *range(1000)])
    assert reply == [key.encode(), b"x" * 10_000, 1001]
    loaded = await link.command("SCRIPT", "LOAD", source)
    assert await link.command("EVALSHA", loaded, 1, key, "a") == [key.encode(), b"a", 1]


async def test_an_error_of_a_script_is_not_the_stores_fault_and_spoils_no_connection(link: RedisLink) -> None:
    with pytest.raises(ResponseError, match="mine"):
        await link.evaluate("return redis.error_reply('MINE mine')", [], [])
    wire = link._common.wire
    assert await link.command("ECHO", "next") == b"next"
    assert link._common.wire is wire


async def test_an_argument_that_redis_does_not_know_is_refused_before_it_is_sent(link: RedisLink) -> None:
    with pytest.raises(TypeError):
        await link.command("ECHO", None)  # type: ignore[arg-type]  # the point of the test


async def test_the_other_clients_serve_the_same_store(link: RedisLink, settings: Settings) -> None:
    key = f"{{{settings.hive_namespace}:0}}:duty"
    with foreign_errors():
        await link.client.set(key, "x", ex=10)
        assert await link.blocking_client(0.1).blpop([f"{key}:none"], timeout=0.1) is None
    thread_client = link.sync_client(timeout_s=1.0)
    try:
        assert await asyncio.to_thread(thread_client.get, key) == b"x"
    finally:
        thread_client.close()


async def test_a_subscription_hears_what_is_published(link: RedisLink, settings: Settings) -> None:
    async with link.pubsub() as subscription:
        await subscription.subscribe(settings.hive_namespace)
        assert (await subscription.get_message(timeout=5))["type"] == "subscribe"
        await link.command("PUBLISH", settings.hive_namespace, "hello")
        assert (await subscription.get_message(timeout=5))["data"] == b"hello"


async def test_a_closed_link_says_so_and_can_connect_again(settings: Settings) -> None:
    link = RedisLink(settings)
    uses: list[Callable[[], object]] = [lambda: link.client, link.pubsub, lambda: link.blocking_client(1)]
    for use in uses:
        with pytest.raises(StoreUnavailable, match=r"not connected; call connect\(\) first"):
            use()
    async with link:
        assert link.blocking_client(1) is not link.client
    await link.close()
    with pytest.raises(StoreUnavailable, match="not connected"):
        await link.command("PING")
    async with link:
        assert await link.command("PING") == b"PONG"


async def test_a_store_url_of_no_known_form_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(InvalidSetting, match="must begin with redis://"):
        linked("gopher://h")


@pytest.mark.parametrize("url", ["redis://:hunter2@127.0.0.1:1", "unix://:hunter2@/nowhere/r.sock"])
async def test_an_unreachable_store_is_named_without_its_password(url: str) -> None:
    message = await refusal(url, StoreUnavailable)
    assert message.startswith(("Redis at 127.0.0.1:1 cannot be reached", "Redis at /nowhere/r.sock cannot be reached"))
    assert "hunter2" not in message


async def test_something_else_at_that_port_is_named_as_such() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        assert "does not speak the protocol of Redis" in await refusal(f"redis://127.0.0.1:{port}", StoreRefused)


async def test_a_wrong_and_a_missing_password_are_refused_without_showing_it(private_server: PrivateServer) -> None:
    admin = private_server.client()
    admin.config_set("requirepass", "hunter2")
    admin.close()
    path = private_server.url.removeprefix("unix://")
    wrong = await refusal(f"unix://:hunter1@{path}", StoreRefused)
    assert "refused the login" in wrong
    assert "hunter" not in wrong
    assert "wants a password" in await refusal(private_server.url, StoreRefused)
    async with linked(f"unix://:hunter2@{path}") as link:
        assert await link.command("PING") == b"PONG"
        thread_client = link.sync_client()
        assert thread_client.ping()
        thread_client.close()


async def test_a_user_without_info_may_connect(private_server: PrivateServer) -> None:
    admin = private_server.client()
    admin.acl_setuser("lean", True, passwords=["+p"], keys="*", channels="*", categories=["+@all"], commands=["-info"])
    admin.acl_setuser("narrow", True, passwords=["+p"], keys="*", channels="*", categories=["+@all"], commands=["-set"])
    admin.close()
    path = private_server.url.removeprefix("unix://")
    async with linked(f"unix://lean:p@{path}") as link:
        assert link.server.version
    async with linked(f"unix://narrow:p@{path}") as link:
        with pytest.raises(StoreRefused, match="ACL right"):
            await link.command("SET", "a", "b")
        with pytest.raises(StoreRefused, match="ACL right"):
            await link.evaluate("return redis.call('SET', KEYS[1], 'b')", ["a"], [])


@pytest.mark.parametrize("loopback", [False, True], ids=["socket", "tcp"])
async def test_a_database_that_the_server_lacks_is_refused(start: Start, loopback: bool) -> None:
    url = start("--databases", "2", loopback=loopback).url.removesuffix("/0")
    assert "has no such database" in await refusal(f"{url}/9" if loopback else f"{url}?db=9", StoreRefused)


async def test_a_read_only_replica_is_refused(start: Start) -> None:
    replica = start("--replicaof", "127.0.0.1 1")
    assert "read-only replica" in await refusal(replica.url, StoreRefused)


async def test_a_store_that_becomes_a_replica_refuses_writes_by_name(private_server: PrivateServer) -> None:
    async with linked(private_server.url) as link:
        await link.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreRefused, match="read-only replica"):
            await link.evaluate("return redis.call('SET', KEYS[1], 'b')", ["a"], [])


async def test_a_cluster_node_is_refused(start: Start) -> None:
    assert "Redis Cluster" in await refusal(start("--cluster-enabled", "yes", loopback=True).url, StoreRefused)


async def test_a_full_store_refuses_writes_by_name(private_server: PrivateServer) -> None:
    async with linked(private_server.url) as link:
        await link.command("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(StoreRefused, match="no memory left under maxmemory"):
            await link.command("SET", "a", "b")
        with pytest.raises(StoreRefused, match="no memory left under maxmemory"):
            await link.evaluate("return redis.call('SET', KEYS[1], 'b')", ["a"], [])


async def test_a_store_that_may_lose_tasks_is_warned_about(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    risky = start("--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
    with caplog.at_level(logging.WARNING, logger="venom.store"):
        async with linked(risky.url):
            assert len(caplog.messages) == 2


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_was_given_up_before_it_was_delivered_is_not_carried_out(
    start: Start, run: Callable[[Awaitable[None]], None]
) -> None:
    server = start(loopback=True)

    async def scenario() -> None:
        async with linked(server.url, command_timeout_s=1.5) as link:
            server.stall()
            with pytest.raises(StoreUnavailable, match="did not answer in time"):
                await link.command("SET", "given-up", b"x" * MORE_THAN_BUFFERS_HOLD)
            server.resume()
            async with asyncio.timeout(20):
                while (await link.command("CLIENT", "LIST")).count(b"\n") > 1:  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.01)
            assert await link.command("EXISTS", "given-up") == 0

    run(scenario())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("loopback", [False, True], ids=["socket", "tcp"])
def test_after_a_restart_the_first_command_uses_a_new_connection(
    start: Start, run: Callable[[Awaitable[None]], None], loopback: bool
) -> None:
    server = start(loopback=loopback)

    async def scenario() -> None:
        async with linked(server.url) as link:
            wire = link._common.wire
            assert wire is not None
            server.kill()
            await until(lambda: not wire.usable)
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="cannot be reached"):
                    await link.command("PING")
            if not loopback:
                server.restart()
                assert await link.command("PING") == b"PONG"
                assert link._common.wire is not wire

    run(scenario())


async def test_a_command_in_flight_when_the_store_dies_fails_at_once(private_server: PrivateServer) -> None:
    async with linked(private_server.url) as link:
        private_server.stall()
        waiting = asyncio.create_task(link.command("PING"))
        await until(lambda: waiting_for(link) == 1)
        private_server.kill()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await waiting


async def test_a_stalled_store_is_unavailable_after_the_timeout_and_no_late_reply_is_taken_for_another(
    private_server: PrivateServer,
) -> None:
    async with linked(private_server.url, command_timeout_s=0.2) as link:
        private_server.stall()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await link.command("ECHO", "late")
        thread_client = link.sync_client(timeout_s=0.1)
        with pytest.raises(StoreUnavailable, match="did not answer in time"), foreign_errors(link.place):
            await asyncio.to_thread(thread_client.ping)
        thread_client.close()
        private_server.resume()
        assert [await link.command("ECHO", str(number)) for number in range(20)] == [
            str(number).encode() for number in range(20)
        ]


async def test_a_cancelled_command_leaves_no_reply_for_the_next(private_server: PrivateServer) -> None:
    async with linked(private_server.url) as link:
        private_server.stall()
        waiting = asyncio.create_task(link.command("ECHO", "cancelled"))
        await until(lambda: waiting_for(link) == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        private_server.resume()
        assert await link.command("ECHO", "next") == b"next"


async def test_closing_during_a_command_ends_it(private_server: PrivateServer) -> None:
    link = linked(private_server.url)
    await link.connect()
    private_server.stall()
    waiting = asyncio.create_task(link.command("PING"))
    await until(lambda: waiting_for(link) == 1)
    await link.close()
    with pytest.raises(StoreUnavailable):
        await waiting


@pytest.fixture
async def cable(settings: Settings) -> AsyncIterator[Cable]:
    async with Cable(settings.store_url()) as made:
        yield made


class Listening:
    """Somebody who hears a channel until the line is lost."""

    def __init__(self, link: RedisLink) -> None:
        self.stands = asyncio.Event()
        self.task = asyncio.create_task(self._listen(link))

    async def _listen(self, link: RedisLink) -> None:
        async for _ in link.listen("news"):
            self.stands.set()


async def test_when_one_line_is_silent_all_are_given_up_and_made_anew(cable: Cable) -> None:
    async with linked(cable.url, command_timeout_s=0.3) as link:
        listening = Listening(link)
        await listening.stands.wait()
        cable.forget()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await link.command("PING")
        with pytest.raises(StoreUnavailable, match="is not heard any more on news"):
            await listening.task
        assert await link.command("PING") == b"PONG"


async def test_a_check_gives_up_lines_that_are_dead_without_a_word(cable: Cable) -> None:
    async with linked(cable.url) as link:
        listening, sleeping = Listening(link), link.own_line()
        await listening.stands.wait()
        blocked = asyncio.create_task(sleeping.ask(60, ("BLPOP", "nothing-comes", 50), exclusive=True))
        await until(lambda: sleeping.wire is not None)
        cable.forget()
        await link.check(within_s=0.1)
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            await blocked
        with pytest.raises(StoreUnavailable, match="is not heard any more on news"):
            await listening.task


async def test_a_check_leaves_lines_that_answer_alone(link: RedisLink) -> None:
    sleeping = link.own_line()
    blocked = asyncio.create_task(sleeping.ask(60, ("BLPOP", "nothing-comes", 0.1), exclusive=True))
    wire = link._common.wire
    await link.check(within_s=0)
    assert await blocked == [None]
    assert link._common.wire is wire
