"""`MessageBroker`: the door through which callers enqueue tasks, follow them and give orders.

It holds no truth of its own: every answer is read from Redis, so any number of processes see the same.
The work is done by the rooms beside it (`enqueuer`, `result_waiter`, `consumer`); this file names it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio.client import PubSub

from venom_core.clock import Clock, to_naive_local, to_utc
from venom_core.config import Settings
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.order import Order, write_order
from venom_core.domain.payload import Encoded, decode, encode
from venom_core.domain.priority import DEFAULT_PRIORITY, Priority
from venom_core.domain.task import open_task
from venom_core.domain.task_id import check_id, check_type
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import IllegalTransition, InvalidTask, StoreUnavailable, UnknownTask, VenomError
from venom_core.infrastructure.arq_bridge import ArqBridge, arq_settings
from venom_core.infrastructure.changes import Changes, lanes_of
from venom_core.infrastructure.consumer import Consumer
from venom_core.infrastructure.dead_letters import DeadLetters
from venom_core.infrastructure.explanation import Explanation, Place, explain_ended, explain_pending
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.intake import Intake
from venom_core.infrastructure.redis_link import foreign_errors
from venom_core.infrastructure.result_waiter import ResultWaiter
from venom_core.infrastructure.task_records import Seen
from venom_core.infrastructure.task_view import add_outcome, view_seen, view_task

if TYPE_CHECKING:
    from arq.connections import ArqRedis, RedisSettings

log = logging.getLogger("venom.broker")

NOT_CONNECTED = "the broker is not connected; await broker.connect() first"
RECONNECT_PAUSE_S = 0.2


class MessageBroker:
    """Queues, results and broadcasts of one hive; safe to share between coroutines of one event loop."""

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or Settings.load()
        self._clock = clock or Clock()
        self._hive: Hive | None = None
        self._intake: Intake | None = None
        self._waiter: ResultWaiter | None = None
        self._consumer: Consumer | None = None
        self._pubsubs: list[PubSub] = []
        self._arq: ArqBridge | None = None

    async def open(self) -> None:
        """Connect, or raise: `StoreUnavailable`, `StoreRefused`, `StoreTooOld`, `InvalidSetting`."""
        if self._hive is not None:
            return
        self._hive = await Hive.connect(self.settings, self._clock)
        self._waiter = ResultWaiter(self._hive.link, self._hive.tasks)
        self._intake = Intake(self._hive, self.settings, self._waiter.foresee)

    async def connect(self) -> bool:
        """Connect; True, or False after logging in one sentence why not."""
        if not self.settings.enable_hive:
            log.warning("the hive is switched off; set ENABLE_HIVE=true to connect")
            return False
        try:
            await self.open()
        except VenomError as fault:
            log.error("not connected: %s", fault)
            return False
        return True

    async def disconnect(self) -> None:
        """Send what is waiting, hand back what `next_task` claimed, and close every connection."""
        hive, self._hive = self._hive, None
        if hive is None or self._intake is None or self._waiter is None:
            return
        # From the last to the first; what is cancelled meanwhile leaves nobody waiting and nothing open.
        async with AsyncExitStack() as closing:
            closing.push_async_callback(hive.close)
            if self._arq is not None:
                closing.push_async_callback(self._arq.close)
            for pubsub in self._pubsubs:
                closing.push_async_callback(pubsub.aclose)
            if self._consumer is not None:
                closing.push_async_callback(self._consumer.close)
            closing.push_async_callback(self._waiter.close)
            closing.push_async_callback(self._intake.close)
            self._pubsubs, self._arq, self._consumer = [], None, None

    def is_connected(self) -> bool:
        """Whether `connect` succeeded and `disconnect` was not called; a server that is away is reconnected to."""
        return self._hive is not None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    @property
    def hive(self) -> Hive:
        """The open connection's rooms; `StoreUnavailable` before `connect`."""
        if self._hive is None:
            raise StoreUnavailable(NOT_CONNECTED)
        return self._hive

    # ---------------------------------------------------------------------------------------------- enqueue

    async def enqueue_task(
        self,
        task_type: str,
        payload: dict[str, Any] | None = None,
        priority: Priority = DEFAULT_PRIORITY,
        task_id: str | None = None,
        **options: Any,
    ) -> str:
        """Enqueue one task and return its id.

        `payload`: {argument: JSON value}. `options`: timeout, max_retries, delay (s) or run_at, deadline,
        metadata, parent_id, root_id, correlation_id, key, requirements. The same `task_id` with the same content again
        changes nothing. Raises `InvalidTask`, `TaskExists`, `QueueFull`, `StoreUnavailable`, `StoreRefused`.
        """
        return await self._open_intake.one(task_type, payload, task_id, {"priority": priority, **options})

    async def enqueue_many(
        self,
        task_type: str,
        payloads: Iterable[dict[str, Any] | Encoded],
        *,
        task_ids: Iterable[str] | None = None,
        **options: Any,
    ) -> list[str]:
        """Enqueue any number of tasks of one type under the same options; their ids in order.

        All payloads are checked before the first is sent. If the connection fails half-way, the error says
        how many were stored; with `task_ids` given, the same call again completes the rest.
        """
        return await self._open_intake.many(task_type, payloads, task_ids, options)

    @property
    def _open_intake(self) -> Intake:
        if self._intake is None or self._hive is None:
            raise StoreUnavailable(NOT_CONNECTED)
        return self._intake

    # ----------------------------------------------------------------------------------------------- follow

    async def get_task_status(self, task_id: str) -> TaskMessage | None:
        """The task as it stands now, or None if nobody enqueued it or it is forgotten."""
        seen = await self._look(task_id)
        return view_seen(self.hive.seal, task_id, seen, await self._holder(seen))

    async def wait_for(self, task_id: str, timeout: float | None = None) -> TaskMessage | None:
        """The task once it has ended, whatever its status; None when `timeout` seconds run out first.

        Raises `UnknownTask`, and `SecurityError` for one that this hive has not sealed. A Redis restart is waited out.
        """
        seal = self.hive.seal
        if known := self.results.at_hand(check_id(task_id)):
            envelope, record = known
            return add_outcome(seal, view_task(seal, task_id, envelope), record)
        try:
            async with asyncio.timeout(timeout):
                return add_outcome(seal, *await self._end_of(task_id))
        except TimeoutError:
            return None

    @property
    def results(self) -> ResultWaiter:
        """Who waits for results; its `inbox` follows many tasks at once. `StoreUnavailable` before `connect`."""
        if self._waiter is None or self._hive is None:
            raise StoreUnavailable(NOT_CONNECTED)
        return self._waiter

    async def _end_of(self, task_id: str) -> tuple[TaskMessage, bytes]:
        """The task as enqueued, read while it runs, and its outcome record; a server that is away is waited for."""
        assert self._waiter is not None
        seal = self.hive.seal
        while True:
            try:
                async with self._waiter.watch(task_id) as (ended, envelope):
                    task = None if ended.done() else view_task(seal, task_id, envelope)
                    record = await ended
                    return task or view_task(seal, task_id, envelope), record
            except StoreUnavailable:
                if not self.is_connected():
                    raise
                await asyncio.sleep(RECONNECT_PAUSE_S)

    async def stream(self, task_id: str) -> AsyncGenerator[Any]:
        """What the task emits, from its first partial result on, until it ends; then `wait_for` has the result.

        Whoever reads so slowly that more than 1,000 wait for him misses the oldest. Raises `UnknownTask`.
        """
        waiter, tasks, following = self._waiter, self.hive.tasks, 0
        assert waiter is not None
        async with waiter.watch(check_id(task_id)) as (ended, _):
            event = waiter.partial_event(task_id)
            while True:
                event.clear()
                finished = ended.done()
                with waiter.saying_closed():
                    partials = await tasks.partials(task_id, following)
                for number, partial in partials:
                    following = number + 1
                    yield decode(partial)
                if finished:
                    ended.result()
                    return
                heard: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
                await asyncio.wait([heard, ended], return_when=asyncio.FIRST_COMPLETED)
                heard.cancel()

    async def explain(self, task_id: str) -> Explanation:
        """Why the task is where it is; `UnknownTask` if nobody enqueued it."""
        hive = self.hive
        seen = await self._look(task_id)
        nodes = await hive.nodes.all()
        task = view_seen(hive.seal, task_id, seen, {node.epoch: node.profile.name for node in nodes})
        if task is None or seen.envelope is None:
            raise UnknownTask(f"no task {task_id} is known; was it enqueued in this hive?")
        if task.status is not TaskStatus.PENDING:
            return explain_ended(task)
        body = open_task(hive.seal, task_id, seen.envelope)
        place = Place(*await hive.tasks.place(task_id, lanes_of(body, seen)[0]), await hive.nodes.led())
        return explain_pending(task_id, body, place, seen, nodes)

    async def _look(self, task_id: str) -> Seen:
        return (await self.hive.tasks.look([check_id(task_id)]))[task_id]

    async def _holder(self, seen: Seen) -> dict[int, str]:
        return await self.hive.node_names() if seen.held is not None and seen.outcome is None else {}

    # ------------------------------------------------------------------------------------------------ change

    async def cancel_task(self, task_id: str) -> bool:
        """End a pending task, or ask its node to stop it; False if it had ended already. `UnknownTask`."""
        return await self._changes.cancel(task_id)

    async def retry_task(self, task_id: str) -> bool:
        """Put a failed, quarantined or cancelled task, or a zombie, back in line; True if it is there now.

        A completed task never runs again and a healthy running one is left alone: False. `UnknownTask`.
        """
        return await self._changes.retry(task_id)

    @property
    def _changes(self) -> Changes:
        return Changes(self.hive, self.settings.hive_zombie_task_timeout)

    async def detect_zombie_tasks(self) -> list[TaskMessage]:
        """Running tasks whose node renews its lease but has shown no sign of life for `HIVE_ZOMBIE_TASK_TIMEOUT`."""
        hive = self.hive
        zombies = await hive.find_zombies(self.settings.hive_zombie_task_timeout)
        found = await hive.tasks.look([zombie.task_id for zombie in zombies])
        names = {zombie.held.epoch: zombie.node for zombie in zombies}
        views = [view_seen(hive.seal, task_id, seen, names) for task_id, seen in found.items()]
        return [view for view in views if view is not None and view.status is TaskStatus.RUNNING]

    async def next_task(
        self, task_types: Iterable[str] | None = None, timeout: float | None = None
    ) -> TaskMessage | None:
        """Claim the next task for a hand-written loop (any type, or only these); None when `timeout` runs out.

        The broker renews its lease until `update_task_status` reports its end.
        """
        hive = self.hive
        consumer = self._consumer = self._consumer or Consumer(hive)
        claimed = await consumer.next_lease([check_type(name) for name in task_types or ()], timeout)
        if claimed is None:
            return None
        lease, _ = claimed
        task = view_task(hive.seal, lease.task_id, lease.envelope)
        task.status, task.assigned_node = TaskStatus.RUNNING, consumer.name
        task.attempt, task.crashes = lease.failures + 1, lease.crashes
        task.started_at = to_naive_local(lease.claimed_ms)
        return task

    get_next_task_from_queue = next_task

    async def update_task_status(
        self,
        task_id: str,
        status: str,
        assigned_node: str | None = None,
        result: Any = None,
        error: str | None = None,
    ) -> None:
        """Report the end of a task from `next_task`, hand it back (`pending`), or cancel a pending one.

        Anything else is nobody's to decide: `IllegalTransition`. `LeaseLost` if it was taken away meanwhile.
        """
        wanted = self._status(status)
        consumer = self._consumer
        if consumer is None or not consumer.holds(task_id):
            await self._change_from_outside(task_id, wanted)
        elif wanted is TaskStatus.QUARANTINED:
            raise IllegalTransition("only crashes quarantine a task; report it failed or cancelled")
        elif wanted is not TaskStatus.RUNNING:
            data = encode(result, "result", self.settings.hive_result_bytes_max)
            await consumer.settle(task_id, wanted, data, error)

    async def _change_from_outside(self, task_id: str, wanted: TaskStatus) -> None:
        task = await self.get_task_status(task_id)
        if task is None:
            raise UnknownTask(f"no task {task_id} is known; was it enqueued in this hive?")
        if wanted is TaskStatus.CANCELLED and task.status is TaskStatus.PENDING:
            await self.cancel_task(task_id)
        elif wanted is not task.status:
            who = "only who claimed it may say so, others may cancel it while it is pending"
            raise IllegalTransition(f"task {task_id} is {task.status} and cannot be made {wanted}: {who}")

    @staticmethod
    def _status(status: str) -> TaskStatus:
        try:
            return TaskStatus(status)
        except ValueError:
            raise InvalidTask(f"a status is one of {', '.join(TaskStatus)}, not {status!r:.60}") from None

    # ------------------------------------------------------------------------------------------- hive at large

    @property
    def dead_letters(self) -> DeadLetters:
        """Tasks that failed for good: list, requeue, purge."""
        return DeadLetters(self.hive)

    @property
    def redis_settings(self) -> RedisSettings:
        """The store's address for arq; `MissingExtra` without the extra `arq`, needs no connection."""
        return arq_settings(self.settings)

    @property
    def arq_pool(self) -> ArqRedis:
        """An `ArqRedis` on the hive's store until `disconnect`; jobs are msgpack, see `arq_bridge`."""
        if self._hive is None:
            raise StoreUnavailable(NOT_CONNECTED)
        if self._arq is None:
            self._arq = ArqBridge(self.settings)
        return self._arq.redis

    async def get_queue_stats(self) -> dict[str, Any]:
        """Exact counters of the hive; `tasks_completed`, `tasks_failed` and the like are cumulative."""
        high, background, running, dead, completed, failed, cancelled, quarantined = await self.hive.tasks.stats()
        return {
            "high_priority_queue": high,
            "background_queue": background,
            "total_queued": high + background,
            "tasks_pending": high + background,
            "tasks_running": running,
            "tasks_completed": completed,
            "tasks_failed": failed,
            "tasks_cancelled": cancelled,
            "tasks_quarantined": quarantined,
            "dead_letters": dead,
            "connected": True,
        }

    async def get_queue_length(self, queue_name: str) -> int:
        """Pending tasks of one of the two named queues; `InvalidTask` for another name."""
        high, background, *_ = await self.hive.tasks.stats()
        lengths = {
            self.settings.hive_high_priority_queue: high,
            self.settings.hive_background_queue: background,
        }
        if queue_name not in lengths:
            raise InvalidTask(f"there is no queue {queue_name!r:.60}; there are: {', '.join(lengths)}")
        return lengths[queue_name]

    async def broadcast_control(self, command: str, data: dict[str, Any] | None = None) -> int:
        """Publish `{command, data, timestamp}` to every node, signed when a token is set; the number that heard it."""
        hive = self.hive
        seconds, micros = await hive.link.command("TIME")
        stamp = to_utc(int(seconds) * 1000 + int(micros) // 1000).isoformat()
        message = write_order(hive.seal, Order(command, data or {}, stamp))
        heard: int = await hive.link.command("PUBLISH", self.settings.hive_broadcast_channel, message)
        return heard

    async def subscribe_broadcast(self) -> PubSub:
        """A redis-py PubSub on the broadcast channel; `listen()` yields raw messages, `read_order` checks them."""
        pubsub = self.hive.link.pubsub()
        with foreign_errors():
            await pubsub.subscribe(self.settings.hive_broadcast_channel)
        self._pubsubs.append(pubsub)
        return pubsub
