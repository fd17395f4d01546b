"""Delayed tasks become ready by themselves, and whoever waits is woken without a herd."""

from __future__ import annotations

from tests.stores import HOUR_MS, KEEP, Stores, end, group, other, record
from venom_core.domain.lifecycle import TaskStatus
from venom_core.infrastructure.task_records import Batch
from venom_core.infrastructure.task_store import ANY_TYPE
from venom_core.infrastructure.wakeup import WakeLists

PROMOTE_MAX = 200


async def claimed(stores: Stores, epoch: int, count: int = 1, woken: str = "", watched: str = "") -> Batch:
    stores.numbers += 1
    return await stores.tasks.claim(0, epoch, stores.numbers, ["scan"], count, (woken, watched))


async def test_a_delayed_task_is_not_claimed_before_its_time(stores: Stores) -> None:
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    batch = await claimed(stores, await stores.join())
    assert batch.leases == []
    assert HOUR_MS - 10_000 < batch.wait_ms <= HOUR_MS
    assert batch.watched == "scan"


async def test_a_delay_ends_by_the_clock_of_redis(stores: Stores) -> None:
    epoch = await stores.join()
    await stores.put(group("scan", ["1"], when="+50"))
    batch = await claimed(stores, epoch)
    assert 0 <= batch.wait_ms <= 50
    wake = WakeLists(stores.link)
    while not batch.leases:
        await wake.pop([b"{%b:0}:nobody" % stores.space.namespace.encode()], max(batch.wait_ms, 1) / 1000)
        batch = await claimed(stores, epoch)
    assert batch.leases[0].task_id == "1"


async def test_a_moment_that_has_passed_means_now(stores: Stores) -> None:
    await stores.put(group("scan", ["1"], when="@1"), group("scan", ["2"], when="+0"))
    assert [lease.task_id for lease in await stores.claim(await stores.join(), 5)] == ["1", "2"]


async def test_what_is_due_lines_up_in_the_order_of_its_moments_within_its_level(stores: Stores) -> None:
    for task_id, level, when in [("c", 2, "@4000000000003"), ("a", 2, "@4000000000001"), ("b", 9, "@4000000000002")]:
        await stores.put(group("scan", [task_id], level, when))
    await stores.put(group("scan", ["d"]))
    await stores.make_due("scan")
    assert [lease.task_id for lease in await stores.claim(await stores.join(), 9)] == ["b", "d", "a", "c"]


async def test_promotion_goes_in_bounded_steps_and_loses_nothing(stores: Stores) -> None:
    ids = [f"{at:04}" for at in range(2 * PROMOTE_MAX + 50)]
    await stores.put(group("scan", ids, when=f"+{HOUR_MS}"))
    await stores.make_due("scan")
    epoch, sizes, got = await stores.join(), [], []
    later = stores.space.type_keys(0, "scan")[1]
    for _ in range(3):
        got += [lease.task_id for lease in await stores.claim(epoch, 10)]
        sizes.append(await stores.link.command("ZCARD", later))
    assert sizes == [PROMOTE_MAX + 50, 50, 0]
    while batch := await stores.claim(epoch, 500):
        got += [lease.task_id for lease in batch]
    assert sorted(got) == ids
    assert not {"0:due", "0:later:scan", "0:watch"} & set(await stores.dump())


async def test_one_node_watches_a_type_and_the_others_need_not_wake(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    assert (await claimed(stores, first)).wait_ms > 0
    assert (await claimed(stores, second)).wait_ms == -1
    assert (await claimed(stores, first)).wait_ms > 0


async def test_an_earlier_delay_gets_a_watcher_of_its_own(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    await claimed(stores, first)
    await stores.put(group("scan", ["2"], when="+60000"))
    assert 0 < (await claimed(stores, second)).wait_ms <= 60_000


async def test_a_watcher_that_found_work_passes_the_watch_on(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["late"], when=f"+{HOUR_MS}"))
    await claimed(stores, first)
    await stores.put(group("scan", ["1"]))
    await stores.take_token("scan")
    assert len((await claimed(stores, first, woken="scan", watched="scan")).leases) == 1
    assert await stores.take_token("scan")
    assert (await claimed(stores, second, woken="scan")).wait_ms > 0


async def test_a_watcher_that_slept_too_long_is_replaced(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    await stores.link.command("HSET", stores.key("watch"), "scan", f"{first}:1000")
    assert (await claimed(stores, second)).wait_ms > 0


async def test_a_watcher_that_gives_up_wakes_another_to_take_its_place(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    await claimed(stores, first)
    await stores.take_token("scan")
    await stores.tasks.unwatch(0, second, ["scan"])
    assert not await stores.take_token("scan")
    await stores.tasks.unwatch(0, first, ["scan"])
    assert await stores.take_token("scan")
    assert (await claimed(stores, second, woken="scan")).wait_ms > 0


async def test_no_watch_is_left_when_the_last_delayed_task_is_cancelled(stores: Stores) -> None:
    epoch = await stores.join()
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    await claimed(stores, epoch)
    assert "0:watch" in await stores.dump()
    await stores.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP)
    assert not {"0:due", "0:later:scan", "0:watch"} & set(await stores.dump())


async def test_cancelling_the_earliest_leaves_the_next(stores: Stores) -> None:
    await stores.put(group("scan", ["1"], when="@4000000000000"), group("scan", ["2"], when="@4000000000009"))
    await stores.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP)
    assert (await stores.dump())["0:due"] == {b"scan": 4000000000009}


async def test_a_hundred_tasks_leave_one_token_a_type_and_one_for_any(stores: Stores) -> None:
    await stores.put(*(group("scan", [str(at)]) for at in range(100)), group("mail", ["m"]))
    assert [await stores.tokens(name) for name in ("scan", "mail", ANY_TYPE)] == [1, 1, 1]


async def test_who_was_woken_and_leaves_work_behind_wakes_the_next(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]))
    epoch = await stores.join()
    assert await stores.take_token("scan")
    await claimed(stores, epoch, 1, woken="scan")
    assert await stores.take_token("scan")
    await claimed(stores, epoch, 1, woken="scan")
    assert not await stores.take_token("scan")


async def test_who_was_woken_by_the_token_of_any_type_wakes_the_next(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]), group("mail", ["2"]))
    epoch = await stores.join()
    assert await stores.take_token(ANY_TYPE)
    await claimed(stores, epoch, 5, woken=ANY_TYPE)
    assert await stores.take_token(ANY_TYPE)


async def test_a_token_without_work_does_not_stay(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    await stores.claim(await stores.join(), 5)
    assert await stores.tokens("scan") == 0


async def test_what_comes_back_wakes_somebody(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2", "3"]))
    epoch = await stores.join()
    first, second, third = await stores.claim(epoch, 3)
    await stores.take_token(ANY_TYPE)
    for item in (other(first, "back"), other(second, "retry", 0), other(third, "retry", HOUR_MS)):
        await stores.settle(epoch, item)
        assert await stores.take_token("scan")
        assert await stores.take_token(ANY_TYPE)


async def test_what_is_requeued_wakes_somebody(stores: Stores) -> None:
    await stores.put(group("scan", ["1"]))
    epoch = await stores.join()
    await stores.settle(epoch, end((await stores.claim(epoch))[0], status=TaskStatus.FAILED))
    await stores.take_token(ANY_TYPE)
    await stores.tasks.requeue("1", "scan")
    assert await stores.take_token("scan")
    assert await stores.take_token(ANY_TYPE)


async def test_the_lists_to_block_on_are_those_of_every_partition(split: Stores) -> None:
    keys = split.tasks.wake_keys(["scan", ANY_TYPE])
    tag = split.space.namespace.encode()
    assert keys == [b"{%b:%d}:%b" % (tag, k, name) for k in range(4) for name in (b"wake:scan", b"wake")]


async def test_the_open_types_are_those_ready_then_those_delayed(stores: Stores) -> None:
    await stores.put(
        group("low", ["1"], 1), group("high", ["2"], 9), group("late", ["3"], when=f"+{HOUR_MS}"), group("low", ["4"])
    )
    assert await stores.tasks.open_types(0, 10) == ["high", "low", "late"]
    assert await stores.tasks.open_types(0, 2) == ["high", "low"]


async def test_where_a_pending_task_stands_is_known(stores: Stores) -> None:
    await stores.put(group("scan", ["1", "2"]), group("scan", ["3"], when="@4000000000000"))
    assert (await stores.tasks.place("2", "scan"))[1:] == (1, -1, 2)
    now_ms, rank, due, length = await stores.tasks.place("3", "scan")
    assert (rank, due, length) == (-1, 4_000_000_000_000, 2)
    assert 1_700_000_000_000 < now_ms < due


async def test_the_token_of_a_delayed_task_goes_with_it(stores: Stores) -> None:
    await stores.put(group("scan", ["1"], when="+60000"))
    assert await stores.tokens("scan") == 1
    await stores.tasks.cancel("1", ["scan"], record("1", TaskStatus.CANCELLED), KEEP)
    assert await stores.tokens("scan") == 0


async def told(stores: Stores, epoch: int, *types: str, count: int = 1, watched: str = "") -> tuple[int, str]:
    """What a node that is about to sleep is told: ms until it is to wake, and which type it watches."""
    stores.numbers += 1
    batch = await stores.tasks.claim(0, epoch, stores.numbers, types, count, ("", watched))
    assert batch.leases == []
    return batch.wait_ms, batch.watched


async def test_who_watches_goes_on_doing_so_though_another_watches_an_earlier_type(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["late"], when=f"+{HOUR_MS}"))
    assert (await told(stores, first, "mail", "scan"))[1] == "scan"
    await stores.put(group("mail", ["early"], when="+60000"))
    assert (await told(stores, second, "mail", "scan"))[1] == "mail"
    wait_ms, watched = await told(stores, first, "mail", "scan", watched="scan")
    assert watched == "scan"
    assert wait_ms > 60_000


async def test_a_type_that_nobody_watches_is_watched_though_an_earlier_one_is_watched_by_another(
    stores: Stores,
) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("mail", ["early"], when="+60000"), group("scan", ["late"], when=f"+{HOUR_MS}"))
    assert (await told(stores, first, "mail"))[1] == "mail"
    assert (await told(stores, second, "mail", "scan"))[1] == "scan"


async def test_a_watcher_without_a_lease_is_not_believed(stores: Stores) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    await stores.put(group("scan", ["1"], when=f"+{HOUR_MS}"))
    await claimed(stores, first)
    await stores.link.command("ZADD", stores.key("lease"), "XX", 1, first)
    assert (await claimed(stores, second)).watched == "scan"


async def test_a_watcher_that_got_all_it_wanted_wakes_somebody_for_each_type_that_it_would_have_looked_at(
    stores: Stores,
) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    types = ("mail", "page", "scan")
    await stores.put(*(group(name, [name], when=f"+{at}") for at, name in enumerate(types, 60_000)))
    assert (await told(stores, first, *types))[1] == "mail"
    assert (await told(stores, second, "page"))[1] == "page"
    await stores.put(group("mail", ["now"]))
    for name in types:
        await stores.take_token(name)
    assert len(await stores.claim(first, 1, types)) == 1
    assert [await stores.tokens(name) for name in types] == [1, 0, 1]
    assert (await told(stores, second, "mail", "scan"))[1] == "mail"


async def test_a_watcher_that_leaves_wakes_somebody_for_each_type_that_it_would_have_looked_at(
    stores: Stores,
) -> None:
    first, second = await stores.join("a"), await stores.join("b")
    types = ("mail", "scan")
    await stores.put(group("mail", ["1"], when="+60000"), group("scan", ["2"], when=f"+{HOUR_MS}"))
    assert (await told(stores, first, *types))[1] == "mail"
    for name in (*types, ANY_TYPE):
        await stores.take_token(name)
    await stores.tasks.unwatch(0, second, types)
    assert [await stores.tokens(name) for name in types] == [0, 0]
    await stores.tasks.unwatch(0, first, types)
    assert [await stores.tokens(name) for name in (*types, ANY_TYPE)] == [1, 1, 1]
    assert "0:watch" not in await stores.dump()


async def test_who_is_given_once_more_what_it_claimed_looks_again_before_it_sleeps(stores: Stores) -> None:
    epoch = await stores.join()
    await stores.put(group("scan", ["1"]), group("scan", ["late"], when=f"+{HOUR_MS}"))
    first = await stores.tasks.claim(0, epoch, 7, ["scan"], 5)
    again = await stores.tasks.claim(0, epoch, 7, ["scan"], 5)
    assert first.wait_ms > 0
    assert [lease.task_id for lease in again.leases] == ["1"]
    assert again.wait_ms == 0
