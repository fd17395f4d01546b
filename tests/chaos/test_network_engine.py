"""The engine over a network that is cut: what was given up stays so, and who was cut off comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.network import Network
from chaos.relay import Cable
from chaos.server import StormServer
from tests.hives import FAST, ended, until
from tests.processes import spore
from venom_core.config import Settings
from venom_core.domain.node import NodeProfile
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.node_store import NodeStore
from venom_core.infrastructure.redis_link import RedisLink

SEVERED = Cable(mute=True, deaf=True)
SENDING = ("01", "04")  # established, and closed with something left to deliver


@pytest.fixture
def server(net: Network, short_dir: Path) -> Iterator[StormServer]:
    made = StormServer(short_dir, "", net)
    yield made
    made.close()


def undelivered() -> int:
    """How many connections of this machine still have something to deliver."""
    lines = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
    return sum(line[3] in SENDING and int(line[4].split(":")[0], 16) > 0 for line in lines)


async def test_a_join_that_was_given_up_does_not_fence_the_one_that_was_asked_again(
    net: Network, server: StormServer
) -> None:
    with net.inside("spore"):
        async with RedisLink(Settings.load(redis_url=net.url), command_timeout_s=1.0) as link:
            nodes, profile = NodeStore(link, Keyspace("hive", 1)), NodeProfile("spore")
            await nodes.join(profile, 60_000)
            net.treat(["spore"], Cable(mute=True))
            with pytest.raises(StoreUnavailable, match="did not answer in time"):
                await nodes.join(profile, 60_000)
            assert undelivered() == 0
            net.heal()
            joined = await nodes.join(profile, 60_000)
            (node,) = await nodes.all()
            assert node.epoch == joined.epoch


async def test_a_spore_that_was_cut_off_past_its_lease_comes_back_and_works(
    net: Network, server: StormServer, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    near, far = (Settings.load(redis_url=url, **FAST) for url in (server.url, net.url))
    async with MessageBroker(near) as broker:
        with net.inside("spore"):
            cut_off = spore("cut-off", far, tmp_path)
        with cut_off:
            await cut_off.said("joined")
            held = await broker.enqueue_task("hold_first", {"journal": str(journal)})
            await until(journal.exists)
            net.treat(["spore"], SEVERED)
            with spore("heir", near, tmp_path) as heir:
                task = await ended(broker, held)
                assert (task.status, task.result, task.attempt, task.crashes) == ("completed", "heir", 1, 1)
                net.heal()
                await cut_off.said("the lease was lost; stopping 1 tasks")
                await cut_off.said("joined", times=2)
                heir.kill()
            later = await broker.enqueue_task("work", {"journal": str(journal), "number": 7})
            assert (await ended(broker, later)).result == 7


async def test_a_caller_that_was_cut_off_while_it_waited_hears_the_end(
    net: Network, server: StormServer, tmp_path: Path
) -> None:
    with spore("spore", Settings.load(redis_url=server.url, **FAST), tmp_path) as process:
        await process.said("joined")
        with net.inside("caller"):
            async with MessageBroker(Settings.load(redis_url=net.url, **FAST)) as broker:
                journal = tmp_path / "journal"
                payload = {"journal": str(journal), "seconds": 0.5}
                task_id = await broker.enqueue_task("work", payload)
                await until(lambda: "begin" in (journal.read_text() if journal.exists() else ""))
                net.treat(["caller"], SEVERED)
                await until(lambda: "end" in journal.read_text().split())
                net.heal()
                task = await broker.wait_for(task_id, 60)
    assert task is not None
    assert task.status == "completed"
