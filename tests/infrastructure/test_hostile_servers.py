"""Servers that are old, read-only, full, slow or forgetful: one clear error each, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from tests.hives import altered, done, ended, running, until, until_running, until_so
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.errors import StoreRefused, StoreTooOld
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(value: str = "") -> str:
    return value


@asynccontextmanager
async def answering(*answers: tuple[bytes, bytes]) -> AsyncIterator[str]:
    """The address of something that gives these answers to these words (b"": to anything), for one connection."""
    known, gone = dict(answers), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2])
            writer.write(known.get(words[0].upper(), known.get(b"", b"-ERR unknown command\r\n")))
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await gone.wait()


async def test_a_server_older_than_7_is_refused_by_its_version() -> None:
    info = b"# Server\r\nredis_version:6.2.14\r\nredis_mode:standalone\r\nrole:master\r\nloading:0\r\n"
    async with answering((b"PING", b"+PONG\r\n"), (b"INFO", b"$%d\r\n%b\r\n" % (len(info), info))) as url:
        with pytest.raises(StoreTooOld, match=r"6\.2\.14"):
            await MessageBroker(Settings.load(redis_url=url)).open()


async def test_a_server_that_does_not_speak_redis_is_named_as_such() -> None:
    async with answering((b"", b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        with pytest.raises(StoreRefused, match="does not speak the protocol of Redis"):
            await MessageBroker(Settings.load(redis_url=url)).open()


@contextmanager
def read_only(server: PrivateServer) -> Iterator[None]:
    """For a while the server is a replica of something that is not there."""
    with server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        yield
        client.execute_command("REPLICAOF", "NO", "ONE")


async def test_a_read_only_replica_is_refused(private_server: PrivateServer) -> None:
    with read_only(private_server), pytest.raises(StoreRefused, match="read-only replica"):
        await MessageBroker(Settings.load(redis_url=private_server.url)).open()


async def _asleep(broker: MessageBroker) -> bool:
    return b"cmd=blpop" in await broker.hive.link.command("CLIENT", "LIST")


async def test_a_server_that_becomes_read_only_refuses_and_goes_on_when_it_is_not(
    private_server: PrivateServer,
) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker, running(skills, settings):
        waiting = await broker.enqueue_task("echo", {"value": "a"}, delay=0.5)
        # A Spore that sleeps in a blocking call is thrown out of it, and looks for the master again.
        await until_so(lambda: _asleep(broker))
        with read_only(private_server), pytest.raises(StoreRefused, match="read-only replica"):
            await broker.enqueue_task("echo")
        assert (await ended(broker, waiting)).result == "a"
        assert await done(broker, "echo", {"value": "b"}) == "b"


async def test_a_full_server_takes_no_more_loses_nothing_and_goes_on_when_there_is_room(
    private_server: PrivateServer,
) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker:
        ids = await broker.enqueue_many("echo", [{"value": str(n)} for n in range(500)])
        with private_server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            for call in (broker.enqueue_task("echo"), broker.enqueue_many("echo", [{}] * 1_000)):
                with pytest.raises(StoreRefused, match="no memory left under maxmemory"):
                    await call
            assert (await broker.get_queue_stats())["tasks_pending"] == 500
            client.config_set("maxmemory", 0)
        async with running(skills, settings):
            tasks = [await ended(broker, task_id) for task_id in ids]
        assert [task.result for task in tasks] == [str(n) for n in range(500)]


async def test_a_spore_keeps_its_lease_and_drains_the_queue_of_a_full_server(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    slow = SkillSet()
    go_on = asyncio.Event()

    @slow.skill
    async def wait() -> str:
        await go_on.wait()
        return "done"

    async with MessageBroker(settings) as broker, running(slow, settings, slots=2) as spore:
        ids = await broker.enqueue_many("wait", [{}] * 10)
        await until_running(broker, ids[0])
        epoch = spore.worker._keeper.epoch
        with private_server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            beaten = spore.worker._beaten
            for _ in range(6):  # longer than the lease
                beaten.clear()
                await asyncio.wait_for(beaten.wait(), 3)
            go_on.set()
            await until(lambda: int(client.hget("{venom:0}:count", "ended_c") or 0) == 10)
            client.config_set("maxmemory", 0)
        assert spore.worker._keeper.epoch == epoch
        tasks = [await ended(broker, task_id) for task_id in ids]
        assert {(task.result, task.attempt, task.crashes) for task in tasks} == {("done", 1, 0)}


async def test_a_spore_may_be_started_to_drain_a_full_server(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker:
        ids = await broker.enqueue_many("echo", [{}] * 10)
    with private_server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
    async with MessageBroker(settings) as broker, running(skills, settings):
        assert {(await ended(broker, task_id)).status for task_id in ids} == {"completed"}


async def test_a_hive_that_cannot_be_made_on_a_full_server_leaves_no_connection(private_server: PrivateServer) -> None:
    with private_server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreRefused, match="no memory left"):
            await MessageBroker(Settings.load(redis_url=private_server.url)).open()
        await until(lambda: client.info("clients")["connected_clients"] == 1)


async def test_a_failed_attempt_is_tried_again_on_a_full_server(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    own = SkillSet()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @own.skill
    async def fail_once(ctx: TaskContext) -> str:
        if ctx.attempt > 1:
            return "second time"
        begun.set()
        await go_on.wait()
        raise RuntimeError("first time")

    async with MessageBroker(settings) as broker, running(own, settings):
        task_id = await broker.enqueue_task("fail_once")
        await begun.wait()
        with private_server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            go_on.set()
            task = await ended(broker, task_id)
            assert (task.result, task.attempt, task.crashes) == ("second time", 2, 0)


async def test_a_server_that_forgot_every_script_is_told_again(settings: Settings, broker: MessageBroker) -> None:
    fast = altered(settings, hive_profile="fast", hive_heartbeat_interval=0.3, hive_lease=1.2)
    async with running(skills, fast) as spore:
        for _ in range(5):
            await broker.hive.link.command("SCRIPT", "FLUSH")
            assert await done(broker, "echo", {"value": "a"}) == "a"
        await broker.hive.link.command("SCRIPT", "FLUSH")
        spore.worker._beaten.clear()
        await asyncio.wait_for(spore.worker._beaten.wait(), 5)
        assert (await broker.hive.nodes.all())[0].online
