"""Tasks of dead nodes go back in line, whoever notices, and only once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import pytest

from tests.servers import sync_client
from tests.stores import KEEP, Stores, end, group, record, status_of
from venom_core.config import Settings
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.seal import Seal
from venom_core.domain.task import open_outcome
from venom_core.infrastructure.upkeep import TAKE_BACK_STEP

CANCELLED = TaskStatus.CANCELLED


async def test_all_that_a_dead_node_held_in_every_partition_is_back(
    split: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    await split.put(group("scan", [f"task{at}" for at in range(20)]))
    dead, living = await split.join("dead"), await split.join("living")
    for partition in range(4):
        await split.claim(living, 1, partition=partition)
        await split.claim(dead, 20, partition=partition)
    await split.expire_lease(dead)
    with caplog.at_level(logging.WARNING, "venom.upkeep"):
        assert await split.upkeep.reap(dead, "dead", 5) == 16
        assert await split.upkeep.reap(dead, "dead", 5) == 0
    assert await split.tasks.stats() == [0, 16, 4, 0, 0, 0, 0, 0]
    assert caplog.messages == ["node dead died holding 16 tasks; they are back in line"]
    assert [await split.nodes.leased(partition) for partition in range(4)] == [{living}] * 4


async def test_two_reapers_at_once_take_each_task_once(stores: Stores) -> None:
    ids = [f"{at:04}" for at in range(2 * TAKE_BACK_STEP + 50)]
    await stores.put(group("scan", ids))
    dead = await stores.join("dead")
    while await stores.claim(dead, 500):
        pass
    await stores.expire_lease(dead)
    counts = await asyncio.gather(*(stores.upkeep.reap(dead, "dead", 5) for _ in range(3)))
    assert sum(counts) == len(ids)
    other = await stores.join("other")
    leases = await stores.claim(other, 500)
    assert sorted(lease.task_id for lease in leases) == ids
    assert {lease.crashes for lease in leases} == {1}


async def test_a_node_that_came_back_in_time_keeps_its_tasks(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    epoch = await stores.join()
    (lease,) = await stores.claim(epoch)
    assert await stores.upkeep.reap(epoch, "node", 5) == 0
    assert await stores.settle(epoch, end(lease)) == ([], [])


async def test_what_is_held_under_no_lease_at_all_goes_back(split: Stores) -> None:
    await split.put(group("scan", [f"task{at}" for at in range(8)]))
    lost, living = await split.join("lost"), await split.join("living")
    for partition in range(4):
        await split.claim(lost, 1, partition=partition)
        await split.claim(living, 9, partition=partition)
        await split.nodes.bury(partition, lost)
        await split.link.command("ZREM", split.key("lease", partition), lost)
    held = (await split.tasks.stats())[2]
    returned = await split.upkeep.reap_orphans(5)
    assert 0 < returned < held
    assert await split.upkeep.reap_orphans(5) == 0
    assert (await split.tasks.stats())[2] == held - returned


async def test_a_task_is_rescued_from_a_silent_node_and_the_rest_is_left_there(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]))
    epoch = await stores.join()
    await stores.claim(epoch, 2)
    held = await stores.held("1")
    assert await stores.upkeep.rescue("1", held, "node", 5) == "pending"
    assert await stores.upkeep.rescue("1", held, "node", 5) == "gone"
    assert (await stores.tasks.stats())[2] == 1


async def test_a_node_that_leaves_hands_back_what_the_store_still_holds_for_it_and_counts_nothing(
    split: Stores,
) -> None:
    await split.put(group("scan", [f"task{at}" for at in range(20)]))
    leaving, staying = await split.join("leaving"), await split.join("staying")
    for partition in range(4):
        await split.claim(staying, 1, partition=partition)
        await split.claim(leaving, 20, partition=partition)
    assert await split.upkeep.hand_back(leaving, 1) == 16
    assert await split.upkeep.hand_back(leaving, 1) == 0
    assert await split.tasks.stats() == [0, 16, 4, 0, 0, 0, 0, 0]
    tried = [lease for k in range(4) for lease in await split.claim(staying, 20, partition=k)]
    assert {(lease.failures, lease.crashes) for lease in tried} == {(0, 0)}


def _only(known: str) -> Callable[[str, str], bool]:
    return lambda task_id, _: task_id == known


async def test_what_a_living_node_holds_without_knowing_it_is_found_partition_by_partition(split: Stores) -> None:
    await split.put(group("scan", [f"task{at}" for at in range(20)]))
    node, other = await split.join("node"), await split.join("other")
    for partition in range(4):
        await split.claim(other, 1, partition=partition)
    mine = [await split.claim(node, 20, partition=partition) for partition in range(4)]
    assert all(len(leases) > 1 for leases in mine)
    for partition, leases in enumerate(mine):
        found = await split.upkeep.forgotten(partition, node, partial(_only, leases[0].task_id))
        assert {item.lease.task_id for item in found} == {lease.task_id for lease in leases[1:]}
        assert (await split.settle(node, *found))[0] == []
        assert await split.upkeep.forgotten(partition, node, lambda: lambda *_: True) == []
    assert (await split.tasks.stats())[2] == 8


async def test_what_ended_while_its_node_was_asked_was_not_forgotten(stores: Stores, settings: Settings) -> None:
    await stores.put(group("scan", ["1", "2", "3"]))
    node = await stores.join()
    await stores.claim(node, 3)
    client = sync_client(settings.store_url())

    def ends_now(task_id: str, fence: str) -> bool:
        """The page is there already when the ends of two are acknowledged; one of them is leased once more."""
        if task_id == "1":
            client.hdel(stores.key("run").decode(), task_id)
        elif task_id == "2":
            client.hset(stores.key("run").decode(), task_id, f"{node}.77|2|5|scan")
        return False

    (item,) = await stores.upkeep.forgotten(0, node, lambda: ends_now)
    client.close()
    assert item.lease.task_id == "3"


async def test_a_rescue_of_what_somebody_wanted_cancelled_ends_it(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    await stores.claim(await stores.join())
    held = await stores.held("1")
    await stores.tasks.cancel("1", ["scan"], record("1", CANCELLED), stores.upkeep.keep)
    assert await stores.upkeep.rescue("1", held, "node", 5) == "ended"
    outcome = (await stores.tasks.look(["1"]))["1"].outcome
    assert outcome is not None
    assert status_of(outcome) is CANCELLED


async def test_the_records_of_an_end_by_crash_say_what_is_known(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    await stores.claim(await stores.join())
    held = await stores.held("1")
    quarantined, cancelled = stores.upkeep.end_records("1", held, "node7", 99, (1, 2))
    seal = Seal(stores.space.namespace)
    status, outcome = open_outcome(seal, "1", quarantined)
    assert status is TaskStatus.QUARANTINED
    assert (outcome.node, outcome.attempt, outcome.crashes) == ("node7", 2, 3)
    assert (outcome.started_ms, outcome.completed_ms) == (held.started_ms, 99)
    assert outcome.error == "its node died under it 3 times, the last was node7; it will not be run again by itself"
    status, outcome = open_outcome(seal, "1", cancelled)
    assert (status, outcome.error) == (CANCELLED, "cancelled; its node node7 died")


async def test_a_node_that_leaves_ends_what_somebody_wanted_cancelled(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    leaving = await stores.join("leaving")
    await stores.claim(leaving, 1)
    assert await stores.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP) == "asked"
    await stores.upkeep.hand_back(leaving, 5)
    assert await stores.tasks.stats() == [0, 0, 0, 0, 0, 0, 1, 0]
