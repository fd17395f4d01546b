"""Ended tasks leave after their time, in bounded steps, and dead letters never grow past their number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.stores import HOUR_MS, KEEP, PLENTY, Stores, end, envelope, group, record
from venom_core.domain.lifecycle import TaskStatus
from venom_core.errors import QueueFull
from venom_core.infrastructure.task_records import Retention, TaskGroup

FAILED, CANCELLED, QUARANTINED = TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.QUARANTINED
AT_ONCE = replace(KEEP, result_ttl_ms=-1, dead_ttl_ms=-1)


async def ended(
    stores: Stores, ids: list[str], status: TaskStatus = TaskStatus.COMPLETED, keep: Retention = KEEP
) -> None:
    """Tasks that ran and ended in one call."""
    await stores.put(group("scan", ids))
    epoch = await stores.join()
    leases = await stores.claim(epoch, len(ids))
    stores.numbers += 1
    await stores.tasks.settle(0, epoch, stores.numbers, [end(lease, status=status) for lease in leases], keep)


async def remembered(stores: Stores) -> set[str]:
    content = await stores.dump()
    assert set(content.get("0:task", {})) == set(content.get("0:outcome", {}))
    return {task_id.decode() for task_id in content.get("0:task", {})}


@pytest.mark.parametrize(
    ("status", "lives_ms"),
    [(TaskStatus.COMPLETED, HOUR_MS), (CANCELLED, HOUR_MS), (FAILED, 2 * HOUR_MS), (QUARANTINED, 2 * HOUR_MS)],
)
async def test_an_end_is_remembered_for_its_time(stores: Stores, status: TaskStatus, lives_ms: int) -> None:
    await ended(stores, ["1"], status)
    seen = (await stores.tasks.look(["1"]))["1"]
    (forgotten_ms,) = (await stores.dump())["0:expiry"].values()
    assert 0 <= seen.now_ms + lives_ms - forgotten_ms < 10_000
    assert await stores.tasks.forget_expired(10) == 0


async def test_completed_tasks_of_one_call_are_one_entry_and_leave_together(stores: Stores) -> None:
    await ended(stores, ["1", "2", "3"], keep=AT_ONCE)
    await ended(stores, ["4"])
    assert set((await stores.dump())["0:expiry"]) == {b"4"}
    assert await remembered(stores) == {"4"}


async def test_a_batch_is_forgotten_in_one_step(stores: Stores) -> None:
    ids = [f"{at:03}" for at in range(300)]
    await ended(stores, ids)
    (entry,) = (await stores.dump())["0:expiry"]
    await stores.link.command("ZADD", stores.key("expiry"), 1, entry)
    assert await stores.tasks.forget_expired(1) == 1
    assert await remembered(stores) == set()


async def test_forgetting_goes_in_bounded_steps(stores: Stores) -> None:
    ids = [str(at) for at in range(25)]
    await ended(stores, ids, FAILED)
    await stores.link.command("ZADD", stores.key("expiry"), *[part for task_id in ids for part in (1, task_id)])
    steps = [await stores.tasks.forget_expired(20) for _ in range(3)]
    assert steps == [20, 5, 0]


async def test_upkeep_forgets_until_nothing_is_past_its_time(stores: Stores) -> None:
    ids = [str(at) for at in range(45)]
    await ended(stores, ids, FAILED)
    await stores.link.command("ZADD", stores.key("expiry"), *[part for task_id in ids for part in (1, task_id)])
    assert await stores.upkeep.forget() == 45
    assert await remembered(stores) == set()
    assert "0:dead" not in await stores.dump()


async def test_settling_forgets_on_the_way_and_counts_nothing_off(stores: Stores) -> None:
    for task_id in ("1", "2", "3"):
        await ended(stores, [task_id], FAILED, AT_ONCE)
    await ended(stores, ["4"])
    assert await remembered(stores) == {"4"}
    assert (await stores.tasks.stats())[4:] == [1, 3, 0, 0]


async def test_a_forgotten_id_is_unknown_and_may_be_used_again(stores: Stores) -> None:
    await ended(stores, ["1"], keep=AT_ONCE)
    await stores.tasks.forget_expired(5)
    gone = record("1", CANCELLED)
    assert await stores.tasks.cancel("1", ["scan"], gone, KEEP) == "unknown"
    assert await stores.tasks.requeue("1", "scan") == "unknown"
    assert await stores.tasks.wait(["1"], "me", envelopes=True) == {"1": (b"unknown", b"")}
    other = TaskGroup("scan", 5, "now", ["1"], [envelope("1", 5, "new content")])
    assert await stores.tasks.enqueue([other], PLENTY) == {}


async def test_a_cancel_of_what_is_neither_waiting_nor_running_is_unknown(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    assert await stores.tasks.cancel("1", ["another-type"], record("1", CANCELLED), KEEP) == "elsewhere"


async def test_dead_letters_are_capped_and_the_oldest_leave(stores: Stores) -> None:
    few = replace(KEEP, dead_max=3)
    for at in range(5):
        await ended(stores, [f"d{at}"], FAILED, few)
        await stores.link.command("ZADD", stores.key("dead"), "XX", at + 1, f"d{at}")
    assert await stores.tasks.dead_letters(0, 10) == ["d4", "d3", "d2"]
    assert await remembered(stores) == {"d2", "d3", "d4"}
    assert (await stores.tasks.stats())[3:6] == [3, 0, 5]


async def test_more_dead_letters_at_once_than_are_kept_leave_as_many_as_are_kept(stores: Stores) -> None:
    await ended(stores, [f"{at:02}" for at in range(20)], QUARANTINED, replace(KEEP, dead_max=4))
    assert len(await stores.tasks.dead_letters(0, 100)) == 4
    assert len(await remembered(stores)) == 4


async def test_purging_takes_those_that_died_before_a_moment(stores: Stores) -> None:
    await ended(stores, ["1", "2", "3"], FAILED)
    await stores.link.command("ZADD", stores.key("dead"), 10, "1", 20, "2", 30, "3")
    assert await stores.tasks.purge(15) == 1
    assert await stores.tasks.dead_letters(0, 10) == ["3", "2"]


async def test_purging_by_id_takes_dead_letters_only(stores: Stores) -> None:
    await ended(stores, ["dead"], FAILED)
    await ended(stores, ["fine"])
    await stores.put(group("scan", ["waiting"]))
    assert await stores.tasks.purge(0, ["dead", "fine", "waiting", "unheard-of"]) == 1
    assert {task_id.decode() for task_id in (await stores.dump())["0:task"]} == {"fine", "waiting"}


async def test_purging_goes_in_steps_of_a_thousand(stores: Stores) -> None:
    for start in range(0, 1_200, 400):
        await ended(stores, [f"{start + at:04}" for at in range(400)], FAILED, replace(KEEP, dead_max=PLENTY))
    far = 4 * 10**12
    assert [await stores.tasks.purge(far) for _ in range(3)] == [1_000, 200, 0]


async def test_a_requeued_dead_letter_is_not_forgotten_with_its_old_end(stores: Stores) -> None:
    await ended(stores, ["1"], FAILED)
    await stores.tasks.requeue("1", "scan")
    assert not {"0:expiry", "0:dead", "0:outcome", "0:tries"} & set(await stores.dump())


async def test_an_id_that_is_taken_is_reported_with_the_envelope_that_has_it(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]))
    new = TaskGroup("mail", 9, "+60000", ["2", "3"], [envelope("2", 9), envelope("3", 9)])
    assert await stores.put(new, group("mail", ["1"], 4)) == {"2": envelope("2", 2), "1": envelope("1", 2)}
    assert (await stores.tasks.stats())[:2] == [1, 2]


async def test_the_hive_takes_exactly_as_many_queued_tasks_as_it_may(stores: Stores) -> None:
    await stores.tasks.enqueue([group("scan", ["1"], 8), group("scan", ["2"], when="+60000")], 3)
    await stores.tasks.enqueue([group("scan", ["3"])], 3)
    with pytest.raises(QueueFull):
        await stores.tasks.enqueue([group("scan", ["4"])], 3)
    assert len((await stores.dump())["0:task"]) == 3
    await stores.claim(await stores.join())
    await stores.tasks.enqueue([group("scan", ["4"])], 3)


async def test_dead_letters_of_all_partitions_are_listed_newest_first_and_purged_together(split: Stores) -> None:
    ids = [f"task{at}" for at in range(12)]
    await split.put(group("scan", ids))
    epoch = await split.join()
    for partition in range(4):
        leases = await split.claim(epoch, 12, partition=partition)
        await split.settle(epoch, *(end(lease, status=FAILED) for lease in leases))
    for at, task_id in enumerate(ids):
        await split.link.command("ZADD", split.key("dead", split.space.partition_of(task_id)), "XX", at, task_id)
    assert await split.tasks.dead_letters(0, 100) == ids[::-1]
    assert await split.tasks.dead_letters(5, 3) == ids[::-1][5:8]
    assert await split.tasks.purge(5) == 6
    assert await split.tasks.purge(0, ids[6:8]) == 2
    assert await split.tasks.stats() == [0, 0, 0, 4, 0, 12, 0, 0]


async def test_upkeep_forgets_on_when_a_step_was_cut_short_by_the_size_of_its_batches(stores: Stores) -> None:
    """A step ends after 2,000 ids, which few entries of large batches hold: that is no sign that nothing is left."""
    for batch in range(7):
        await ended(stores, [f"{batch}-{at:03}" for at in range(500)])
    entries = (await stores.dump())["0:expiry"]
    await stores.link.command("ZADD", stores.key("expiry"), *[part for entry in entries for part in (1, entry)])
    assert await stores.upkeep.forget() == len(entries)
    assert await remembered(stores) == set()
