"""Who is no longer the holder of a task changes nothing, and it is written down."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.stores import HOUR_MS, KEEP, Stores, end, ends_of, group, other, record
from venom_core.domain.lifecycle import TaskStatus
from venom_core.errors import LeaseLate, LeaseLost
from venom_core.infrastructure.task_records import Lease, Settlement


async def one_claimed(stores: Stores, count: int = 1) -> tuple[int, list[Lease]]:
    await stores.put(group("scan", [str(at) for at in range(1, count + 1)]))
    epoch = await stores.join()
    return epoch, await stores.claim(epoch, count)


def without(content: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in content.items() if name not in names}


@pytest.mark.parametrize(
    "settlement",
    [
        end,
        lambda lease: end(lease, status=TaskStatus.FAILED),
        lambda lease: other(lease, "retry", 0),
        lambda lease: other(lease, "back"),
        lambda lease: other(lease, "crash"),
    ],
    ids=["complete", "fail", "retry", "back", "crash"],
)
@pytest.mark.parametrize("stale", ["of another claim", "of another epoch", "of a shorter number", "ended"])
async def test_a_stale_settle_is_refused_changes_nothing_and_is_audited(
    stores: Stores, settlement: object, stale: str
) -> None:
    assert callable(settlement)
    epoch, (lease,) = await one_claimed(stores)
    if stale == "of another claim":
        lease = replace(lease, fence=f"{epoch}.999|")
    elif stale == "of another epoch":
        lease = replace(lease, fence=f"{epoch + 1}.{stores.numbers}|")
    elif stale == "of a shorter number":
        stores.numbers = 12
        await stores.settle(epoch, other(lease, "back"))
        (held,) = await stores.claim(epoch)
        lease = replace(held, fence=held.fence[:-2] + "|")
    else:
        await stores.settle(epoch, end(lease))
    before = without(await stores.dump(), "0:last", "0:audit")
    item: Settlement = settlement(lease)
    assert await stores.settle(epoch, item) == ([item], [])
    assert without(await stores.dump(), "0:last", "0:audit") == before
    (line,) = await stores.audit()
    assert line == {"what": "stale_settle", "task": "1", "fence": lease.fence, "verb": item.verb}


async def test_one_stale_settle_does_not_disturb_the_others_of_its_call(stores: Stores) -> None:
    epoch, (first, second, third, fourth) = await one_claimed(stores, 4)
    stale_end, stale_retry = end(replace(second, fence="1.99|")), other(replace(third, fence="1.99|"), "retry", 0)
    refused, _ = await stores.settle(epoch, stale_retry, end(first), stale_end, other(fourth, "back"))
    assert refused == [stale_end, stale_retry]
    assert await stores.tasks.stats() == [0, 1, 2, 0, 1, 0, 0, 0]


async def test_a_flood_of_stale_settles_writes_ten_lines_a_call(stores: Stores) -> None:
    epoch, leases = await one_claimed(stores, 30)
    await stores.settle(epoch, *(end(lease) for lease in leases))
    assert len((await stores.settle(epoch, *(end(lease) for lease in leases)))[0]) == 30
    assert len(await stores.audit()) == 10


@pytest.mark.parametrize("kind", ["progress", "emit"])
async def test_a_stale_note_is_refused_changes_nothing_and_is_audited(stores: Stores, kind: str) -> None:
    _, (lease, living) = await one_claimed(stores, 2)
    stale = replace(lease, fence="1.999|")
    before = without(await stores.dump(), "0:audit")
    assert await stores.tasks.note([(stale, kind, b"x")], HOUR_MS) == [stale]
    assert without(await stores.dump(), "0:audit") == before
    assert await stores.audit() == [{"what": "stale_note", "task": "1", "fence": "1.999|"}]
    assert await stores.tasks.note([(living, kind, b"x"), (stale, kind, b"x")], HOUR_MS) == [stale]


async def test_a_note_of_an_ended_task_is_refused(stores: Stores) -> None:
    epoch, (lease,) = await one_claimed(stores)
    await stores.settle(epoch, end(lease))
    assert await stores.tasks.note([(lease, "emit", b"x")], HOUR_MS) == [lease]
    assert await stores.tasks.partials("1", 0) == []


async def test_a_late_lease_claims_nothing_until_it_is_renewed(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    epoch = await stores.join()
    await stores.expire_lease(epoch)
    with pytest.raises(LeaseLate, match=f"the lease of epoch {epoch} ran out; it must be renewed"):
        await stores.claim(epoch)
    await stores.expire_lease(epoch, 4 * 10**12)
    assert len(await stores.claim(epoch)) == 1


async def test_a_fenced_an_unknown_and_a_buried_lease_claim_nothing(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    fenced = await stores.join("same name")
    successor = await stores.join("same name")
    for epoch in (fenced, 999):
        with pytest.raises(LeaseLost, match=f"the lease of epoch {epoch} ran out or was taken over"):
            await stores.claim(epoch)
    await stores.expire_lease(successor)
    await stores.nodes.bury(0, successor)
    with pytest.raises(LeaseLost):
        await stores.claim(successor)
    assert (await stores.tasks.stats())[1] == 1


async def test_what_a_late_node_still_holds_it_may_settle(stores: Stores) -> None:
    epoch, (lease,) = await one_claimed(stores)
    await stores.expire_lease(epoch)
    assert await stores.settle(epoch, end(lease)) == ([], [])


async def test_nothing_is_taken_from_a_living_node(stores: Stores) -> None:
    epoch, _ = await one_claimed(stores)
    before = await stores.dump()
    item = [ends_of("1", await stores.held("1"))]
    assert await stores.tasks.take_back(0, epoch, item, KEEP) == (0, 0)
    assert await stores.dump() == before


async def test_force_takes_one_task_from_a_living_node_and_tells_it_to_stop(stores: Stores) -> None:
    epoch, (lease, _) = await one_claimed(stores, 2)
    pubsub = stores.link.pubsub()
    async with pubsub:
        await pubsub.subscribe(stores.space.node_channel(epoch))
        await pubsub.get_message(timeout=5)
        item = [ends_of("1", await stores.held("1"))]
        assert await stores.tasks.take_back(0, epoch, item, KEEP, force=True) == (1, 0)
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message is not None
    assert message["data"].startswith(b"stop 1 ")
    assert await stores.tasks.stats() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert await stores.settle(epoch, end(lease)) == ([end(lease)], [])
    assert [line["what"] for line in await stores.audit()] == ["rescued", "stale_settle"]


async def test_a_dead_nodes_task_keeps_its_place_and_counts_a_crash(stores: Stores) -> None:
    epoch, (first, _) = await one_claimed(stores, 2)
    await stores.put(group("scan", ["3"]))
    await stores.expire_lease(epoch)
    assert await stores.upkeep.reap(epoch, "node", 5) == 2
    again = await stores.claim(await stores.join("other"), 3)
    assert [(lease.task_id, lease.failures, lease.crashes) for lease in again] == [
        ("1", 0, 1),
        ("2", 0, 1),
        ("3", 0, 0),
    ]
    assert await stores.settle(epoch, end(first)) == ([end(first)], [])


async def test_the_third_crash_quarantines(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    for turn in range(3):
        epoch = await stores.join(f"node{turn}")
        assert len(await stores.claim(epoch)) == 1
        await stores.expire_lease(epoch)
        assert await stores.upkeep.reap(epoch, f"node{turn}", 5) == (1 if turn < 2 else 0)
    assert await stores.tasks.stats() == [0, 0, 0, 1, 0, 0, 0, 1]
    seen = (await stores.tasks.look(["1"]))["1"]
    assert seen.outcome is not None
    assert seen.outcome[3] == ord("q")
    assert (seen.failures, seen.crashes) == (0, 0)


async def test_a_task_to_be_cancelled_ends_when_its_node_dies(stores: Stores) -> None:
    epoch, _ = await one_claimed(stores)
    assert await stores.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP) == "asked"
    await stores.expire_lease(epoch)
    assert await stores.upkeep.reap(epoch, "node", 5) == 0
    assert await stores.tasks.stats() == [0, 0, 0, 0, 0, 0, 1, 0]


async def test_failures_and_crashes_are_counted_apart(stores: Stores) -> None:
    epoch, (lease,) = await one_claimed(stores)
    await stores.settle(epoch, other(lease, "retry", 0))
    (lease,) = await stores.claim(epoch)
    await stores.settle(epoch, other(lease, "crash"))
    (lease,) = await stores.claim(epoch)
    await stores.settle(epoch, other(lease, "back"))
    (lease,) = await stores.claim(epoch)
    assert (lease.failures, lease.crashes) == (1, 1)


async def test_a_replayed_envelope_of_an_ended_task_is_not_run_where_replays_are_guarded(stores: Stores) -> None:
    epoch, (lease,) = await one_claimed(stores)
    await stores.settle(epoch, end(lease))
    queue = stores.space.type_keys(0, "scan")[0]
    await stores.link.command("ZADD", queue, 5, "1", 6, "ghost")
    await stores.link.command("ZADD", stores.key("ready"), 5, "scan")
    await stores.put(group("scan", ["2"]))
    stores.tasks._guard = 1
    assert [lease.task_id for lease in await stores.claim(epoch, 5)] == ["2"]
    assert (await stores.tasks.stats())[2] == 1
    assert "0:queue:scan" not in await stores.dump()
    assert await stores.audit() == [{"what": "replayed_task", "task": "1"}]
