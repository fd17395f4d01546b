from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.hives import ended, until
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.payload import decode, encode
from venom_core.domain.task import NOTHING, Outcome, seal_outcome
from venom_core.errors import StoreUnavailable
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.task_records import Lease, Settlement
from venom_spore import outbox as outbox_module
from venom_spore.outbox import Outbox


class Desk:
    """An outbox at work for tasks that a hand-written loop has claimed."""

    def __init__(self, broker: MessageBroker) -> None:
        self.broker = broker
        self.refused: list[str] = []
        self.outbox = Outbox(broker.hive.tasks, broker.hive.keep, self._refused, self._asked)

    def _refused(self, item: Settlement) -> None:
        self.refused.append(item.lease.task_id)

    def _asked(self, item: Settlement) -> Settlement:
        return self.end(item.lease, TaskStatus.CANCELLED)

    async def claim(self, count: int) -> list[Lease]:
        ids = await self.broker.enqueue_many("echo", [{}] * count)
        for _ in ids:
            assert await self.broker.next_task(["echo"], timeout=5)
        consumer = self.broker._consumer
        assert consumer is not None
        self.outbox.epoch = consumer._keeper.epoch
        return [consumer._held[task_id][0] for task_id in ids]

    def end(self, lease: Lease, status: TaskStatus = TaskStatus.COMPLETED, note: str = "") -> Settlement:
        outcome = Outcome("desk", 1, 0, 1, 2, NOTHING, note or None)
        return Settlement(lease, "echo", "end", seal_outcome(self.broker.hive.seal, lease.task_id, status, outcome))


@pytest.fixture
async def desk(broker: MessageBroker) -> AsyncIterator[Desk]:
    made = Desk(broker)
    sender = asyncio.create_task(made.outbox.run())
    yield made
    await end_tasks(sender)


async def test_what_gathers_leaves_together_and_in_parts_of_bounded_size(
    desk: Desk, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "ITEMS_PER_CALL_MAX", 7)
    for lease in await desk.claim(20):
        desk.outbox.settle(desk.end(lease))
    await desk.outbox.drained()
    assert (await broker.get_queue_stats())["tasks_completed"] == 20
    assert desk.refused == []
    assert desk.outbox._number == 3


async def test_large_results_are_sent_in_calls_of_bounded_bytes(
    desk: Desk, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "CALL_BYTES_MAX", 2_500)
    for lease in await desk.claim(5):
        desk.outbox.settle(desk.end(lease, note="x" * 1_000))
    await desk.outbox.drained()
    assert (await broker.get_queue_stats())["tasks_completed"] == 5
    assert desk.outbox._number == 3


async def test_one_result_larger_than_a_call_still_goes(
    desk: Desk, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "CALL_BYTES_MAX", 10)
    for lease in await desk.claim(2):
        desk.outbox.settle(desk.end(lease, note="x" * 1_000))
    await desk.outbox.drained()
    assert (await broker.get_queue_stats())["tasks_completed"] == 2


async def test_the_end_of_a_task_that_is_not_held_any_more_is_refused(desk: Desk) -> None:
    (lease,) = await desk.claim(1)
    desk.outbox.settle(desk.end(lease))
    await desk.outbox.drained()
    desk.outbox.settle(desk.end(lease))
    await desk.outbox.drained()
    assert desk.refused == [lease.task_id]


async def test_a_task_that_somebody_wants_cancelled_is_not_put_back(desk: Desk, broker: MessageBroker) -> None:
    (lease,) = await desk.claim(1)
    assert await broker.cancel_task(lease.task_id)
    desk.outbox.settle(Settlement(lease, "echo", "retry", 0))
    assert (await ended(broker, lease.task_id)).status == "cancelled"


async def test_progress_of_a_task_that_is_lost_is_refused_and_nothing_else_is(
    desk: Desk, broker: MessageBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    kept, lost = await desk.claim(2)
    await broker.update_task_status(lost.task_id, "pending")
    desk.outbox.progress(lost, b"\x92\xcb?\xe0\x00\x00\x00\x00\x00\x00\xa0")
    desk.outbox.emit(lost, b"\x01")
    desk.outbox.emit(kept, b"\x02")
    await desk.outbox.drained()
    assert caplog.text.count(f"progress of {lost.task_id} refused") == 2
    task = await broker.get_task_status(lost.task_id)
    assert task is not None
    assert task.progress is None
    assert await broker.hive.tasks.partials(kept.task_id, 0) == [(0, b"\x02")]


async def test_a_result_waits_for_a_store_that_is_away_and_a_note_is_dropped(
    desk: Desk, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (lease,) = await desk.claim(1)
    settle = broker.hive.tasks.settle
    failures = [StoreUnavailable("away")] * 2

    async def away(*arguments: object, **named: object) -> object:
        if failures:
            raise failures.pop()
        return await settle(*arguments, **named)  # type: ignore[arg-type]  # passed on as it came

    async def gone(*_: object) -> object:
        raise StoreUnavailable("away")

    monkeypatch.setattr(broker.hive.tasks, "settle", away)
    monkeypatch.setattr(broker.hive.tasks, "note", gone)
    desk.outbox.emit(lease, b"\x01")
    desk.outbox.settle(desk.end(lease))
    await desk.outbox.drained()
    assert (await ended(broker, lease.task_id)).status == "completed"
    assert caplog.text.count("results wait for Redis") == 1
    assert "1 progress notes were not stored" in caplog.text


async def test_what_belongs_to_a_lost_lease_is_forgotten(broker: MessageBroker) -> None:
    desk = Desk(broker)
    (lease,) = await desk.claim(1)
    desk.outbox.settle(desk.end(lease))
    desk.outbox.emit(lease, b"\x01")
    desk.outbox.forget()
    sender = asyncio.create_task(desk.outbox.run())
    await desk.outbox.drained()
    await end_tasks(sender)
    assert (await broker.get_queue_stats())["tasks_running"] == 1


async def test_it_is_idle_until_something_is_reported(desk: Desk) -> None:
    (lease,) = await desk.claim(1)
    await desk.outbox.drained()
    desk.outbox.settle(desk.end(lease))
    waiting = asyncio.create_task(desk.outbox.drained())
    await until(waiting.done)


async def test_partial_results_that_are_made_too_fast_are_dropped_and_the_others_sent_in_calls_of_bounded_bytes(
    desk: Desk, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox_module, "NOTES_BYTES_MAX", 50)
    monkeypatch.setattr(outbox_module, "CALL_BYTES_MAX", 25)
    (lease,) = await desk.claim(1)
    for number in range(9):
        desk.outbox.emit(lease, encode("x" * 8 + str(number), "partial", 100))
    await desk.outbox.drained()
    found = [decode(data) for _, data in await broker.hive.tasks.partials(lease.task_id, 0)]
    assert found == [f"xxxxxxxx{number}" for number in range(5)]
    assert caplog.text.count("made faster than Redis takes them") == 1
    desk.outbox.emit(lease, encode("later", "partial", 100))
    await desk.outbox.drained()
    assert len(await broker.hive.tasks.partials(lease.task_id, 0)) == 6


async def test_an_end_is_held_until_it_is_acknowledged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "ITEMS_PER_CALL_MAX", 1)
    leases = await desk.claim(2)
    first, second = ((lease.task_id, lease.fence) for lease in leases)
    seen: list[set[tuple[str, str]]] = []
    desk.outbox._on_refused = lambda _: seen.append(desk.outbox.unsent())
    for lease in (*leases, *leases):
        desk.outbox.settle(desk.end(lease))
    assert desk.outbox.unsent() == {first, second}
    await desk.outbox.drained()
    # The second report of each is refused: while the answer is heard that call still counts as under way.
    assert seen == [{first, second}, {second}]
    assert desk.outbox.unsent() == set()
