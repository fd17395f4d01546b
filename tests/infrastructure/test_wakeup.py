"""Waiting for a token instead of polling."""

from __future__ import annotations

import asyncio

import pytest

from tests.hives import until_so
from tests.servers import PrivateServer
from tests.stores import Stores, group
from venom_core.config import Settings
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure import wakeup
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.wakeup import WakeLists


async def test_who_blocks_is_woken_by_work_and_told_of_which_type(stores: Stores) -> None:
    waiting = asyncio.ensure_future(WakeLists(stores.link).pop(stores.tasks.wake_keys(["mail", "scan"]), 10))

    async def blocked() -> bool:
        return b"cmd=blpop" in await stores.link.command("CLIENT", "LIST")

    await until_so(blocked)
    await stores.put(group("scan", ["1"]))
    assert await waiting == stores.tasks.wake_keys(["scan"])[0]


async def test_nothing_to_do_is_none_after_the_time_and_never_blocks_for_ever(stores: Stores) -> None:
    lists = WakeLists(stores.link)
    assert await lists.pop(stores.tasks.wake_keys(["scan"]), 0.001) is None
    assert await lists.pop(stores.tasks.wake_keys(["scan"]), 1e-9) is None


async def test_the_longest_block_is_bounded(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "BLOCK_S_MAX", 0.05)
    assert await WakeLists(stores.link).pop(stores.tasks.wake_keys(["scan"]), 1e9) is None


async def test_one_token_wakes_one(stores: Stores) -> None:
    keys = stores.tasks.wake_keys(["scan"])
    await stores.put(group("scan", ["1", "2"]))
    first, second = await asyncio.gather(*(WakeLists(stores.link).pop(keys, 0.05) for _ in range(2)))
    assert sorted([first is None, second is None]) == [False, True]


async def test_several_who_block_on_one_line_take_turns(stores: Stores) -> None:
    lists, keys = WakeLists(stores.link), stores.tasks.wake_keys(["scan"])
    await stores.put(group("scan", ["1"]))
    answers = await asyncio.gather(*(lists.pop(keys, 0.02) for _ in range(3)))
    assert sum(answer is not None for answer in answers) == 1


async def test_a_lost_connection_ends_the_blocking_and_is_made_anew(private_server: PrivateServer) -> None:
    async with RedisLink(Settings.load(redis_url=private_server.url)) as link:
        lists = WakeLists(link)
        blocked = asyncio.ensure_future(lists.pop([b"list"], 10))

        async def blocking() -> bool:
            return b"cmd=blpop" in await link.command("CLIENT", "LIST")

        await until_so(blocking)
        private_server.kill()
        with pytest.raises(StoreUnavailable):
            await blocked
        private_server.restart()
        await link.command("RPUSH", "list", "1")
        assert await lists.pop([b"list"], 10) == b"list"
