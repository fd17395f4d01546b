"""Opening a hive: one number of partitions for all, and one clock."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.hives import ShiftedClock, altered
from tests.stores import HOUR_MS, KEEP, Stores, group
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.errors import SecurityError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.task_records import Retention

TOKEN, OLD = "t" * 32, "o" * 32


async def beat(hive: Hive, epoch: int, name: str, load: NodeLoad) -> None:
    for partition in range(hive.tasks.keyspace.partitions):
        call = hive.nodes.renewal(partition, epoch, name, HOUR_MS, load, may_reap=False)
        await hive.link.evaluate(call.source, call.keys, call.args)


async def test_the_first_to_come_fixes_the_number_of_partitions(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    first = await Hive.connect(altered(settings, hive_partitions=3), Clock())
    with caplog.at_level(logging.WARNING, "venom.hive"):
        second = await Hive.connect(settings, Clock())
    assert (first.tasks.keyspace.partitions, second.tasks.keyspace.partitions) == (3, 3)
    assert "this hive was created with 3 partitions; HIVE_PARTITIONS is ignored" in caplog.messages
    await first.close()
    await second.close()
    assert not second.link.connected


async def test_settings_become_milliseconds_and_limits(settings: Settings) -> None:
    hive = await Hive.connect(
        altered(settings, hive_result_ttl=7, hive_dead_letter_ttl=9, hive_dead_letters_max=11, hive_lease=5.0), Clock()
    )
    assert hive.keep == Retention(result_ttl_ms=7_000, dead_ttl_ms=9_000, dead_max=11, crashes_max=3)
    assert (hive.rhythm.heartbeat_s, hive.rhythm.lease_s) == (1.0, 5.0)
    await hive.close()


async def test_a_machine_whose_clock_is_wrong_knows_the_time_of_redis(settings: Settings) -> None:
    hive = await Hive.connect(settings, ShiftedClock(-3_600))
    assert abs(hive.now_ms() - Clock().now_ms()) < 60_000
    await hive.close()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_while_the_hive_is_open_changes_nothing(settings: Settings, hours: int) -> None:
    clock = ShiftedClock(0)
    hive = await Hive.connect(settings, clock)
    clock.jump(hours * 3_600)
    assert abs(hive.now_ms() - Clock().now_ms()) < 60_000
    await hive.close()


async def test_the_tokens_of_the_settings_seal_and_open(settings: Settings) -> None:
    old = await Hive.connect(altered(settings, nexus_shared_token=OLD), Clock())
    new = await Hive.connect(altered(settings, nexus_shared_token=TOKEN, nexus_shared_token_previous=OLD), Clock())
    assert new.seal.open("task", "id", old.seal.close("task", "id", 2, b"body")) == b"body"
    with pytest.raises(SecurityError):
        old.seal.open("task", "id", new.seal.close("task", "id", 2, b"body"))
    await old.close()
    await new.close()


@pytest.mark.parametrize("partitions", [1, 4])
async def test_zombies_run_on_leased_nodes_that_are_silent(settings: Settings, partitions: int) -> None:
    hive = await Hive.connect(altered(settings, hive_partitions=partitions), Clock())
    stores = Stores(hive.link, hive.tasks.keyspace)
    await stores.put(group("scan", [f"task{at}" for at in range(12)]))
    silent, lively, dead = [await stores.join(name) for name in ("silent", "lively", "dead")]
    held: list[str] = []
    for partition in range(partitions):
        held += [lease.task_id for lease in await stores.claim(silent, 1, partition=partition)]
        for epoch in (lively, dead):
            await stores.claim(epoch, 1, partition=partition)
    assert await hive.find_zombies(10) == []
    for epoch, name, silence_ms in [(silent, "silent", 10_001), (lively, "lively", 9_999), (dead, "dead", 99_999)]:
        await beat(hive, epoch, name, NodeLoad(loop_silent_ms=silence_ms))
    await stores.expire_lease(dead)
    zombies = await hive.find_zombies(10)
    assert sorted(zombie.task_id for zombie in zombies) == sorted(held)
    assert {(zombie.node, zombie.held.epoch) for zombie in zombies} == {("silent", silent)}
    assert await hive.upkeep.rescue(zombies[0].task_id, zombies[0].held, "silent", 5) == "pending"
    assert len(await hive.find_zombies(10)) == len(zombies) - 1
    await hive.close()


async def server_ms(hive: Hive) -> int:
    seconds, micros = await hive.link.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def test_what_was_claimed_after_a_silence_was_reported_is_no_zombie(settings: Settings) -> None:
    hive = await Hive.connect(settings, Clock())
    stores = Stores(hive.link, hive.tasks.keyspace)
    await stores.put(group("scan", ["before", "after"]))
    epoch = await stores.join("spore")
    await stores.claim(epoch, 1)
    await beat(hive, epoch, "spore", NodeLoad(loop_silent_ms=20_000))
    heard_ms = (await hive.nodes.all())[0].heard_ms
    while await server_ms(hive) <= heard_ms:
        pass
    await stores.claim(epoch, 1)
    assert [zombie.task_id for zombie in await hive.find_zombies(10)] == ["before"]
    await hive.close()


async def test_nodes_are_known_by_the_epoch_of_their_newest_incarnation(settings: Settings) -> None:
    hive = await Hive.connect(settings, Clock())
    await hive.nodes.join(NodeProfile("a"), HOUR_MS)
    newer = await hive.nodes.join(NodeProfile("a"), HOUR_MS)
    other = await hive.nodes.join(NodeProfile("b"), HOUR_MS)
    assert await hive.node_names() == {newer.epoch: "a", other.epoch: "b"}
    assert hive.keep.crashes_max == KEEP.crashes_max
    await hive.close()


async def test_a_dead_node_that_is_being_reaped_is_not_reaped_twice_at_once(settings: Settings) -> None:
    hive = await Hive.connect(settings, Clock())
    epoch = (await hive.nodes.join(NodeProfile(name="dead"), HOUR_MS)).epoch
    await hive.tasks.enqueue([group("scan", ["1"])], 10)
    await hive.tasks.claim(0, epoch, 1, ["scan"], 1)
    await hive.nodes.leave(epoch, "dead", clean=False)
    first = asyncio.ensure_future(hive.reap(epoch, hive.now_ms()))
    await asyncio.sleep(0)
    assert hive.reaping == {epoch}
    assert await hive.reap(epoch, hive.now_ms()) == 0
    assert not first.done()
    assert await first == 1
    assert hive.reaping == set()
    assert await hive.reap(epoch, hive.now_ms()) == 0
    await hive.close()
