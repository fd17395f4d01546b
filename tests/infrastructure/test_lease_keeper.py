"""A node's lease is kept by a thread of its own, whatever the event loop does meanwhile."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator

import pytest

from tests.hives import ShiftedClock, until
from tests.servers import PrivateServer
from tests.stores import HOUR_MS, KEEP, Stores, group, record
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.lease_keeper import LeaseKeeper, Rhythm
from venom_core.infrastructure.node_store import Beat
from venom_core.infrastructure.redis_link import RedisLink

QUICK = Rhythm(heartbeat_s=0.02, lease_s=0.4)


class Node:
    """What a Spore would do with its heartbeats: it says its load and writes down what it hears."""

    def __init__(self, stores: Stores, rhythm: Rhythm = QUICK, clock: Clock | None = None) -> None:
        self.load = NodeLoad(active_tasks=1)
        self.faults: list[Exception] = []
        self.heard: list[tuple[str, ...]] = []
        self.beats: list[Beat] = []
        self.sure: list[str] = []
        self.sent_s: list[float] = []
        profile, own = NodeProfile("node"), clock or Clock()
        self.keeper = LeaseKeeper(stores.link, stores.nodes, profile, rhythm, self, self._beat, own, self)

    def _beat(self, beat: Beat) -> None:
        self.beats.append(beat)
        self.sure.append("told" if beat.alive else "told of the loss")

    def renewed(self, sent_s: float) -> None:
        self.sent_s.append(sent_s)
        self.sure.append("renewed")

    def lost(self) -> None:
        self.sure.append("lost")

    def read(self) -> NodeLoad:
        if self.faults:
            raise self.faults.pop()
        return self.load

    def hear(self, cancels: tuple[str, ...]) -> None:
        self.heard.append(cancels)

    async def next_beats(self, count: int = 2) -> list[Beat]:
        already = len(self.beats)
        await until(lambda: len(self.beats) >= already + count)
        return self.beats[already:]


@pytest.fixture
async def node(stores: Stores) -> AsyncIterator[Node]:
    made = Node(stores)
    await made.keeper.join()
    yield made
    await made.keeper.leave(clean=True)


async def lease_left_ms(stores: Stores) -> int:
    (state,) = await stores.nodes.all()
    return state.lease_left_ms


async def test_the_lease_is_renewed_and_the_load_told(stores: Stores, node: Node) -> None:
    beats = await node.next_beats()
    assert all(beat.alive and beat.partition == 0 for beat in beats)
    (state,) = await stores.nodes.all()
    assert state.load == node.load
    assert state.epoch == node.keeper.epoch
    assert state.online


async def test_a_blocked_event_loop_does_not_lose_its_lease(stores: Stores, node: Node) -> None:
    block(1.0)
    assert await lease_left_ms(stores) > 0
    await node.next_beats(1)


def block(seconds: float) -> None:
    """What a task does that blocks the loop it runs in, for longer than the lease."""
    time.sleep(seconds)


async def test_a_cancel_wish_is_heard_in_the_thread_and_in_the_loop(stores: Stores, node: Node) -> None:
    await stores.put(group("scan", ["1"]))
    await stores.claim(node.keeper.epoch)
    await stores.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP)
    beats = await node.next_beats()
    assert beats[-1].cancels == ("1",)
    assert node.heard[-1] == ("1",)


async def test_a_node_that_was_replaced_is_told(stores: Stores, node: Node) -> None:
    await stores.nodes.join(NodeProfile("node"), HOUR_MS)
    await until(lambda: any(beat.replaced for beat in node.beats))
    assert not node.beats[-1].alive


async def test_a_witness_hears_when_what_renewed_the_lease_was_sent(node: Node) -> None:
    await node.next_beats(3)
    assert node.sure[0] == "renewed"
    assert node.sent_s == sorted(node.sent_s)
    assert node.sent_s[-1] <= Clock().lasting_s()
    assert "lost" not in node.sure


async def test_a_witness_hears_of_a_lost_lease_once_and_before_the_event_loop(stores: Stores, node: Node) -> None:
    await node.next_beats()
    await stores.link.command("ZREM", stores.nodes.keyspace.key(0, "lease"), node.keeper.epoch)
    await until(lambda: node.sure.count("told of the loss") > 1)
    first = node.sure.index("lost")
    assert node.sure.count("lost") == 1
    assert first < node.sure.index("told of the loss")
    assert "renewed" not in node.sure[first:]
    await node.keeper.join()
    await until(lambda: node.sure[first:].count("renewed") > 2)


async def test_a_witness_hears_nothing_of_a_lease_that_only_some_partitions_have(split: Stores) -> None:
    node = Node(split)
    await node.keeper.join()
    await node.next_beats(8)
    await split.link.command("ZREM", split.nodes.keyspace.key(2, "lease"), node.keeper.epoch)
    await until(lambda: "lost" in node.sure)
    heard = node.sure.count("renewed")
    await node.next_beats(8)
    assert node.sure.count("renewed") == heard
    await node.keeper.leave(clean=True)


async def test_joining_again_gives_a_new_epoch_and_names_the_older(stores: Stores, node: Node) -> None:
    older = node.keeper.epoch
    newer = await node.keeper.join()
    assert newer > older == node.keeper.older_epoch
    assert all(beat.alive for beat in await node.next_beats())
    assert threading.active_count() >= 2


async def test_one_surprise_does_not_cost_the_lease(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.faults.append(OSError("no such reading"))
    await until(lambda: not node.faults)
    assert all(beat.alive for beat in await node.next_beats())
    assert "a heartbeat failed in a way nobody foresaw; going on" in caplog.messages


async def test_a_server_that_forgot_the_script_is_told_it_again(stores: Stores, node: Node) -> None:
    await node.next_beats()
    await stores.link.command("SCRIPT", "FLUSH")
    assert all(beat.alive for beat in await node.next_beats())


async def test_only_who_held_its_lease_for_a_while_reaps(stores: Stores) -> None:
    node = Node(stores, Rhythm(heartbeat_s=0.02, lease_s=1.0))
    dead = await stores.join("dead")
    await stores.expire_lease(dead)
    begun = Clock().monotonic_s()
    await node.keeper.join()
    await until(lambda: any(beat.expired == (dead,) for beat in node.beats))
    assert Clock().monotonic_s() - begun >= 0.5
    await node.keeper.leave(clean=True)


async def test_every_partition_is_renewed(split: Stores) -> None:
    node = Node(split)
    await node.keeper.join()
    await until(lambda: {beat.partition for beat in node.beats} == {0, 1, 2, 3})
    await node.keeper.leave(clean=True)
    assert [await split.nodes.leased(partition) for partition in range(4)] == [set()] * 4


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_wrong_clock_is_set_right_by_the_store(stores: Stores, hours: int) -> None:
    node = Node(stores, clock=ShiftedClock(hours * 3_600))
    await node.keeper.join()
    assert abs(node.keeper.store_now_ms() - Clock().now_ms()) < 60_000
    await node.next_beats()
    assert abs(node.keeper.store_now_ms() - Clock().now_ms()) < 60_000
    await node.keeper.leave(clean=True)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_between_two_heartbeats_changes_nothing(stores: Stores, hours: int) -> None:
    clock = ShiftedClock(0)
    node = Node(stores, Rhythm(heartbeat_s=600, lease_s=1_800), clock)
    await node.keeper.join()
    clock.jump(hours * 3_600)
    assert abs(node.keeper.store_now_ms() - Clock().now_ms()) < 60_000
    await node.keeper.leave(clean=True)


async def test_leaving_ends_the_thread_and_the_lease(stores: Stores) -> None:
    node = Node(stores)
    await node.keeper.leave(clean=True)
    await node.keeper.join()
    await node.next_beats(1)
    await node.keeper.leave(clean=False)
    told = len(node.beats)
    assert await stores.nodes.all() == []
    assert await stores.nodes.leased(0) == {node.keeper.epoch}
    assert not any(thread.name == "venom-lease" for thread in threading.enumerate())
    await asyncio.sleep(0)
    assert len(node.beats) == told


async def test_redis_may_be_away_for_a_while(private_server: PrivateServer, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_namespace="away")
    async with RedisLink(settings) as link:
        stores = Stores(link, Keyspace("away", 1))
        node = Node(stores, Rhythm(heartbeat_s=0.02, lease_s=3_600.0))
        with caplog.at_level(logging.WARNING, "venom.lease"):
            await node.keeper.join()
            await node.next_beats()
            private_server.kill()
            await until(lambda: any("heartbeat missed, going on" in said for said in caplog.messages))
            private_server.restart()
            assert (await node.next_beats(1))[0].alive
        assert sum("heartbeat missed" in said for said in caplog.messages) == 1
        await node.keeper.leave(clean=True)


async def test_the_first_beat_over_a_new_connection_says_so(stores: Stores) -> None:
    node = Node(stores)
    await node.keeper.join()
    await until(lambda: len(node.beats) >= 3)
    assert [beat.anew for beat in node.beats[:3]] == [True, False, False]
    already = len(node.beats)
    await stores.link.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await until(lambda: any(beat.anew for beat in node.beats[already:]))
    await until(lambda: not node.beats[-1].anew)
    assert sum(beat.anew for beat in node.beats[already:]) == 1
    await node.keeper.leave(clean=True)
