"""Every transition may be sent again after a lost reply: nothing changes the second time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from tests.stores import HOUR_MS, KEEP, Stores, end, ends_of, group, other, record
from venom_core.domain.lane import WAITING, own_lane
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.domain.placement import Requirements
from venom_core.errors import QueueFull
from venom_core.infrastructure import scripts
from venom_core.infrastructure.placement_store import Assignment, Move, Page, PlacementStore
from venom_core.infrastructure.scripts import ScriptRunner

CANCELLED = TaskStatus.CANCELLED


async def unchanged(stores: Stores, call: Callable[[], Awaitable[object]]) -> object:
    """The answer of a call that leaves every key of the hive as it is."""
    before = await stores.dump()
    answer = await call()
    assert await stores.dump() == before
    return answer


@pytest.mark.parametrize("when", ["now", "+50000", "@4000000000000", "@1", "+0"])
async def test_enqueue(stores: Stores, when: str) -> None:
    groups = [group("scan", ["1", "2"], 7, when), group("mail", ["3"], 2, when)]
    assert await stores.put(*groups) == {}
    assert await unchanged(stores, lambda: stores.put(*groups)) == {}
    assert (await stores.tasks.stats())[:2] == [2, 1]


async def test_enqueue_after_its_tasks_ran_and_ended(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]))
    epoch = await stores.join()
    first, _ = await stores.claim(epoch, 2)
    await stores.settle(epoch, end(first))
    assert await unchanged(stores, lambda: stores.put(group("scan", ["1", "2"]))) == {}


async def test_enqueue_that_filled_the_hive(stores: Stores) -> None:
    groups = [group("scan", ["1", "2"])]
    assert await stores.tasks.enqueue(groups, 2) == {}
    assert await unchanged(stores, lambda: stores.tasks.enqueue(groups, 2)) == {}


async def test_enqueue_into_a_full_hive_with_one_new_task_among_the_known(stores: Stores) -> None:
    await stores.tasks.enqueue([group("scan", ["1", "2"])], 2)

    async def refused() -> None:
        with pytest.raises(QueueFull, match="already holds 2 queued tasks; wait, or raise HIVE_QUEUED_MAX"):
            await stores.tasks.enqueue([group("scan", ["1", "2", "3"])], 2)

    await unchanged(stores, refused)


async def test_an_id_twice_in_one_call_is_one_task(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "1"]), group("scan", ["1"]))
    assert (await stores.tasks.stats())[:2] == [0, 1]
    assert [lease.task_id for lease in await stores.claim(await stores.join(), 5)] == ["1"]


async def test_claim(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2", "3"]), group("scan", ["4"], 9))
    epoch = await stores.join()
    await stores.settle(epoch, other((await stores.claim(epoch, 1))[0], "retry", 0))
    first = await stores.tasks.claim(0, epoch, 77, ["scan"], 3)

    async def again() -> object:
        return await stores.tasks.claim(0, epoch, 77, ["scan"], 3)

    second = await unchanged(stores, again)
    assert {lease.task_id: lease.fence for lease in first.leases} == {
        lease.task_id: lease.fence for lease in getattr(second, "leases", ())
    }
    assert len(first.leases) == 3


async def test_claim_that_brought_nothing_brings_nothing_again_and_the_next_number_what_came_meanwhile(
    stores: Stores,
) -> None:
    epoch = await stores.join()
    assert (await stores.tasks.claim(0, epoch, 5, ["scan"], 3)).leases == []
    await stores.put(group("scan", ["1"]))
    for number, count in ((5, 0), (4, 0), (6, 1), (6, 1), (5, 0)):
        assert len((await stores.tasks.claim(0, epoch, number, ["scan"], 3)).leases) == count


async def test_claim_whose_tasks_are_settled_already_brings_none_of_them(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2", "3"]))
    epoch = await stores.join()
    leases = (await stores.tasks.claim(0, epoch, 77, ["scan"], 2)).leases
    await stores.settle(epoch, *(end(lease) for lease in leases))
    assert (await stores.tasks.claim(0, epoch, 77, ["scan"], 2)).leases == []


async def test_settle_of_every_kind_at_once(stores: Stores) -> None:
    await stores.put(group("scan", [str(at) for at in range(8)]))
    epoch = await stores.join()
    leases = await stores.claim(epoch, 8)
    gone = record("6", CANCELLED)
    await stores.tasks.cancel("6", ["scan"], gone, KEEP)
    items = [
        end(leases[0]), end(leases[1], status=TaskStatus.FAILED), end(leases[2], status=CANCELLED),
        other(leases[3], "retry", 0), other(leases[4], "retry", HOUR_MS), other(leases[5], "back"),
        other(leases[6], "back"), other(leases[7], "crash"),
    ]  # fmt: skip
    first = await stores.tasks.settle(0, epoch, 500, items, KEEP)
    assert first == ([], [items[6]])
    assert await unchanged(stores, lambda: stores.tasks.settle(0, epoch, 500, items, KEEP)) == first


async def test_settle_that_was_refused(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    epoch = await stores.join()
    (lease,) = await stores.claim(epoch)
    await stores.settle(epoch, end(lease))
    late = [end(lease), other(lease, "retry", 0)]
    first = await stores.tasks.settle(0, epoch, 500, late, KEEP)
    assert first == (late, [])
    assert await unchanged(stores, lambda: stores.tasks.settle(0, epoch, 500, late, KEEP)) == first


async def test_cancel_of_a_waiting_a_delayed_and_a_running_task(stores: Stores) -> None:
    await stores.put(group("scan", ["run"]))
    epoch = await stores.join()
    await stores.claim(epoch)
    await stores.put(group("scan", ["wait"]), group("scan", ["delay"], when="+50000"))
    for task_id, first, second in [
        ("wait", "cancelled", "finished"), ("delay", "cancelled", "finished"), ("run", "asked", "asked"),
    ]:  # fmt: skip
        gone = record(task_id, CANCELLED)
        assert await stores.tasks.cancel(task_id, ["scan"], gone, KEEP) == first

        async def again(task_id: str = task_id, gone: bytes = gone) -> str:
            return await stores.tasks.cancel(task_id, ["scan"], gone, KEEP)

        assert await unchanged(stores, again) == second


async def test_requeue(stores: Stores) -> None:
    await stores.put(group("scan", ["1"], 8))
    epoch = await stores.join()
    (lease,) = await stores.claim(epoch)
    await stores.settle(epoch, end(lease, status=TaskStatus.FAILED))
    assert await stores.tasks.requeue("1", "scan") == "pending"
    assert await unchanged(stores, lambda: stores.tasks.requeue("1", "scan")) == "active"
    assert (await stores.tasks.stats())[:4] == [1, 0, 0, 0]


async def test_take_back(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]))
    epoch = await stores.join()
    await stores.claim(epoch, 2)
    await stores.tasks.cancel("2", ["scan"], record("2", CANCELLED), KEEP)
    items = [ends_of(task_id, await stores.held(task_id)) for task_id in ("1", "2")]
    await stores.expire_lease(epoch)
    assert await stores.tasks.take_back(0, epoch, items, KEEP) == (1, 1)
    assert await unchanged(stores, lambda: stores.tasks.take_back(0, epoch, items, KEEP)) == (0, 0)


async def test_progress_and_a_refused_wish_to_note(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    (lease,) = await stores.claim(await stores.join())
    assert await stores.tasks.note([(lease, "progress", b"1")], HOUR_MS) == []
    assert await unchanged(stores, lambda: stores.tasks.note([(lease, "progress", b"1")], HOUR_MS)) == []


async def test_assign_to_a_node_and_back_and_where_it_stands(stores: Stores) -> None:
    lanes = PlacementStore(stores.link, stores.space)
    await stores.put(group(WAITING, ["1", "2", "3"]), group("scan", ["4"]))
    mine, given = own_lane("a"), Assignment("a", Requirements())
    for moves in (
        [Move(task_id, WAITING, mine, given) for task_id in ("1", "3")],
        [Move("4", "scan", mine, given), Move("4", "mail", mine, given)],
        [Move("1", mine, WAITING, Assignment("", Requirements()))],
    ):
        assert len(await lanes.move(0, moves)) == len({move.task_id for move in moves})
        assert await unchanged(stores, partial(lanes.move, 0, moves)) == []
    again = [Move("2", WAITING, WAITING, Assignment("", Requirements()))]
    assert await lanes.move(0, again) == again
    assert await unchanged(stores, lambda: lanes.move(0, again)) == again


async def test_looking_at_lanes_and_passing_a_token_on(stores: Stores) -> None:
    lanes = PlacementStore(stores.link, stores.space)
    await stores.put(group(WAITING, ["1", "2"]), group("scan", ["3"]), group(WAITING, ["4"], when="@1"))
    await stores.link.command("HDEL", stores.key("task"), "2")
    await lanes.waiting(0, WAITING, 0, 9)
    page = await unchanged(stores, lambda: lanes.waiting(0, WAITING, 0, 9))
    assert isinstance(page, Page)
    assert [task.task_id for task in page.tasks] == ["1", "4"]
    assert await unchanged(stores, lanes.ready) == {"scan": 1}
    assert await unchanged(stores, lanes.given) == {}
    assert await stores.take_token("scan")
    await lanes.pass_on(0, "scan")
    await unchanged(stores, lambda: lanes.pass_on(0, "scan"))
    await unchanged(stores, lambda: lanes.pass_on(0, "mail"))


async def test_recall(stores: Stores) -> None:
    lanes = PlacementStore(stores.link, stores.space)
    await stores.put(group(WAITING, ["1"]))
    await lanes.move(0, [Move("1", WAITING, own_lane("a"), Assignment("a", Requirements()))])
    assert await lanes.recall("a") == 1
    assert await unchanged(stores, lambda: lanes.recall("a")) == 0


async def test_budgets(stores: Stores) -> None:
    await stores.nodes.set_budgets({"a": 3, "b": 0}, HOUR_MS)
    await unchanged(stores, lambda: stores.nodes.set_budgets({"a": 3, "b": 0}, HOUR_MS))
    await stores.nodes.set_budgets({}, HOUR_MS)
    await unchanged(stores, lambda: stores.nodes.set_budgets({}, HOUR_MS))
    assert "0:budget" not in await stores.dump()


async def test_wait_and_unwait(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))

    async def wait() -> object:
        return await stores.tasks.wait(["1", "?"], "me", envelopes=False)

    first = await wait()
    assert first == {"1": (b"pending", b""), "?": (b"unknown", b"")}
    assert await unchanged(stores, wait) == first
    await stores.tasks.unwait(["1"], "me")
    await unchanged(stores, lambda: stores.tasks.unwait(["1"], "me"))


async def test_opening_and_ending_within_a_run(stores: Stores) -> None:
    await stores.put(group("scan", ["run.0", "run.1", "run.2", "other.0", "run.x"]))
    assert [await stores.joins.keep("run", HOUR_MS, opening=True) for _ in range(2)] == [0, 0]
    epoch = await stores.join()
    leases = await stores.claim(epoch, 5)
    items = [end(leases[0]), end(leases[1], status=TaskStatus.FAILED), end(leases[3]), end(leases[4])]
    await stores.tasks.settle(0, epoch, 500, items, KEEP)
    await unchanged(stores, lambda: stores.tasks.settle(0, epoch, 500, items, KEEP))
    assert await stores.joins.keep("run", HOUR_MS) == 2
    assert await stores.tasks.requeue("run.1", "scan") == "pending"
    await unchanged(stores, lambda: stores.tasks.requeue("run.1", "scan"))
    assert await stores.joins.keep("run", HOUR_MS) == 1
    await stores.tasks.cancel("run.1", ["scan"], record("run.1", CANCELLED), KEEP)
    assert await stores.joins.keep("run", HOUR_MS) == 2
    assert await stores.joins.keep("other", HOUR_MS) == 0


async def test_a_count_that_is_over_is_forgotten_and_not_begun_again_by_reading(stores: Stores) -> None:
    await stores.joins.keep("run", 0, opening=True)
    await stores.joins.keep("open", HOUR_MS, opening=True)
    assert await stores.tasks.forget_expired(10) == 1
    assert (await stores.dump())["0:join"] == {b"open": b"0"}
    assert await unchanged(stores, lambda: stores.joins.keep("run", HOUR_MS)) == 0


async def test_join_under_a_known_epoch(stores: Stores) -> None:
    runner = ScriptRunner(stores.link, stores.space)
    older = await stores.join("n")
    (epoch, fenced, _) = await runner.run(scripts.JOIN, 0, ["n", HOUR_MS, b"profile", 77])
    assert (epoch, fenced) == (b"77", str(older).encode())

    async def again() -> object:
        return await runner.run(scripts.JOIN, 0, ["n", HOUR_MS, b"profile", 77])

    await unchanged(stores, again)


@pytest.mark.parametrize("clean", [True, False])
async def test_leave_and_bury(stores: Stores, *, clean: bool) -> None:
    await stores.put(group("scan", ["1"]))
    epoch = await stores.join("n")
    (lease,) = await stores.claim(epoch)
    await stores.settle(epoch, end(lease))
    await stores.nodes.leave(epoch, "n", clean=clean)
    await unchanged(stores, lambda: stores.nodes.leave(epoch, "n", clean=clean))
    await stores.nodes.bury(0, epoch)
    await unchanged(stores, lambda: stores.nodes.bury(0, epoch))
    assert not {"0:lease", "0:last", "0:names", "0:profile"} & set(await stores.dump())


async def test_forgetting_purging_leading_and_resigning(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    epoch = await stores.join()
    (lease,) = await stores.claim(epoch)
    await stores.settle(epoch, end(lease, status=TaskStatus.FAILED))
    assert await stores.tasks.purge(0, ["1"]) == 1
    assert await unchanged(stores, lambda: stores.tasks.purge(0, ["1"])) == 0
    assert await unchanged(stores, lambda: stores.tasks.forget_expired(10)) == 0
    leading = await stores.nodes.lead("a", HOUR_MS)
    assert await unchanged(stores, lambda: stores.nodes.lead("a", HOUR_MS)) == leading
    await stores.nodes.resign("a")
    await unchanged(stores, lambda: stores.nodes.resign("a"))


async def test_a_heartbeat(stores: Stores) -> None:
    epoch = await stores.join("n")
    call = stores.nodes.renewal(0, epoch, "n", HOUR_MS, NodeLoad(), may_reap=False)
    first = await stores.link.evaluate(call.source, call.keys, call.args)
    second = await stores.link.evaluate(call.source, call.keys, call.args)
    assert (first[0], first[2:]) == (second[0], second[2:])
    assert [node.epoch for node in await stores.nodes.all()] == [epoch]
    assert NodeProfile(name="n") == (await stores.nodes.all())[0].profile
