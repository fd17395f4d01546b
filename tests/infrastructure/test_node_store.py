"""Nodes join, beat, leave and are forgotten; one of them leads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.hives import until_so
from tests.stores import HOUR_MS, KEEP, Stores, group, record
from venom_core.clock import ManualClock
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.leadership import Leadership
from venom_core.infrastructure.node_store import DUTY_OF_LEASE, Beat
from venom_core.infrastructure.upkeep import NODE_FORGOTTEN_AFTER_MS

FAR_MS = 4 * 10**12


async def beat(
    stores: Stores,
    epoch: int,
    name: str = "node",
    *,
    reap: bool = False,
    partition: int = 0,
    load: NodeLoad | None = None,
) -> Beat:
    call = stores.nodes.renewal(partition, epoch, name, HOUR_MS, load or NodeLoad(), may_reap=reap)
    reply: Any = await stores.link.evaluate(call.source, call.keys, call.args)
    return Beat.parse(partition, reply)


async def test_a_node_is_seen_with_what_it_said_of_itself_and_last(stores: Stores) -> None:
    profile = NodeProfile("n", skills=("scan",), tags=("gpu",), concurrency=4)
    joined = await stores.nodes.join(profile, HOUR_MS)
    assert (joined.epoch, joined.older_epoch) == (joined.now_ms, 0)
    (fresh,) = await stores.nodes.all()
    assert (fresh.profile, fresh.load, fresh.online) == (profile, NodeLoad(), True)
    await beat(stores, joined.epoch, "n", load=NodeLoad(cpu_percent=50, active_tasks=2))
    (state,) = await stores.nodes.all()
    assert state.load == NodeLoad(cpu_percent=50, active_tasks=2)
    assert HOUR_MS - 60_000 < state.lease_left_ms <= HOUR_MS


async def test_an_epoch_is_never_given_twice_not_even_by_a_server_that_lost_its_data(stores: Stores) -> None:
    first = await stores.join("a")
    second = await stores.join("b")
    await stores.link.command("DEL", stores.key("count"), stores.key("lease"), stores.key("names"))
    while (await stores.tasks.place("x", "y"))[0] <= second:
        continue  # a restart takes longer than the millisecond that makes the difference
    assert first < second < await stores.join("b")


async def test_nodes_are_listed_by_name_the_dead_with_nothing_left_of_their_lease(stores: Stores) -> None:
    await stores.join("b")
    dead = await stores.join("a")
    await stores.expire_lease(dead)
    assert [(node.profile.name, node.online) for node in await stores.nodes.all()] == [("a", False), ("b", True)]
    await stores.nodes.bury(0, dead)
    (buried, _) = await stores.nodes.all()
    assert (buried.profile.name, buried.epoch, buried.lease_left_ms) == ("a", dead, 0)


async def test_every_partition_has_the_lease_under_the_same_epoch(split: Stores) -> None:
    older = await split.join("n")
    joined = await split.nodes.join(NodeProfile("n"), HOUR_MS)
    assert joined.older_epoch == older
    for partition in range(4):
        assert await split.nodes.leased(partition) == {older, joined.epoch}
        assert (await beat(split, joined.epoch, "n", partition=partition)).alive
        lost = await beat(split, older, "n", partition=partition)
        assert (lost.alive, lost.replaced) == (False, True)
    await split.nodes.leave(joined.epoch, "n", clean=True)
    for partition in range(4):
        assert await split.nodes.leased(partition) == {older}


async def test_a_lease_that_ran_out_but_was_not_taken_is_renewed(stores: Stores) -> None:
    epoch = await stores.join()
    await stores.expire_lease(epoch)
    assert (await beat(stores, epoch)).alive
    assert (await stores.nodes.all())[0].online


async def test_a_buried_node_hears_that_it_is_lost_and_not_that_it_was_replaced(stores: Stores) -> None:
    epoch = await stores.join()
    await stores.expire_lease(epoch)
    await stores.nodes.bury(0, epoch)
    lost = await beat(stores, epoch)
    assert (lost.alive, lost.replaced) == (False, False)


async def test_a_living_node_is_not_buried(stores: Stores) -> None:
    epoch = await stores.join()
    await stores.nodes.bury(0, epoch)
    assert await stores.nodes.leased(0) == {epoch}


async def test_a_beat_brings_the_wishes_for_its_own_tasks_only(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]))
    first, second = await stores.join("a"), await stores.join("b")
    await stores.claim(first)
    await stores.claim(second)
    assert (await beat(stores, first, "a")).cancels == ()
    for task_id in ("1", "2"):
        await stores.tasks.cancel(task_id, ["scan"], record(task_id, TaskStatus.CANCELLED), KEEP)
    assert (await beat(stores, first, "a")).cancels == ("1",)
    assert (await beat(stores, second, "b")).cancels == ("2",)


async def test_one_node_at_a_time_has_the_duty_to_reap(stores: Stores) -> None:
    dead, first, second = await stores.join("dead"), await stores.join("a"), await stores.join("b")
    await stores.expire_lease(dead)
    assert (await beat(stores, first, "a")).expired == ()
    assert (await beat(stores, first, "a", reap=True)).expired == (dead,)
    assert (await beat(stores, second, "b", reap=True)).expired == ()
    assert 0 < await stores.link.command("PTTL", stores.key("duty")) <= HOUR_MS * DUTY_OF_LEASE


async def test_who_has_the_duty_hears_of_the_next_dead_node_at_once(stores: Stores) -> None:
    reaper, other = await stores.join("a"), await stores.join("b")
    first, second = await stores.join("first"), await stores.join("second")
    await stores.expire_lease(first)
    assert (await beat(stores, reaper, "a", reap=True)).expired == (first,)
    await stores.expire_lease(second)
    assert (await beat(stores, other, "b", reap=True)).expired == ()
    assert set((await beat(stores, reaper, "a", reap=True)).expired) == {first, second}


async def test_a_clean_leave_leaves_nothing_and_another_what_is_to_be_taken_back(stores: Stores) -> None:
    clean, dirty = await stores.join("clean"), await stores.join("dirty")
    await stores.nodes.leave(clean, "clean", clean=True)
    await stores.nodes.leave(dirty, "dirty", clean=False)
    assert await stores.nodes.all() == []
    watcher = await stores.join("watcher")
    assert (await beat(stores, watcher, "watcher", reap=True)).expired == (dirty,)


async def test_leaving_does_not_strike_the_successor_of_the_same_name_off(stores: Stores) -> None:
    older = await stores.join("n")
    newer = await stores.join("n")
    await stores.nodes.leave(older, "n", clean=True)
    assert [node.epoch for node in await stores.nodes.all()] == [newer]


async def test_a_node_is_forgotten_an_hour_after_it_was_last_seen(stores: Stores) -> None:
    living, dead = await stores.join("living"), await stores.join("dead")
    await beat(stores, dead, "dead")
    now_ms = (await beat(stores, living, "living")).now_ms
    await stores.expire_lease(dead)
    assert await stores.upkeep.forget_nodes(FAR_MS) == []
    await stores.nodes.bury(0, dead)
    assert await stores.upkeep.forget_nodes(now_ms + NODE_FORGOTTEN_AFTER_MS - 60_000) == []
    assert await stores.upkeep.forget_nodes(now_ms + NODE_FORGOTTEN_AFTER_MS + 60_000) == ["dead"]
    assert [node.profile.name for node in await stores.nodes.all()] == ["living"]
    assert not await stores.nodes.forget("living", FAR_MS)


async def test_one_process_leads_until_it_resigns(stores: Stores) -> None:
    first, second = Leadership(stores.nodes, "a", 3_600), Leadership(stores.nodes, "b", 3_600)
    assert await first.campaign()
    assert not await second.campaign()
    epoch = first.epoch
    assert await first.campaign()
    assert (first.epoch, second.epoch) == (epoch, 0)
    await second.resign()
    await stores.nodes.resign("b")
    assert not await second.campaign()
    await first.resign()
    assert first.epoch == 0
    assert await second.campaign()
    assert second.epoch == epoch + 1
    await second.resign()


async def test_the_leadership_ends_with_its_lease(stores: Stores) -> None:
    first, second = Leadership(stores.nodes, "a", 0.05), Leadership(stores.nodes, "b|with|bars", 3_600)
    assert await first.campaign()
    await until_so(second.campaign)
    assert second.epoch > 0
    assert not await first.campaign()
    await second.resign()


async def test_who_was_stopped_or_cut_off_past_the_lease_does_not_think_that_it_leads(stores: Stores) -> None:
    clock = ManualClock()
    leader = Leadership(stores.nodes, "a", 3_600, clock)
    assert await leader.campaign()
    clock.advance(3_599)
    assert leader.epoch > 0
    clock.advance(2)
    assert leader.epoch == 0
    assert await leader.campaign()
    await leader.resign()


async def test_who_could_not_campaign_does_not_think_that_it_leads(stores: Stores) -> None:
    leader = Leadership(stores.nodes, "a", 3_600)
    await leader.campaign()
    await stores.link.close()
    with pytest.raises(ConnectionError):
        await leader.campaign()
    assert leader.epoch == 0
    await stores.link.connect()
    await stores.nodes.resign("a")


@pytest.mark.parametrize(
    ("key", "field", "record"),
    [
        ("profile", "n", b"\xc1"),
        ("profile", "n", b"\x81\xa4name\xa1\xff"),
        ("profile", "n", NodeProfile("somebody else")),
        ("load", "n", b"no heartbeat at all"),
        ("load", "n", b"17|\xc1"),
        ("names", "n", b"no number"),
    ],
)
async def test_a_record_that_cannot_be_read_hides_no_other_node_and_is_told_once(
    stores: Stores, caplog: pytest.LogCaptureFixture, key: str, field: str, record: Any
) -> None:
    await stores.join("m")
    await stores.join("n")
    if isinstance(record, NodeProfile):
        record = msgspec.msgpack.encode(record)
    await stores.link.command("HSET", stores.key(key), field, record)
    for _ in range(3):
        assert [node.profile.name for node in await stores.nodes.all()] == ["m"]
    assert caplog.text.count("the record of node b'n' cannot be read and is left out") == 1
    await stores.join("n")
    await stores.link.command("HDEL", stores.key("load"), "n")
    assert [node.profile.name for node in await stores.nodes.all()] == ["m", "n"]


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_heartbeat_sent_for_somebody_else_renews_every_partition_or_says_it_is_too_late(
    stores: Stores, partitions: int
) -> None:
    split = Stores(stores.link, Keyspace(stores.space.namespace, partitions))
    epoch = await split.join("n", 5_000)
    assert await split.nodes.renew(epoch, "n", HOUR_MS, NodeLoad(cpu_percent=7))
    (node,) = await split.nodes.all()
    assert (node.load.cpu_percent, node.lease_left_ms > 5_000) == (7, True)
    await split.link.command("ZADD", split.key("lease", partitions - 1), "XX", 0, epoch)
    assert not await split.nodes.renew(epoch, "n", HOUR_MS, NodeLoad())


async def test_a_budget_is_told_with_the_heartbeat_until_it_ends(stores: Stores) -> None:
    epoch = await stores.join("n")
    assert (await beat(stores, epoch, "n")).budget is None
    await stores.nodes.set_budgets({"n": 0, "m": 4}, HOUR_MS)
    assert (await beat(stores, epoch, "n")).budget == 0
    await stores.nodes.set_budgets({"m": 4}, HOUR_MS)
    assert (await beat(stores, epoch, "n")).budget is None
    await stores.nodes.set_budgets({"n": 2}, 1)
    await until_so(lambda: _no_budget(stores, epoch))


async def _no_budget(stores: Stores, epoch: int) -> bool:
    return (await beat(stores, epoch, "n")).budget is None
