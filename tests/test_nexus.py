from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.hives import altered, ended, running, until, until_so
from tests.processes import nexus as nexus_process
from tests.processes import spore
from tests.servers import PrivateServer
from venom_core import __version__
from venom_core import nexus as nexus_module
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, LeaseLost, StoreUnavailable
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.nexus import Nexus, main
from venom_spore.skills import SkillSet


@asynccontextmanager
async def up(settings: Settings, name: str) -> AsyncIterator[Nexus]:
    """A Nexus in this event loop, stopped at the end of the block."""
    nexus = Nexus(settings, name=name)
    work = asyncio.create_task(nexus.run())
    try:
        await until(lambda: nexus.leadership is not None or work.done())
        yield nexus
    finally:
        nexus.stop()
        await work


def leads(nexus: Nexus) -> bool:
    return nexus.leadership is not None and nexus.leadership.epoch > 0


async def leader(broker: MessageBroker) -> str:
    """Who leads by the store, or nobody."""
    found = await broker.hive.link.command("GET", broker.hive.tasks.keyspace.key(0, "leader"))
    return found.decode().partition("~")[0] if found else ""


# ---------------------------------------------------------------------------------------------------- leadership


async def test_a_nexus_alone_leads_and_is_a_node_that_everybody_sees(fast: Settings, broker: MessageBroker) -> None:
    async with up(fast, "first") as first:
        await until(lambda: leads(first))
        assert await leader(broker) == "first"
        nodes = await broker.hive.nodes.all()
        assert [(node.profile.name, node.profile.kind, node.online) for node in nodes] == [("first", "nexus", True)]
    assert await leader(broker) == ""
    assert await broker.hive.nodes.all() == []


async def test_only_one_leads_and_another_takes_over_at_once_when_it_resigns(
    fast: Settings, broker: MessageBroker
) -> None:
    async with up(fast, "second") as second:
        async with up(fast, "first") as first:
            await until(lambda: leads(first) or leads(second))
            for _ in range(5):
                assert not (leads(first) and leads(second))
                await asyncio.sleep(0)
            epochs = {nexus.leadership.epoch for nexus in (first, second) if nexus.leadership}
            assert 0 in epochs
        await until(lambda: leads(second), within_s=5)
        assert await leader(broker) == "second"


async def test_a_stand_by_takes_over_when_the_leader_is_killed(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with nexus_process("first", fast, tmp_path) as first:
        await first.said("first leads (epoch 1)")
        with nexus_process("second", fast, tmp_path) as second:
            await second.said("second is up")
            first.kill()
            await second.said("second leads (epoch 2)")
            assert await leader(broker) == "second"
            second.send(signal.SIGTERM)
            assert await second.ended() == 0
            assert "Traceback" not in second.text
    assert await leader(broker) == ""


async def test_of_two_with_the_same_name_the_older_ends_and_never_do_both_lead(fast: Settings) -> None:
    older = Nexus(fast, name="twin")
    work = asyncio.create_task(older.run())
    await until(lambda: leads(older))
    async with up(fast, "twin") as newer:
        while not work.done():
            assert not (leads(older) and leads(newer))
            await asyncio.wait([work], timeout=0.01)
        with pytest.raises(LeaseLost, match="another Nexus named 'twin' took over; give each its own --name"):
            await work
        await until(lambda: leads(newer))


async def test_the_lead_goes_on_after_redis_was_away(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with up(settings, "first") as first:
        await until(lambda: leads(first))
        private_server.kill()
        await until(lambda: not leads(first))
        private_server.restart()
        await until(lambda: leads(first))


async def test_a_nexus_that_lost_its_lease_joins_again(fast: Settings, broker: MessageBroker) -> None:
    async with up(fast, "first") as first:
        await until(lambda: leads(first))
        node = (await broker.hive.nodes.all())[0]
        await broker.hive.link.command("ZREM", broker.hive.tasks.keyspace.key(0, "lease"), node.epoch)

        async def joined_again() -> bool:
            nodes = await broker.hive.nodes.all()
            return bool(nodes) and nodes[0].online and nodes[0].epoch > node.epoch

        await until_so(joined_again)


async def test_a_nexus_that_lost_its_lease_while_redis_is_away_joins_when_it_is_back(
    private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with up(settings, "first") as first:
        await until(lambda: leads(first))
        await asyncio.to_thread(private_server.kill)
        first._lost.set()
        assert first._chores is not None
        first._chores.reap([1], 0)
        await until(lambda: "cannot join yet" in caplog.text)
        await asyncio.to_thread(private_server.restart)
        await until(lambda: leads(first))
    assert "upkeep put off" in caplog.text


async def test_a_nexus_stops_while_redis_is_away(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with up(settings, "first") as first:
        await until(lambda: leads(first))
        await asyncio.to_thread(private_server.kill)


# ------------------------------------------------------------------------------------------------------ recovery


async def test_a_nexus_takes_the_tasks_of_a_dead_node_back(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    skills = SkillSet()

    @skills.skill
    async def hold_first() -> str:
        return "in the end"

    journal = tmp_path / "journal"
    async with up(fast, "first"):
        with spore("victim", fast, tmp_path) as victim:
            task_id = await broker.enqueue_task("hold_first", {"journal": str(journal)})
            await until(journal.exists)
            victim.kill()

        async def back() -> bool:
            task = await broker.get_task_status(task_id)
            return task is not None and task.status == "pending" and task.crashes == 1

        await until_so(back)
    await broker.cancel_task(task_id)


async def test_with_every_nexus_down_tasks_go_on(fast: Settings, broker: MessageBroker) -> None:
    skills = SkillSet()

    @skills.skill
    async def echo(value: str) -> str:
        return value

    async with up(fast, "first") as first:
        await until(lambda: leads(first))
    async with running(skills, fast):
        assert (await ended(broker, await broker.enqueue_task("echo", {"value": "a"}))).result == "a"


# ------------------------------------------------------------------------------------------------------ the command


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on stderr."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("venom-nexus: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--redis-url", "http://example.com"], "redis://"),
        (["--redis-url", "redis://127.0.0.1:1"], "cannot be reached"),
        (["--name", "no spaces please", "--redis-url", "redis://127.0.0.1:1"], "a node name or tag is"),
        (["--log-level", "loud", "--redis-url", "redis://127.0.0.1:1"], "DEBUG, INFO"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_1(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert words in one_sentence(capsys)


def test_a_setting_that_does_not_exist_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HIVE_LEESE", "5")
    assert main([]) == 1
    assert "did you mean HIVE_LEASE?" in one_sentence(capsys)


def test_a_hive_that_is_switched_off_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENABLE_HIVE", "false")
    assert main([]) == 1
    assert "set ENABLE_HIVE=true to start a Nexus" in one_sentence(capsys)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"venom-nexus {__version__}\n"


def test_a_clean_stop_is_exit_0(
    fast: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def stop_soon(nexus: Nexus) -> None:
        serving = asyncio.create_task(serve(nexus))
        await until(lambda: leads(nexus))
        signal.raise_signal(signal.SIGTERM)
        await serving

    serve = nexus_module.serve
    monkeypatch.setattr(nexus_module, "serve", stop_soon)
    monkeypatch.setenv("HIVE_NAMESPACE", fast.hive_namespace)
    assert main(["--redis-url", fast.store_url(), "--name", "briefly"]) == 0
    assert "briefly leads (epoch 1)" in caplog.text


async def test_a_start_without_redis_is_an_error() -> None:
    with pytest.raises(StoreUnavailable):
        await Nexus(Settings.load(redis_url="redis://127.0.0.1:1"), name="first").run()


def test_a_nexus_has_a_name_of_its_own_unless_given(settings: Settings) -> None:
    assert Nexus(settings).name.startswith("nexus-")
    with pytest.raises(InvalidSetting):
        Nexus(settings, name="no spaces please")


async def test_a_service_that_fails_ends_the_nexus_loudly(fast: Settings, broker: MessageBroker) -> None:
    nexus = Nexus(altered(fast, hive_zombie_task_timeout=1), name="first")
    work = asyncio.create_task(nexus.run())
    await until(lambda: leads(nexus))
    key = broker.hive.tasks.keyspace.key(0, "profile")
    kept = await broker.hive.link.command("DUMP", key)
    await broker.hive.link.command("SET", key, "not a hash")
    with pytest.raises(Exception, match="WRONGTYPE"):
        await asyncio.wait_for(work, 10)
    await broker.hive.link.command("RESTORE", key, 0, kept, "REPLACE")
