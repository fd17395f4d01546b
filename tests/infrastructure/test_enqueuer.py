"""Single enqueues of one moment share a round trip, and each caller gets its own answer."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator

import pytest

from tests.hives import until
from tests.servers import PrivateServer
from tests.stores import Stores, envelope
from venom_core.config import Settings
from venom_core.errors import QueueFull, StoreUnavailable
from venom_core.infrastructure import enqueuer as module
from venom_core.infrastructure.enqueuer import Enqueuer
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink


@pytest.fixture
async def alone(private_server: PrivateServer) -> AsyncIterator[Stores]:
    """A hive on a server of its own, whose calls can be counted and whose connections can be cut."""
    namespace = f"e{uuid.uuid4().hex[:8]}"
    async with RedisLink(Settings.load(redis_url=private_server.url, hive_namespace=namespace)) as link:
        yield Stores(link, Keyspace(namespace, 1))


def submit(
    sender: Enqueuer, task_id: str, text: str = "", task_type: str = "scan", level: int = 2
) -> asyncio.Task[object]:
    return asyncio.ensure_future(sender.submit(task_type, level, "now", task_id, envelope(task_id, level, text)))


async def script_calls(stores: Stores) -> int:
    stats = (await stores.link.command("INFO", "commandstats")).decode()
    lines = [line for line in stats.splitlines() if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:"))]
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)


async def test_a_thousand_at_once_travel_in_three_calls(alone: Stores) -> None:
    sender = Enqueuer(alone.tasks, 10_000)
    await sender.submit("scan", 2, "now", "warm", envelope("warm", 2))
    before = await script_calls(alone)
    answers = await asyncio.gather(*(submit(sender, f"t{at:04}") for at in range(1_001)))
    assert answers == [None] * 1_001
    assert await script_calls(alone) - before == 3
    assert (await alone.tasks.stats())[1] == 1_002


async def test_what_gathers_while_a_call_is_under_way_leaves_with_the_next_in_its_order(alone: Stores) -> None:
    sender = Enqueuer(alone.tasks, 10_000)
    await sender.submit("scan", 2, "now", "warm", envelope("warm", 2))
    before = await script_calls(alone)
    first = submit(sender, "a0")
    await asyncio.sleep(0)
    later = [submit(sender, f"b{at}") for at in range(9, -1, -1)]
    await asyncio.gather(first, *later)
    assert await script_calls(alone) - before == 2
    leases = await alone.claim(await alone.join(), 20)
    assert [lease.task_id for lease in leases] == ["warm", "a0", *(f"b{at}" for at in range(9, -1, -1))]


async def in_company(stores: Stores, queued_max: int) -> Enqueuer:
    """One whose last callers were several, so that the next ones all leave together; its line is open."""
    sender = Enqueuer(stores.tasks, queued_max)
    await asyncio.gather(*(submit(sender, f"warm{at}", task_type="warm") for at in range(3)))
    return sender


async def test_who_is_alone_sends_at_once_and_those_who_come_meanwhile_leave_together(alone: Stores) -> None:
    sender = Enqueuer(alone.tasks, 10_000)
    await submit(sender, "warm")
    groups = (["a0"], 1), (["b0"], 1), (["c0", "c1", "c2"], 2), (["d0", "d1", "d2"], 1), (["e0"], 1), (["f0"], 1)
    for group, calls in (*groups, (["g0", "g1"], 2), (["h0", "h1"], 1), (["i0", "i1"], 1)):
        before = await script_calls(alone)
        await asyncio.gather(*(submit(sender, task_id) for task_id in group))
        assert await script_calls(alone) - before == calls, group
    leases = await alone.claim(await alone.join(), 20)
    expected = ["warm", "a0", "b0", "c0", "c1", "c2", "d0", "d1", "d2", "e0", "f0", "g0", "g1", "h0", "h1", "i0", "i1"]
    assert [lease.task_id for lease in leases] == expected


async def test_who_is_alone_hands_over_to_no_other_asyncio_task(alone: Stores) -> None:
    sender = Enqueuer(alone.tasks, 10_000)
    await submit(sender, "warm")
    tasks = asyncio.all_tasks()
    one = submit(sender, "1")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() - tasks == {one}
    assert await one is None


async def test_different_types_levels_and_moments_share_a_call(alone: Stores) -> None:
    sender = await in_company(alone, 10_000)
    before = await script_calls(alone)
    await asyncio.gather(
        submit(sender, "1"),
        submit(sender, "2", task_type="mail"),
        submit(sender, "3", level=9),
        sender.submit("scan", 2, "+60000", "4", envelope("4", 2)),
    )
    assert await script_calls(alone) - before == 1
    assert (await alone.tasks.stats())[:2] == [1, 6]


async def test_large_envelopes_are_spread_over_calls(alone: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_BYTES_MAX", 250)
    sender = await in_company(alone, 10_000)
    before = await script_calls(alone)
    await asyncio.gather(*(submit(sender, str(at), "x" * 100) for at in range(4)), submit(sender, "huge", "x" * 1_000))
    assert await script_calls(alone) - before == 3


async def test_the_same_id_twice_in_one_moment_is_judged_one_after_the_other(stores: Stores) -> None:
    sender = Enqueuer(stores.tasks, 10_000)
    same, again, changed = submit(sender, "1", "a"), submit(sender, "1", "a"), submit(sender, "1", "b")
    neighbour = submit(sender, "2")
    answers = await asyncio.gather(same, again, changed, neighbour)
    assert list(answers) == [None, None, envelope("1", 2, "a"), None]
    assert (await stores.tasks.stats())[1] == 2


async def test_a_refusal_reaches_every_caller_of_its_call_and_nobody_else(stores: Stores) -> None:
    sender = await in_company(stores, 5)
    refused = await asyncio.gather(*(submit(sender, str(at)) for at in range(3)), return_exceptions=True)
    assert [type(fault) for fault in refused] == [QueueFull] * 3
    assert await submit(sender, "alone") is None


async def test_a_caller_that_gives_up_disturbs_nobody(stores: Stores) -> None:
    sender = Enqueuer(stores.tasks, 100)
    given_up, patient = submit(sender, "1"), submit(sender, "2")
    await asyncio.sleep(0)
    given_up.cancel()
    assert await patient is None
    assert given_up.cancelled()


async def test_a_lone_caller_that_gives_up_holds_up_nobody(alone: Stores, private_server: PrivateServer) -> None:
    sender = Enqueuer(alone.tasks, 100)
    await submit(sender, "warm")
    given_up, *patient = await held_up(alone, private_server, sender)
    given_up.cancel()
    with private_server.client() as client:
        client.execute_command("CLIENT", "UNPAUSE")
    assert await asyncio.gather(*patient) == [None]
    assert given_up.cancelled()
    assert await submit(sender, "3") is None


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_closing_waits_for_what_was_submitted(stores: Stores, count: int) -> None:
    sender = Enqueuer(stores.tasks, 100)
    await sender.close()
    submitted = [submit(sender, str(at)) for at in range(count)]
    await asyncio.sleep(0)
    await sender.close()
    assert (await stores.tasks.stats())[1] == count
    assert await asyncio.gather(*submitted) == [None] * count


@pytest.mark.parametrize("company", [True, False])
async def test_who_closes_and_gives_up_leaves_what_was_submitted_alone(
    alone: Stores, private_server: PrivateServer, company: bool
) -> None:
    sender = await in_company(alone, 100) if company else Enqueuer(alone.tasks, 100)
    if not company:
        await submit(sender, "warm")
    waiting = await held_up(alone, private_server, sender)
    closing = asyncio.ensure_future(sender.close())
    await asyncio.sleep(0)
    closing.cancel()
    with private_server.client() as client:
        client.execute_command("CLIENT", "UNPAUSE")
    assert await asyncio.gather(*waiting) == [None, None]
    assert closing.cancelled()


async def held_up(alone: Stores, private_server: PrivateServer, sender: Enqueuer) -> list[asyncio.Task[object]]:
    """Enqueues whose call has reached a server that does not execute it yet."""
    with private_server.client() as client:
        client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        waiting = [submit(sender, "1"), submit(sender, "2")]
        await asyncio.sleep(0)

        def arrived() -> bool:
            listed = str(client.execute_command("CLIENT", "LIST"))
            return re.search(r"flags=b\S* [^\\]*cmd=evalsha", listed) is not None

        await until(arrived)
    return waiting


async def test_a_connection_lost_in_the_middle_is_tried_again(alone: Stores, private_server: PrivateServer) -> None:
    sender = Enqueuer(alone.tasks, 100)
    await submit(sender, "warm")
    waiting = await held_up(alone, private_server, sender)
    with private_server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        client.execute_command("CLIENT", "UNPAUSE")
    assert await asyncio.gather(*waiting) == [None, None]
    assert (await alone.tasks.stats())[1] == 3


async def test_a_server_that_stays_away_is_told_to_every_caller(
    alone: Stores, private_server: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    sender = Enqueuer(alone.tasks, 100)
    private_server.kill()
    faults = await asyncio.gather(submit(sender, "1"), submit(sender, "2"), return_exceptions=True)
    assert [type(fault) for fault in faults] == [StoreUnavailable] * 2


async def test_a_sender_that_is_cancelled_tells_its_callers(alone: Stores, private_server: PrivateServer) -> None:
    sender = await in_company(alone, 100)
    waiting = await held_up(alone, private_server, sender)
    assert sender._sender is not None
    sender._sender.cancel()
    faults = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(fault) for fault in faults] == [StoreUnavailable] * 2


async def test_a_sender_that_is_cancelled_before_its_first_step_loses_nothing(alone: Stores) -> None:
    sender = await in_company(alone, 100)
    waiting = [submit(sender, "1"), submit(sender, "2")]
    await asyncio.sleep(0)
    assert sender._sender is not None
    sender._sender.cancel()
    await asyncio.wait([sender._sender])
    last = submit(sender, "3")
    assert await asyncio.gather(*waiting, last) == [None] * 3
    leases = await alone.claim(await alone.join(), 20)
    assert [lease.task_id for lease in leases][-3:] == ["1", "2", "3"]


async def test_closing_sends_what_a_cancelled_sender_left(alone: Stores) -> None:
    sender = await in_company(alone, 100)
    waiting = submit(sender, "1")
    await asyncio.sleep(0)
    assert sender._sender is not None
    sender._sender.cancel()
    await asyncio.wait([sender._sender])
    await sender.close()
    assert waiting.done()
    assert await waiting is None
    await sender.close()
