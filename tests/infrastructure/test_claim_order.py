"""In which order tasks are claimed: by urgency, first in first out, and no level starves."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers import leaked_keys, sync_client
from tests.stores import Stores, end, group, other
from venom_core.config import Settings
from venom_core.infrastructure.embedded import EmbeddedServer
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.task_records import Lease, TaskGroup
from venom_core.infrastructure.task_store import TASKS_PER_CALL_MAX

SHARE = 32
MANY = [f"type{number:02}" for number in range(50)]


def ids_of(leases: Sequence[Lease]) -> list[str]:
    return [lease.task_id for lease in leases]


async def drained(stores: Stores, types: list[str], sizes: list[int]) -> list[str]:
    """All that is queued, in the order of claims of these sizes; the share rule never has its turn."""
    epoch, turn = await stores.join(), 0
    got: list[str] = []
    while True:
        await stores.link.command("HSET", stores.key("count"), "served", 0)
        batch = await stores.claim(epoch, sizes[turn % len(sizes)], types)
        if not batch:
            return got
        got += ids_of(batch)
        turn += 1


@settings(max_examples=40, deadline=None)
@given(
    tasks=st.lists(st.tuples(st.integers(0, 49), st.integers(0, 10)), max_size=120),
    sizes=st.lists(st.integers(1, SHARE - 1), min_size=1, max_size=4),
    types=st.sampled_from([1, 3, 50]),
    data=st.data(),
)
def test_many_lanes_are_claimed_as_one_line_sorted_by_level_and_arrival(
    server: EmbeddedServer, tasks: list[tuple[int, int]], sizes: list[int], types: int, data: st.DataObject
) -> None:
    lines = [(f"t{at:03}", MANY[lane % types], level) for at, (lane, level) in enumerate(tasks)]
    sorted_model = [task_id for task_id, _, _ in sorted(lines, key=lambda line: -line[2])]
    asked = data.draw(st.permutations(MANY[:types]))

    async def scene(stores: Stores) -> list[str]:
        await stores.put(*(group(task_type, [task_id], level) for task_id, task_type, level in lines))
        return await drained(stores, asked, sizes)

    assert on_a_fresh_hive(server, scene) == sorted_model


def on_a_fresh_hive(server: EmbeddedServer, scene: Callable[[Stores], Awaitable[list[str]]]) -> list[str]:
    """Run one example of a property against a hive of its own."""
    namespace = f"o{uuid.uuid4().hex[:12]}"

    async def whole() -> list[str]:
        async with RedisLink(Settings.load(redis_url=server.url, hive_namespace=namespace)) as link:
            return await scene(Stores(link, Keyspace(namespace, 1)))

    try:
        return asyncio.run(whole())
    finally:
        client = sync_client(server.url)
        assert leaked_keys(client, namespace) == []
        client.close()


async def test_a_large_claim_takes_all_of_long_lanes_in_order(stores: Stores) -> None:
    lanes = {name: [f"{name}-{at:03}" for at in range(200)] for name in ("a", "b", "c")}
    for at in range(200):
        await stores.put(*(group(name, [ids[at]]) for name, ids in lanes.items()))
    got = ids_of(await stores.claim(await stores.join(), 450, ["c", "a", "b"]))
    line = [f"{name}-{at:03}" for at in range(150) for name in ("a", "b", "c")]
    assert sorted(got) == sorted(line)
    after_the_shares = got[450 // SHARE :]
    assert after_the_shares == [task_id for task_id in line if task_id in set(after_the_shares)]


async def test_groups_of_one_call_are_in_line_in_the_order_of_the_call(stores: Stores) -> None:
    await stores.put(group("a", ["1", "2"]), group("b", ["3"]), group("a", ["4"]), group("a", ["0"], level=3))
    assert await drained(stores, ["b", "a"], [3]) == ["0", "1", "2", "3", "4"]


async def test_a_claim_touches_only_the_types_it_names(stores: Stores) -> None:
    await stores.put(group("a", ["1"]), group("b", ["2"], level=10))
    assert await drained(stores, ["a", "never-seen"], [5]) == ["1"]
    assert await drained(stores, ["b"], [5]) == ["2"]


async def test_what_was_handed_back_keeps_its_place_and_what_is_retried_goes_to_the_end(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2", "3"]))
    epoch = await stores.join()
    first, second = await stores.claim(epoch, 2)
    await stores.settle(epoch, other(first, "back"), other(second, "retry", 0))
    assert await drained(stores, ["scan"], [5]) == ["1", "3", "2"]


async def flood(stores: Stores, epoch: int, types: list[str], size: int, claims: int, urgent: TaskGroup) -> list[str]:
    """What is claimed while urgent work of one type never runs out."""
    got: list[str] = []
    for turn in range(claims):
        ids = [f"u{turn}-{at}" for at in range(size)]
        await stores.put(group(urgent.lane, ids, urgent.priority))
        leases = await stores.claim(epoch, size, types)
        await stores.settle(epoch, *(end(lease) for lease in leases))
        got += ids_of(leases)
    return got


@pytest.mark.parametrize("size", [1, 7, 32, 64, 96, 352])
@pytest.mark.parametrize("types", [1, 2, 3])
async def test_no_level_starves_under_an_endless_flood_of_urgent_tasks(stores: Stores, types: int, size: int) -> None:
    lanes = MANY[:types]
    slow = [f"slow-{lane}-{level}" for lane in lanes for level in range(10)]
    for lane in lanes:
        await stores.put(*(group(lane, [f"slow-{lane}-{level}"], level) for level in range(10)))
    epoch = await stores.join()
    turns = 3 * 11 * types * SHARE
    got = await flood(stores, epoch, lanes, size, -(-turns // size), TaskGroup(lanes[0], 10, "now"))
    assert set(slow) <= set(got)


async def test_fifty_types_each_get_their_turn(stores: Stores) -> None:
    await stores.put(*(group(lane, [f"slow-{lane}"], 0) for lane in MANY))
    epoch = await stores.join()
    got = await flood(stores, epoch, MANY, 31, 1_200, TaskGroup(MANY[0], 10, "now"))
    assert {f"slow-{lane}" for lane in MANY} <= set(got)


@pytest.mark.parametrize("size", [1, 8, 32, 100])
async def test_one_task_in_32_is_given_to_the_less_urgent_and_no_more(stores: Stores, size: int) -> None:
    await stores.put(group("slow", [f"slow{at}" for at in range(300)], 0))
    epoch, turns = await stores.join(), 6_400 // size
    got = await flood(stores, epoch, ["slow", "urgent"], size, turns, TaskGroup("urgent", 10, "now"))
    given_away = sum(task_id.startswith("slow") for task_id in got)
    # Every second share falls to the lane of the flood, and there to whichever level is first at or below the turn's.
    assert len(got) // SHARE // 4 <= given_away <= len(got) // SHARE


async def test_one_claim_brings_no_more_than_a_call_may(stores: Stores) -> None:
    await stores.put(group("t", [f"t{at:03}" for at in range(TASKS_PER_CALL_MAX)]))
    await stores.put(group("t", ["one more"]))
    assert len(await stores.claim(await stores.join(), TASKS_PER_CALL_MAX + 100, ["t"])) == TASKS_PER_CALL_MAX


@pytest.mark.parametrize(("lane", "level"), [("t", 10), ("t", 0), ("a_name_of_a_skill." * 5, 5)])
async def test_what_runs_is_kept_in_a_hash_table_however_little_it_is(stores: Stores, lane: str, level: int) -> None:
    """Redis keeps short values as a list, and searches three hundred of them for each task that ends."""
    await stores.put(group(lane, ["a"], level))
    (lease,) = await stores.claim(await stores.join(), 1, [lane])
    assert await stores.link.command("OBJECT", "ENCODING", stores.key("run")) == b"hashtable"
    held = (await stores.tasks.held(0, ["a"]))["a"]
    assert (held.lane, held.fence, held.started_ms) == (lane, lease.fence, lease.claimed_ms)
