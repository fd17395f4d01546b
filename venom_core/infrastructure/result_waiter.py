"""Waiting for the end of tasks without polling.

One subscription per process, one future per waited id, and inboxes for those who wait for many. The store is
the truth and the message only a hint: after every (re)connection all waited ids are registered again, and
registering answers at once for what has ended meanwhile. A large outcome is not sent in the message but fetched.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from venom_core.errors import InvalidTask, StoreError, StoreUnavailable, UnknownTask
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.foresight import Foresight
from venom_core.infrastructure.inbox import Inbox
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.task_store import WAITERS_MAX, TaskStore

log = logging.getLogger("venom.broker")

# Asking again about very many takes its time, so it is done the more rarely the more there are.
RECHECK_S = 15.0
RECHECKED_MAX = 5_000
UNWAIT_S = 1.0
ASKED_PER_CALL_MAX = 500
PAUSE_S, PAUSE_MAX_S = 0.05, 1.0
CLOSED = "the broker was closed while waiting for a result"

Ended = asyncio.Future[bytes]
State = tuple[bytes, bytes]


class ResultWaiter:
    """Futures for the outcome records of tasks."""

    def __init__(self, link: RedisLink, store: TaskStore) -> None:
        self._link, self._store = link, store
        self._channel = store.keyspace.reply_channel(secrets.token_hex(6))
        self._futures: dict[str, set[Ended]] = {}
        self._inboxes: dict[str, list[Inbox]] = {}
        self._partials: dict[str, asyncio.Event] = {}
        self._foresight = Foresight()
        self._hears = self._closed = False
        self._unasked: list[tuple[str, asyncio.Future[State]]] = []
        self._asker: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._checker: asyncio.Task[None] | None = None
        self._fetcher: asyncio.Task[None] | None = None
        self._to_fetch: dict[str, None] = {}
        self._listening = asyncio.Event()

    async def close(self) -> None:
        """Stop listening, for good; whoever still waits gets `StoreUnavailable`."""
        self._closed = True
        try:
            await end_tasks(self._listener, self._checker, self._asker, self._fetcher)
        finally:
            self._listener = self._checker = None
            self._listening.set()
            # One that was cancelled before its first step has told nobody.
            self._refuse(self._unasked)
            self._tell_all()

    def _tell_all(self) -> None:
        for future in [future for futures in self._futures.values() for future in futures]:
            if not future.done():
                future.set_exception(StoreUnavailable(CLOSED))
        for inbox in {id(inbox): inbox for inboxes in self._inboxes.values() for inbox in inboxes}.values():
            inbox.fail(StoreUnavailable(CLOSED))
        self._futures.clear()
        self._inboxes.clear()

    @asynccontextmanager
    async def watch(self, task_id: str) -> AsyncIterator[tuple[Ended, bytes]]:
        """The future of a task's outcome record, and the task's envelope; `UnknownTask` if nobody enqueued it."""
        future: Ended = asyncio.get_running_loop().create_future()
        self._futures.setdefault(task_id, set()).add(future)
        try:
            if guess := self._foresight.redeem(task_id):
                if guess.record:
                    self._answer(task_id, guess.record)
                yield future, guess.envelope
                return
            with self.saying_closed():
                await self._listen()
                state, envelope = await self._ask(task_id)
            self._answer(task_id, state)
            yield future, envelope
        finally:
            await self._drop(task_id, future)

    def at_hand(self, task_id: str) -> State | None:
        """Envelope and outcome record of a task whose end is known here already, before anybody waited; then once."""
        guess = self._foresight.redeem_ended(task_id)
        return (guess.envelope, guess.record) if guess else None

    def foresee(self, task_id: str, envelope: bytes) -> str:
        """The channel on which to be told of a new task's end, if it is likely to be waited for here; else ""."""
        return self._channel if self._foresight.expects(task_id, envelope, hears=self._hears) else ""

    @asynccontextmanager
    async def inbox(self) -> AsyncIterator[Inbox]:
        """Where many tasks may land: `follow` them, `take` their outcome records as they come."""
        made = Inbox(self)
        try:
            yield made
        finally:
            await made.close()

    async def register(self, inbox: Inbox, task_ids: Sequence[str]) -> None:
        """For `Inbox.follow`."""
        for task_id in task_ids:
            there = self._inboxes.setdefault(task_id, [])
            if inbox not in there:
                there.append(inbox)
        with self.saying_closed():
            await self._listen()
            for start in range(0, len(task_ids), ASKED_PER_CALL_MAX):
                await self._look_again(task_ids[start : start + ASKED_PER_CALL_MAX])

    @contextmanager
    def saying_closed(self) -> Iterator[None]:
        """Whoever asks while this is closed is told that, whatever it did to the asking."""
        try:
            yield
        except StoreUnavailable:
            if self._closed:
                raise StoreUnavailable(CLOSED) from None
            raise

    async def release(self, inbox: Inbox, task_ids: Sequence[str]) -> None:
        """For `Inbox.close`."""
        unwanted = []
        for task_id in task_ids:
            left = [other for other in self._inboxes.pop(task_id, ()) if other is not inbox]
            if left:
                self._inboxes[task_id] = left
            elif task_id not in self._futures:
                unwanted.append(task_id)
        if unwanted:
            await self._unwait(unwanted)

    async def _ask(self, task_id: str) -> State:
        """What `TaskStore.wait` says of a task; whoever asks while a call is under way shares the next one."""
        asked: asyncio.Future[State] = asyncio.get_running_loop().create_future()
        self._unasked.append((task_id, asked))
        if self._asker is None:
            self._asker = asyncio.create_task(self._ask_all())
        return await asked

    async def _ask_all(self) -> None:
        part: list[tuple[str, asyncio.Future[State]]] = []
        try:
            while self._unasked:
                part, self._unasked = self._unasked[:ASKED_PER_CALL_MAX], self._unasked[ASKED_PER_CALL_MAX:]
                await self._ask_some(part)
        finally:
            self._asker = None
            self._refuse(part)
            self._refuse(self._unasked)

    @staticmethod
    def _refuse(unasked: list[tuple[str, asyncio.Future[State]]]) -> None:
        for _, asked in unasked:
            if not asked.done():
                asked.set_exception(StoreUnavailable(CLOSED))
        unasked.clear()

    async def _ask_some(self, part: list[tuple[str, asyncio.Future[State]]]) -> None:
        try:
            found = await self._store.wait(list({task_id: None for task_id, _ in part}), self._channel, envelopes=True)
        except Exception as fault:  # noqa: BLE001 - whatever it is, those who asked are to hear of it
            for _, asked in part:
                if not asked.done():
                    asked.set_exception(fault)
        else:
            for task_id, asked in part:
                if not asked.done():
                    asked.set_result(found[task_id])

    def partial_event(self, task_id: str) -> asyncio.Event:
        """Set whenever a partial result of a watched task is reported."""
        return self._partials.setdefault(task_id, asyncio.Event())

    async def _drop(self, task_id: str, future: Ended) -> None:
        futures = self._futures.get(task_id, set())
        futures.discard(future)
        if future.done() and not future.cancelled():
            future.exception()  # who leaves has heard of it, here or in answer to what he asked
        if futures:
            return
        self._futures.pop(task_id, None)
        self._partials.pop(task_id, None)
        if (not future.done() or future.cancelled()) and task_id not in self._inboxes:
            await self._unwait([task_id])

    async def _unwait(self, task_ids: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(UNWAIT_S):
                await self._store.unwait(task_ids, self._channel)
        except (StoreError, TimeoutError) as fault:
            log.debug("could not take a registration back, it ends with its task: %s", fault)

    def _answer(self, task_id: str, state: bytes) -> None:
        if state == b"pending":
            return
        fault = _fault(task_id, state)
        for inbox in self._inboxes.pop(task_id, ()):
            inbox.land(task_id, fault or state)
        for future in self._futures.get(task_id, ()):
            if future.done():
                continue
            if fault is not None:
                future.set_exception(fault)
            else:
                future.set_result(state)

    async def _listen(self) -> None:
        if self._listener is None and not self._closed:
            self._listening.clear()
            self._listener = asyncio.create_task(self._keep_listening())
            self._checker = asyncio.create_task(self._keep_checking())
        await self._listening.wait()
        if self._closed:
            raise StoreUnavailable(CLOSED)

    async def _keep_listening(self) -> None:
        pause = PAUSE_S
        while True:
            try:
                async with self._link.hearing(self._channel, self._take) as lost:
                    await self._register_again()
                    self._hears = True
                    self._listening.set()
                    pause = PAUSE_S
                    await lost
            except Exception as fault:  # noqa: BLE001 - without it nobody here would ever hear of an end again
                _log("result channel lost, reconnecting: %s", fault)
                self._hears = False
                self._foresight.forget()
                # Whoever waits goes on to ask the store, which says in its own words that it is away.
                self._listening.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MAX_S)

    async def _keep_checking(self) -> None:
        """A message is only a hint: now and then the store is asked about everything that is waited for."""
        while True:
            await asyncio.sleep(RECHECK_S * max(1, len(self._inboxes) / RECHECKED_MAX))
            try:
                await self._register_again()
            except Exception as fault:  # noqa: BLE001 - the next check may succeed
                _log("cannot check what is waited for: %s", fault)

    async def _register_again(self) -> None:
        ids = [*self._futures, *(task_id for task_id in self._inboxes if task_id not in self._futures)]
        for start in range(0, len(ids), ASKED_PER_CALL_MAX):
            part = ids[start : start + ASKED_PER_CALL_MAX]
            await self._look_again(part)
            for task_id in part:
                self._tell_partial(task_id)

    async def _look_again(self, task_ids: Sequence[str]) -> None:
        for task_id, (state, _) in (await self._store.wait(task_ids, self._channel, envelopes=False)).items():
            self._answer(task_id, state)

    def _take(self, data: bytes) -> None:
        """A message, in the moment in which it comes."""
        try:
            letters = list(_letters(data))
        except ValueError:
            log.warning("somebody publishes what is no result on %s; asking the store instead", self._channel)
            self._ask_later([*self._futures, *self._inboxes])
            return
        fetch = []
        for task_id, record in letters:
            if task_id not in self._futures and task_id not in self._inboxes:
                self._foresight.land(task_id, record or b"")
            elif record is None:
                self._tell_partial(task_id)
            elif record:
                self._answer(task_id, record)
            else:
                fetch.append(task_id)
        if fetch:
            self._ask_later(fetch)

    def _ask_later(self, task_ids: list[str]) -> None:
        self._to_fetch.update(dict.fromkeys(task_ids))
        if self._fetcher is None and not self._closed:
            self._fetcher = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        """What is too large for a message; if the store is away, the next check asks again."""
        try:
            while self._to_fetch:
                part = list(self._to_fetch)[:ASKED_PER_CALL_MAX]
                for task_id in part:
                    del self._to_fetch[task_id]
                await self._look_again(part)
        except StoreError as fault:
            log.debug("cannot fetch what has ended: %s", fault)
        finally:
            self._fetcher = None

    def _tell_partial(self, task_id: str) -> None:
        if event := self._partials.get(task_id):
            event.set()


def _log(text: str, fault: Exception) -> None:
    """That the store is away is no news here; anything else is."""
    log.log(logging.DEBUG if isinstance(fault, StoreError) else logging.ERROR, text, fault)


def _fault(task_id: str, state: bytes) -> Exception | None:
    if state == b"unknown":
        return UnknownTask(f"no task {task_id} is known; was it enqueued in this hive?")
    if state == b"crowded":
        return InvalidTask(f"{WAITERS_MAX} processes wait for {task_id} already; share one")
    return None


def _letters(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """Split a message: "id length:record length:id record", a length of -1 standing for a partial result."""
    at = 0
    while at < len(data):
        first = data.index(b":", at)
        second = data.index(b":", first + 1)
        id_bytes, record_bytes = int(data[at:first]), int(data[first + 1 : second])
        id_end = second + 1 + id_bytes
        at = id_end + max(record_bytes, 0)
        if id_bytes < 1 or record_bytes < -1 or at > len(data):
            raise ValueError("lengths that do not fit the message")
        yield data[second + 1 : id_end].decode(), None if record_bytes < 0 else data[id_end:at]
