"""A hint over the hive makes a launcher look, no more often than it may be made to; it never says what to install."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.hives import altered, audit_lines, done, until, until_so
from tests.launcher.launchers import YES, LauncherProcess, put
from tests.launcher.updater_of_tests import LOOKS, OFFERED
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.launcher.phases import Phase

TOKEN = "a-token-that-is-long-enough-for-a-hive"
OPTIONS = ("--updater", "tests.launcher.updater_of_tests", "--poll", "3600")


def joined(launcher: LauncherProcess) -> None:
    """As if the node had joined a repository."""
    (launcher.layout.trust / "joined.json").write_text("{}")


def looks(launcher: LauncherProcess) -> int:
    """How often it has looked."""
    file = launcher.layout.home / LOOKS
    return file.read_text().count("look") if file.exists() else 0


async def hint(broker: MessageBroker, **data: Any) -> None:
    """What `broadcast_update` sends."""
    await broker.broadcast_control("UPDATE_SYSTEM", {"package_url": "http://evil/x.zip", "checksum": "0" * 64, **data})


async def hears(broker: MessageBroker) -> None:
    """Wait until somebody listens on the broadcast channel."""

    async def somebody() -> bool:
        return bool((await broker.hive.link.command("PUBSUB", "NUMSUB", broker.settings.hive_broadcast_channel))[1])

    await until_so(somebody)


@pytest.fixture
async def signed(fast: Settings) -> AsyncIterator[MessageBroker]:
    """A broker of that hive with a token."""
    async with MessageBroker(altered(fast, nexus_shared_token=TOKEN)) as broker:
        yield broker


async def test_a_node_that_joined_nothing_does_not_look(fast: Settings, broker: MessageBroker, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path, *OPTIONS) as launcher:
        await launcher.said("joined with")
        launcher.send(signal.SIGHUP)
        assert await done(broker, "work", {"journal": str(tmp_path / "journal"), "number": 1}) == 1
        assert looks(launcher) == 0


async def test_a_hint_brings_the_look_forward_and_what_was_staged_is_installed(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path, *OPTIONS, "--hint-every", "0") as launcher:
        await launcher.said("joined with")
        joined(launcher)
        name = put(launcher.layout, "1.0", YES)
        (launcher.layout.home / OFFERED).write_text(name)
        await hears(broker)
        await hint(broker, target_nodes=["n1"])
        await launcher.rests(Phase.IDLE, name)
        assert launcher.state.heard_ms > 0


async def test_many_hints_are_one_look(fast: Settings, broker: MessageBroker, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path, *OPTIONS, "--hint-every", "600") as launcher:
        await launcher.said("joined with")
        joined(launcher)
        await hears(broker)
        for _ in range(200):
            await hint(broker)
        assert await done(broker, "work", {"journal": str(tmp_path / "journal"), "number": 1}) == 1
        await until(lambda: looks(launcher) == 1)
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        assert looks(launcher) == 1


async def test_a_hint_for_others_of_another_hive_old_or_heard_before_is_no_news(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path, *OPTIONS, "--hint-every", "0") as launcher:
        await launcher.said("joined with")
        joined(launcher)
        await hears(broker)
        await hint(broker, target_nodes=["n2"])
        await hint(broker, target_nodes="n1")
        await hint(broker, hive="another")
        await publish(broker, "2001-01-01T00:00:00+00:00")
        await publish(broker, "at noon")
        pubsub = await broker.subscribe_broadcast()
        await hint(broker, target_nodes=[])
        heard = await overheard(pubsub)
        await until(lambda: looks(launcher) == 1)
        for _ in range(3):
            await broker.hive.link.command("PUBLISH", broker.settings.hive_broadcast_channel, heard)
        await hint(broker, target_nodes=None)
        await until(lambda: looks(launcher) == 2)
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        assert looks(launcher) == 2


async def publish(broker: MessageBroker, stamp: str) -> None:
    """A hint of another moment, which no broker sends."""
    text = json.dumps({"command": "UPDATE_SYSTEM", "data": {}, "timestamp": stamp})
    await broker.hive.link.command("PUBLISH", broker.settings.hive_broadcast_channel, text)


async def overheard(pubsub: Any) -> bytes:
    """The next message on the channel, as it was sent."""
    async with asyncio.timeout(10):
        async for message in pubsub.listen():
            if message["type"] == "message":
                found: bytes = message["data"]
                return found
    raise AssertionError


async def test_with_a_token_a_hint_that_is_not_signed_is_refused_and_audited(
    fast: Settings, signed: MessageBroker, broker: MessageBroker, tmp_path: Path
) -> None:
    with LauncherProcess(
        fast, tmp_path, *OPTIONS, "--hint-every", "0", secrets={"NEXUS_SHARED_TOKEN": TOKEN}
    ) as launcher:
        await launcher.said("joined with")
        joined(launcher)
        await hears(signed)
        await hint(broker)
        await launcher.said("refused an order")

        async def audited() -> bool:
            return any(line["what"] == "refused_order" for line in await audit_lines(signed))

        await until_so(audited)
        assert looks(launcher) == 0
        await hint(signed)
        await until(lambda: looks(launcher) == 1)


async def test_a_trial_passes_in_a_hive_with_a_token_and_with_every_slot_busy(
    fast: Settings, signed: MessageBroker, tmp_path: Path
) -> None:
    """The task that a node gives itself is signed like any other, and is not behind what others wait for."""
    with LauncherProcess(fast, tmp_path, secrets={"NEXUS_SHARED_TOKEN": TOKEN}, slots=1) as launcher:
        await launcher.said("joined with")
        journal = str(tmp_path / "journal")
        tasks = await signed.enqueue_many("work", [{"journal": journal, "seconds": 1.5}] * 12)
        await until(Path(journal).exists)
        name = launcher.stage("1.0", YES)
        await launcher.rests(Phase.IDLE, name)
        for task in tasks:
            await signed.cancel_task(task)
