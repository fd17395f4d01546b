"""Lanes: what waits to be placed, what was given to a node, and moving between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stores import HOUR_MS, Stores, group, other
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.placement import Requirements
from venom_core.infrastructure.placement_store import Assignment, Move, Page, PlacementStore

GPU = Requirements.parse({"gpu": 1})
A, B = own_lane("a"), own_lane("b")


def lanes_of(stores: Stores) -> PlacementStore:
    return PlacementStore(stores.link, stores.space)


def ids(page: Page) -> list[str]:
    return [task.task_id for task in page.tasks]


def to(lane: str, *task_ids: str, source: str = WAITING, node: str = "a") -> list[Move]:
    return [Move(task_id, source, lane, Assignment(node, GPU)) for task_id in task_ids]


# ------------------------------------------------------------------------------------------- the note beside a task


@given(st.from_regex(r"[A-Za-z0-9_.:-]{0,20}", fullmatch=True), st.integers(0, 9), st.lists(st.sampled_from("abc")))
def test_an_assignment_reads_as_it_was_written(node: str, gpu: int, tags: list[str]) -> None:
    assignment = Assignment(node, Requirements.parse({"gpu": gpu, "tags": tags}))
    assert Assignment.unpack(assignment.pack()) == assignment


@pytest.mark.parametrize(
    "text", [None, b"", b"|", b"\xff|{}", b"a|{", b'a|{"cpus": 1}', b"a|[]", b'a|"x"', b'a|{"gpu": -1}', b"a|\xff"]
)
def test_what_nobody_here_wrote_asks_for_nothing(text: bytes | None) -> None:
    assert Assignment.unpack(text) == Assignment("", Requirements())


def test_a_note_of_a_name_alone_names_the_node() -> None:
    assert Assignment.unpack(b"a") == Assignment("a", Requirements())


# ------------------------------------------------------------------------------------------------------------- pages


async def test_pages_come_in_order_of_urgency_and_arrival(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["late", "later"], 2), group(WAITING, ["first"], 9))
    assert ids(await lanes.waiting(0, WAITING, 0, 2)) == ["first", "late"]
    assert ids(await lanes.waiting(0, WAITING, 2, 2)) == ["later"]
    assert await lanes.waiting(0, WAITING, 3, 2) == Page([], 0, -1)
    assert (await lanes.waiting(0, WAITING, 0, 1)).tasks[0].assignment == Assignment("", Requirements())


async def test_what_is_delayed_comes_when_it_is_due(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1", "2"], when="+50000"))
    page = await lanes.waiting(0, WAITING, 0, 5)
    assert page.tasks == []
    assert 40_000 < page.wait_ms <= 50_000
    await stores.make_due(WAITING)
    assert ids(await lanes.waiting(0, WAITING, 0, 5)) == ["1", "2"]
    assert not {"0:due", f"0:later:{WAITING}"} & set(await stores.dump())


async def test_a_task_that_was_deleted_leaves_the_line_and_the_count(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1", "2", "3"], 2), group(WAITING, ["4"], 8))
    await lanes.move(0, to(WAITING, "2"))
    await stores.link.command("HSET", stores.key("tries"), "2", "1.0")
    await stores.link.command("HDEL", stores.key("task"), "2", "4")
    page = await lanes.waiting(0, WAITING, 0, 3)
    assert (ids(page), page.looked_at) == (["1"], 3)
    assert ids(await lanes.waiting(0, WAITING, 0, 3)) == ["1", "3"]
    assert (await stores.tasks.stats())[:2] == [0, 2]
    content = await stores.dump()
    assert not {"0:assigned", "0:tries"} & set(content)
    assert content["0:placed"] == {WAITING.encode(): min(content[f"0:queue:{WAITING}"].values())}


async def test_when_the_last_one_was_deleted_the_lane_is_gone(stores: Stores) -> None:
    await stores.put(group(WAITING, ["1"]))
    await stores.link.command("HDEL", stores.key("task"), "1")
    assert (await lanes_of(stores).waiting(0, WAITING, 0, 3)).looked_at == 1
    assert not {"0:placed", f"0:queue:{WAITING}", f"0:wake:{WAITING}"} & set(await stores.dump())


# ------------------------------------------------------------------------------------------------------------- moving


async def test_a_moved_task_keeps_its_place_in_line(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1", "2", "3"]), group(WAITING, ["4"], 9))
    assert len(await lanes.move(0, to(A, "3", "1", "4"))) == 3
    assert ids(await lanes.waiting(0, A, 0, 9)) == ["4", "1", "3"]
    assert await lanes.given() == {"a": 3}
    assert await lanes.move(0, to(WAITING, "1", source=A, node=""))
    assert ids(await lanes.waiting(0, WAITING, 0, 9)) == ["1", "2"]
    assert (await stores.tasks.stats())[:2] == [1, 3]


async def test_only_what_is_where_it_was_thought_to_be_is_moved(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1"]), group("scan", ["2"]), group(WAITING, ["3"], when="+50000"))
    moves = [*to(A, "1", source=B), *to(A, "2"), *to(A, "3"), *to(A, "nobody")]
    before = await stores.dump()
    assert await lanes.move(0, moves) == []
    assert await stores.dump() == before


async def test_a_move_without_an_assignment_leaves_the_one_there_is(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1"]))
    await lanes.move(0, to(A, "1"))
    await lanes.move(0, [Move("1", A, B)])
    assert (await lanes.waiting(0, B, 0, 1)).tasks[0].assignment == Assignment("a", GPU)


async def test_a_move_to_where_it_stands_notes_what_was_asked_and_wakes(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1", "2"]))
    await stores.take_token(WAITING)
    assert len(await lanes.move(0, to(WAITING, "2", node=""))) == 1
    page = await lanes.waiting(0, WAITING, 0, 9)
    assert ids(page) == ["1", "2"]
    assert page.tasks[1].assignment == Assignment("", GPU)
    assert await stores.tokens(WAITING) == 1


async def test_only_its_node_claims_what_it_was_given_and_a_node_with_room_says_so(stores: Stores) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1", "3"]), group("scan", ["2"]))
    await lanes.move(0, to(A, "1"))
    assert await stores.tokens(A) == 1
    a, b = await stores.join("a"), await stores.join("b")
    assert [lease.task_id for lease in await stores.claim(b, 5, ["scan", B])] == ["2"]
    assert await stores.link.command("LLEN", stores.key("dispatch")) == 0
    (lease,) = await stores.claim(a, 5, ["scan", A])
    assert (lease.task_id, lease.given) == ("1", True)
    assert await stores.link.command("LLEN", stores.key("dispatch")) == 1
    await stores.settle(a, other(lease, "retry", HOUR_MS, WAITING))
    note = (await stores.tasks.look(["1"]))["1"].assigned
    assert Assignment.unpack(note) == Assignment("", GPU)


@pytest.mark.parametrize("verb", ["back", "crash", "retry"])
async def test_what_returns_from_a_node_belongs_to_none(stores: Stores, verb: str) -> None:
    lanes = lanes_of(stores)
    await stores.put(group(WAITING, ["1"]))
    await lanes.move(0, to(A, "1"))
    epoch = await stores.join("a")
    (lease,) = await stores.claim(epoch, 1, ["scan", A])
    await stores.settle(epoch, other(lease, verb, 0, WAITING))  # type: ignore[arg-type]  # one of the verbs
    page = await lanes.waiting(0, WAITING, 0, 1)
    assert page.tasks[0].assignment == Assignment("", GPU)


async def test_a_note_that_nobody_here_wrote_survives_a_return(stores: Stores) -> None:
    await stores.put(group(WAITING, ["1"]))
    await lanes_of(stores).move(0, to(A, "1"))
    epoch = await stores.join("a")
    (lease,) = await stores.claim(epoch, 1, ["scan", A])
    await stores.link.command("HSET", stores.key("assigned"), "1", "nonsense")
    await stores.settle(epoch, other(lease, "back", 0, WAITING))
    assert (await stores.tasks.look(["1"]))["1"].assigned == b"|"


# ------------------------------------------------------------------------------------------- counts and partitions


async def test_lengths_are_those_of_all_partitions_and_of_many_lanes(
    split: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.infrastructure.placement_store.LANES_PER_CALL_MAX", 3)
    lanes = lanes_of(split)
    tasks = [str(at) for at in range(40)]
    await split.put(group(WAITING, tasks), *(group(f"type{at}", [f"x{at}", f"y{at}"]) for at in range(10)))
    assert await lanes.ready() == {f"type{at}": 2 for at in range(10)}
    assert await lanes.given() == {}
    for at, task_id in enumerate(tasks):
        node = f"n{at % 8}"
        moves = to(own_lane(node), task_id, node=node)
        assert await lanes.move(split.space.partition_of(task_id), moves) == moves
    assert await lanes.given() == {f"n{at}": 5 for at in range(8)}


async def test_what_an_earlier_life_of_a_node_was_given_is_placed_anew(
    split: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("venom_core.infrastructure.placement_store.RECALL_STEP", 3)
    lanes = lanes_of(split)
    tasks = [str(at) for at in range(30)]
    await split.put(group(WAITING, tasks))
    for task_id in tasks:
        await lanes.move(split.space.partition_of(task_id), to(A, task_id))
    await split.link.command("HDEL", split.key("task", split.space.partition_of("0")), "0")
    assert await lanes.recall("b") == 0
    assert await lanes.recall("a") == 29
    assert await lanes.given() == {}
    found = [task for number in range(4) for task in (await lanes.waiting(number, WAITING, 0, 99)).tasks]
    assert {task.task_id for task in found} == {*tasks} - {"0"}
    assert {task.assignment for task in found} == {Assignment("", GPU)}


async def test_the_dispatcher_blocks_on_two_lists_a_partition(split: Stores) -> None:
    keys = lanes_of(split).wake_keys()
    assert len(keys) == len(set(keys)) == 8
    await split.put(group(WAITING, [str(at) for at in range(20)]))
    filled = [key for key in keys if await split.link.command("LLEN", key)]
    assert len(filled) == 4
