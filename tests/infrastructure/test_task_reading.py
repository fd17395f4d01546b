"""What callers read and hear of a task: its parts, its partial results, its end."""

from __future__ import annotations

import pytest

from tests.stores import HOUR_MS, KEEP, Stores, end, envelope, group, other, record
from venom_core.domain.lifecycle import TaskStatus
from venom_core.infrastructure import scripts, task_store
from venom_core.infrastructure.task_records import Held
from venom_core.infrastructure.task_store import WAITERS_MAX


async def test_all_that_is_known_of_tasks_is_read_at_one_moment(split: Stores) -> None:
    await split.put(group("scan", ["a", "b"]), group("scan", ["c"]))
    epoch = await split.join()
    partition = split.space.partition_of("a")
    leases = {lease.task_id: lease for lease in await split.claim(epoch, 3, partition=partition)}
    await split.settle(epoch, other(leases["a"], "retry", 0))
    leases = {lease.task_id: lease for lease in await split.claim(epoch, 3, partition=partition)}
    await split.tasks.note([(leases["a"], "progress", b"half")], HOUR_MS)
    seen = await split.tasks.look(["a", "unheard-of"])
    a, nobody = seen["a"], seen["unheard-of"]
    assert (a.envelope, a.failures, a.crashes, a.progress) == (envelope("a", 2), 1, 0, b"half")
    assert a.held is not None
    assert (a.held.epoch, a.held.fence, a.held.lane) == (epoch, leases["a"].fence, "scan")
    assert 0 <= a.now_ms - a.held.started_ms < 60_000
    assert (nobody.envelope, nobody.held, nobody.outcome, nobody.progress) == (None, None, None, None)
    assert await split.tasks.look([]) == {}


def test_a_type_may_hold_what_separates_the_fields_of_the_running_table() -> None:
    assert Held.parse(b"7.3|123|456|scan:a.b") == Held(7, "7.3|", 456, "scan:a.b")


async def test_every_running_task_is_on_some_page(stores: Stores) -> None:
    ids = [f"{at:04}" for at in range(1_100)]
    for start in range(0, 1_100, 500):
        await stores.put(group("scan", ids[start : start + 500]))
    epoch = await stores.join()
    while await stores.claim(epoch, 500):
        pass
    found, cursor = set(), -1
    while cursor:
        cursor, page = await stores.tasks.running(0, max(cursor, 0))
        found |= {task_id for task_id, held in page if held.epoch == epoch}
    assert sorted(found) == ids


async def test_partial_results_are_numbered_over_the_tasks_life_and_the_latest_are_kept(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_store, "PARTIALS_MAX", 5)
    await stores.put(group("scan", ["1"]))
    (lease,) = await stores.claim(await stores.join())
    for at in range(8):
        await stores.tasks.note([(lease, "emit", b"p|%d" % at)], HOUR_MS)
    assert await stores.tasks.partials("1", 0) == [(at, b"p|%d" % at) for at in range(3, 8)]
    assert await stores.tasks.partials("1", 6) == [(6, b"p|6"), (7, b"p|7")]
    assert await stores.tasks.partials("1", 99) == []
    assert 0 < await stores.link.command("PTTL", stores.space.partial(0, "1")) <= HOUR_MS


async def test_partial_results_of_more_than_a_page_are_read_from_any_number_on(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_store, "PARTIALS_PAGE", 3)
    await stores.put(group("scan", ["1"]))
    (lease,) = await stores.claim(await stores.join())
    await stores.tasks.note([(lease, "emit", b"%d" % at) for at in range(10)], HOUR_MS)
    for start in range(11):
        assert await stores.tasks.partials("1", start) == [(at, b"%d" % at) for at in range(start, 10)]


async def test_notes_of_tasks_in_several_partitions_go_where_they_belong(split: Stores) -> None:
    ids = [f"task{at}" for at in range(8)]
    await split.put(group("scan", ids))
    epoch = await split.join()
    leases = [lease for k in range(4) for lease in await split.claim(epoch, 8, partition=k)]
    assert await split.tasks.note([(lease, "emit", lease.task_id.encode()) for lease in leases], HOUR_MS) == []
    for task_id in ids:
        assert await split.tasks.partials(task_id, 0) == [(0, task_id.encode())]


async def test_who_waits_hears_of_the_end_once_with_a_small_record_or_is_told_to_look(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2", "3"]))
    epoch = await stores.join()
    small, large, unheard = await stores.claim(epoch, 3)
    async with stores.link.pubsub() as pubsub:
        await pubsub.subscribe("me")
        await pubsub.get_message(timeout=5)
        await stores.tasks.wait(["1", "2"], "me", envelopes=False)
        await stores.tasks.note([(small, "emit", b"x"), (unheard, "emit", b"x")], HOUR_MS)
        huge = end(large)
        huge.data = record("2", TaskStatus.COMPLETED) + b"x" * 5_000
        await stores.settle(epoch, end(small), huge, end(unheard))
        messages = [await pubsub.get_message(ignore_subscribe_messages=True, timeout=5) for _ in range(2)]
    told = [message["data"] for message in messages if message is not None]
    done = record("1", TaskStatus.COMPLETED)
    assert told == [b"1:-1:1", b"1:%d:1%b1:0:2" % (len(done), done)]
    assert "0:wait" not in await stores.dump()


async def test_what_has_ended_is_answered_at_once(split: Stores) -> None:
    await split.put(group("scan", ["1", "2"]))
    await split.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP)
    found = await split.tasks.wait(["1", "2", "3"], "me", envelopes=True)
    assert found == {
        "1": (record("1", TaskStatus.CANCELLED), envelope("1", 2)),
        "2": (b"pending", envelope("2", 2)),
        "3": (b"unknown", b""),
    }


async def test_only_so_many_may_wait_for_one_task(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    for at in range(WAITERS_MAX):
        assert (await stores.tasks.wait(["1"], f"caller{at}", envelopes=False))["1"][0] == b"pending"
    assert (await stores.tasks.wait(["1"], "one more", envelopes=False))["1"][0] == b"crowded"
    assert (await stores.tasks.wait(["1"], "caller1", envelopes=False))["1"][0] == b"pending"
    await stores.tasks.unwait(["1", "2"], "caller1")
    assert (await stores.tasks.wait(["1"], "one more", envelopes=False))["1"][0] == b"pending"


async def test_who_waits_no_longer_leaves_the_others_waiting(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    for caller in ("a", "ab", "b"):
        await stores.tasks.wait(["1"], caller, envelopes=False)
    await stores.tasks.unwait(["1"], "a")
    assert (await stores.dump())["0:wait"] == {b"1": b"ab,b"}
    for caller in ("b", "ab"):
        await stores.tasks.unwait(["1"], caller)
    assert "0:wait" not in await stores.dump()


async def test_a_refusal_is_written_into_the_audit_with_a_bounded_reason(stores: Stores) -> None:
    await stores.tasks.audit("refused_envelope", "1", "w" * 2_000, "node")
    assert await stores.audit() == [{"what": "refused_envelope", "task": "1", "why": "w" * 500, "node": "node"}]


@pytest.mark.parametrize("partitions", [1, 4])
async def test_script_flush_in_the_middle_changes_nothing(stores: Stores, split: Stores, partitions: int) -> None:
    hive = stores if partitions == 1 else split
    for at in range(4):
        await hive.link.command("SCRIPT", "FLUSH")
        await hive.put(group("scan", [f"task{at}"]))
    epoch, got = await hive.join(), []
    for partition in range(partitions):
        await hive.link.command("SCRIPT", "FLUSH")
        leases = await hive.claim(epoch, 9, partition=partition)
        got += [lease.task_id for lease in leases]
        await hive.link.command("SCRIPT", "FLUSH")
        if leases:
            await hive.settle(epoch, *(end(lease) for lease in leases))
    assert sorted(got) == [f"task{at}" for at in range(4)]
    assert await hive.tasks.stats() == [0, 0, 0, 0, 4, 0, 0, 0]
    known = await hive.link.command("SCRIPT", "EXISTS", scripts.STATS.sha)
    assert known == [1]
