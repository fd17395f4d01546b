"""The Spore's loop: claim, run, settle.

One coroutine claims and sleeps when there is nothing (`Claimer`), one sends what ended (`Outbox`), and the
running table (`Attempts`) starts and stops. The lease is renewed by a thread (`LeaseKeeper`); when it is
lost, everything that runs is stopped, because it runs elsewhere by now.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from itertools import chain

from venom_core.domain.lane import own_lane
from venom_core.domain.node import NodeProfile
from venom_core.errors import LeaseLost, StoreError
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.chores import Chores
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.lease_keeper import LeaseKeeper
from venom_core.infrastructure.node_store import Beat
from venom_core.infrastructure.task_records import Batch, Settlement, claim_number
from venom_spore.attempts import STUBBORN_S, Attempts
from venom_spore.claimer import PAUSE_MAX_S, PAUSE_S, Claimer
from venom_spore.execution import Attempt, Executor, Verdict
from venom_spore.heartbeat import Heartbeat
from venom_spore.notes import note_sink
from venom_spore.outbox import Outbox
from venom_spore.pace import HESITATE_S, PATIENCE_S, Pace
from venom_spore.ready_line import ReadyLine

log = logging.getLogger("venom.spore")

TIDY_EVERY_S = 60.0


class NameTaken(LeaseLost):
    """Another Spore with the same name took over."""


class Worker:
    """Claims and runs tasks until told to stop."""

    def __init__(
        self, hive: Hive, profile: NodeProfile, executor: Executor, heartbeat: Heartbeat, drain_s: float
    ) -> None:
        self.hive, self.profile, self._executor, self._heartbeat = hive, profile, executor, heartbeat
        self._drain_s = drain_s
        self._loop = asyncio.get_running_loop()
        self._quiet, self._forced, self._rejoin = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._rejoin.set()
        self._recalled = self._aside = False
        self._beaten = asyncio.Event()
        self._outbox = Outbox(hive.tasks, hive.keep, self._refused, self._asked)
        self.attempts = Attempts(executor, note_sink(self._outbox, self._loop), self._ended)
        self._claimer = Claimer(hive, (*profile.skills, own_lane(profile.name)), self._quiet)
        self._listener: asyncio.Task[None] | None = None
        self._pace = Pace(profile.concurrency)
        self._keeper = LeaseKeeper(
            hive.link, hive.nodes, profile, hive.rhythm, heartbeat, self._on_beat, hive.clock, executor.guard
        )
        self._tidied_s = self._loop.time()
        self._ready = ReadyLine()
        self._given = 0
        self._impatience: asyncio.TimerHandle | None = None
        self._chores = Chores(hive)
        self._fault: NameTaken | None = None

    # ------------------------------------------------------------------------------------------- life and end

    async def run(self) -> None:
        """Join the hive and work until `stop` and the drain is over. Raises `NameTaken`."""
        self._heartbeat.watch(self.attempts.running, lambda: self._executor.stuck)
        self._executor.guard.open(self.attempts.is_body)
        sender = asyncio.create_task(self._outbox.run())
        claimer = asyncio.create_task(self._claim_on())
        try:
            await asyncio.wait([claimer, sender], return_when=asyncio.FIRST_COMPLETED)
            self._quiet.set()
            await self._drain()
            for task in (claimer, sender):
                if task.done():
                    task.result()
        finally:
            self._heartbeat.unwatch()
            self._executor.guard.close()
            await end_tasks(claimer, sender, self._listener)
            await self._chores.end()
            await self._leave()
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """First call: take no more work and drain. Second call: stop what runs and hand it back now."""
        if self._quiet.is_set():
            self._forced.set()
        self._quiet.set()
        self._stir()

    def leave(self, *, now: bool) -> None:
        """Drain and end, or at once; told again, it changes nothing but may hurry."""
        if now or not self._quiet.is_set():
            self.stop()
        if now:
            self.stop()

    def cordon(self, *, on: bool) -> None:
        """Take no new tasks from now on, or take them again. What runs goes on; heartbeats tell the hive."""
        if on != self._heartbeat.cordoned:
            log.info("cordoned: no new tasks are taken" if on else "uncordoned: tasks are taken again")
            self._heartbeat.cordoned = on
            self._stir()

    def _stir(self) -> None:
        """Whatever the claiming loop waits for, it looks around now."""
        self._claimer.disturb()
        self.attempts.freed.set()
        self._beaten.set()

    async def _join(self) -> None:
        await self._keeper.join()
        self._outbox.epoch = self._keeper.epoch
        self._rejoin.clear()
        self._recalled = False
        await end_tasks(self._listener)
        self._listener = asyncio.create_task(self._hear_orders(self._keeper.epoch))
        if self._keeper.older_epoch:
            self._chores.start(self._reap(self._keeper.older_epoch, self.profile.name))
        log.info("%s joined with %d slots and %d skills", self.profile.name, self._pace.slots, len(self.profile.skills))

    async def _drain(self) -> None:
        """Let what runs finish; stop and hand back what does not."""
        self._hand_back_ready()
        if self.attempts:
            log.info("draining: %d tasks have %.0f s to finish", len(self.attempts), self._drain_s)
        forced = asyncio.create_task(self._forced.wait())
        idle = asyncio.create_task(self.attempts.until_idle())
        await asyncio.wait([forced, idle], timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        self.attempts.stop_all(Verdict.HANDED_BACK)
        await asyncio.wait([idle], timeout=STUBBORN_S)
        await end_tasks(forced, idle)
        try:
            async with asyncio.timeout(STUBBORN_S):
                await self._outbox.drained()
        except TimeoutError:
            log.error("Redis is away: what is unsettled will be taken back when the lease ends")

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(STUBBORN_S):
                if self._fault is None and (
                    left := await self.hive.upkeep.hand_back(self._keeper.epoch, self._keeper.store_now_ms())
                ):
                    log.info("handed back %d tasks that did not end", left)
                await self._claimer.let_go(self._keeper.epoch)
                await self._keeper.leave(clean=self._fault is None)
        except (StoreError, TimeoutError) as fault:
            log.warning("left without saying goodbye: %s", fault)
        else:
            log.info("%s has left", self.profile.name)
        finally:
            await self._keeper.halt()

    # ------------------------------------------------------------------------------------------------- claiming

    async def _claim_on(self) -> None:
        pause = PAUSE_S
        while not self._quiet.is_set():
            try:
                if self._rejoin.is_set():
                    await self._start_anew()
                if not self._recalled:
                    # This life may be able to do less than the one that was given it.
                    await self.hive.placement.recall(self.profile.name)
                    self._recalled = True
                await (self._stand_aside() if self._heartbeat.cordoned else self._claim_once())
                pause = PAUSE_S
            except LeaseLost:
                # The next heartbeat renews it, or says who has it now.
                self._beaten.clear()
                if not self._quiet.is_set():
                    await self._beaten.wait()
            except StoreError as fault:
                # Once an outage is enough.
                log.log(logging.WARNING if pause == PAUSE_S else logging.DEBUG, "cannot claim, trying again: %s", fault)
                await self._pause(pause)
                pause = min(pause * 2, PAUSE_MAX_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), seconds)

    async def _stand_aside(self) -> None:
        """While cordoned: what was given to this node is placed anew, others are woken for what it would wait for."""
        if not self._aside:
            # A claim for nothing brings what an earlier one leased whose answer nobody read.
            if (batch := await self._claimer.claim(self._keeper.epoch, 0)) is not None:
                self._start(batch)
            self._hand_back_ready()
            await self.hive.placement.recall(self.profile.name)
            await self._claimer.let_go(self._keeper.epoch)
        self._aside = True
        self.attempts.freed.clear()
        if self._heartbeat.cordoned and not (self._rejoin.is_set() or self._quiet.is_set()):
            await self.attempts.freed.wait()
        self._aside = self._heartbeat.cordoned and not self._rejoin.is_set()
        self._claimer.emptied = False

    async def _claim_once(self) -> None:
        stuck = self._executor.stuck
        held = len(self.attempts) + len(self._ready) + stuck
        count = self._pace.room(held)
        if count == 0 and self._pace.hesitates(held):
            await self._hesitate()
            return
        if count == 0:
            # Whatever ends from here on frees a slot that was not counted above.
            self.attempts.freed.clear()
            await self._claimer.unwatch(self._keeper.epoch)
            with contextlib.suppress(TimeoutError):
                # A thread that was given up tells nobody when it ends after all.
                await asyncio.wait_for(self.attempts.freed.wait(), self._keeper.heartbeat_s if stuck else None)
            return
        if self._claimer.emptied:
            self._tidy_now_and_then()
            batch = await self._claimer.sleep(self._keeper.epoch, count)
        else:
            batch = await self._claimer.claim(self._keeper.epoch, count)
        self._pace.insists = self._pace.insists and batch is not None and len(batch.leases) == count
        if batch is not None and not self._rejoin.is_set():
            self._start(batch)

    async def _hesitate(self) -> None:
        """Leave what comes to idler peers for a moment, then look whether it is still there."""
        if self._claimer.emptied:
            await self._claimer.sleep(self._keeper.epoch, 0)
        else:
            await self._claimer.pass_on()
            await self._pause(HESITATE_S)
            self._pace.insists = True

    def _tidy_now_and_then(self) -> None:
        """An idle Spore forgets what is past its time, so that it leaves without a Nexus too."""
        if self._loop.time() - self._tidied_s >= TIDY_EVERY_S:
            self._tidied_s = self._loop.time()
            self._chores.start(self._tidy())

    async def _tidy(self) -> None:
        await self.hive.upkeep.forget()
        await self.hive.upkeep.forget_nodes(self._keeper.store_now_ms())

    async def _start_anew(self) -> None:
        """Join under a new epoch, once what ran under the lost one has stopped."""
        idle = asyncio.create_task(self.attempts.until_idle())
        await asyncio.wait([idle], timeout=STUBBORN_S)
        await end_tasks(idle)
        self._outbox.forget()
        await self._join()

    def _start(self, batch: Batch) -> None:
        if batch.leases:
            self._given = claim_number(batch.leases[0].fence)
        claimed: list[Attempt] = []
        slots = 0 if self._quiet.is_set() else self._pace.slots - self._executor.stuck
        for lease in batch.leases:
            attempt = Attempt(lease)
            if not self._executor.prepare(attempt, batch.now_ms):
                self._settle(attempt, batch.now_ms)
                if attempt.verdict is Verdict.REFUSED:
                    self._audit(lease.task_id, attempt.error or "")
            elif len(self.attempts.running) < slots:
                self.attempts.launch(attempt, batch.now_ms)
            else:
                claimed.append(attempt)
        self._ready.add(claimed)
        if self._quiet.is_set():
            self._hand_back_ready()
        elif self._ready and self._impatience is None:
            self._impatience = self._loop.call_later(PATIENCE_S, self._lose_patience, self._ready[0])

    def _ended(self, attempt: Attempt) -> None:
        now_ms = self._keeper.store_now_ms()
        self._pace.record(self._loop.time() - attempt.started_s)
        self._settle(attempt, now_ms)
        if self._ready and not attempt.reported:
            self.attempts.launch(self._ready.popleft(), now_ms)

    def _settle(self, attempt: Attempt, now_ms: int) -> None:
        if (settlement := self._executor.settlement(attempt, now_ms)) is not None:
            self._outbox.settle(settlement)

    def _hand_back_ready(self) -> None:
        while self._ready:
            attempt = self._ready.popleft()
            attempt.verdict = Verdict.HANDED_BACK
            self._settle(attempt, self._keeper.store_now_ms())

    def _lose_patience(self, first: Attempt) -> None:
        """What was claimed ahead and could not start in time goes back, so that an idle node may have it."""
        self._impatience = None
        if self._ready and self._ready[0] is first:
            self._pace.mean_s = max(self._pace.mean_s, PATIENCE_S)
            self._hand_back_ready()
        elif self._ready:
            self._impatience = self._loop.call_later(PATIENCE_S, self._lose_patience, self._ready[0])

    # ------------------------------------------------------------------------------------------ what others say

    def _on_beat(self, beat: Beat) -> None:
        self._beaten.set()
        self.hive.ahead_ms = self._keeper.ahead_ms  # Redis' clock may drift, or be set
        if beat.alive:
            if beat.partition == 0 and beat.budget != self._pace.budget:
                self._pace.budget = beat.budget
                # What was asked for before is more, or less, than what it should hold now.
                self._stir()
            for task_id in beat.cancels:
                self.attempts.stop_task(task_id, Verdict.CANCELLED)
            for epoch in beat.expired:
                self._chores.start(self._reap(epoch))
            if beat.anew:
                # Whatever broke the connection of the last heartbeat may have broken all others in silence.
                self._chores.start(self.hive.link.check())
                self._chores.insist(partial(self._hand_back_forgotten, beat.partition, self._keeper.epoch))
        elif not self._rejoin.is_set():
            self._lose_everything(replaced=beat.replaced)

    async def _hand_back_forgotten(self, partition: int, epoch: int) -> None:
        forgotten = await self.hive.upkeep.forgotten(partition, epoch, self._known)
        if epoch == self._keeper.epoch and forgotten:
            log.warning("Redis has lost its last writes: %d tasks that had ended go back in line", len(forgotten))
            for settlement in forgotten:
                self._outbox.settle(settlement)

    def _known(self) -> Callable[[str, str], bool]:
        """Who tells of a task whether it is at work here now, or may have come with a claim that is still under way."""
        given = self._given
        attempts = chain(self._ready, self.attempts.running.values())
        at_work = {(attempt.lease.task_id, attempt.lease.fence) for attempt in attempts if not attempt.reported}
        at_work |= self._outbox.unsent()
        return lambda task_id, fence: claim_number(fence) > given or (task_id, fence) in at_work

    def _lose_everything(self, *, replaced: bool) -> None:
        """The lease is lost: stop what runs, because it runs elsewhere by now."""
        log.warning("the lease was lost; stopping %d tasks that run elsewhere now", len(self.attempts))
        self._ready.clear()
        self.attempts.stop_all(Verdict.LOST)
        self._executor.guard.give_up()
        if replaced:
            name = self.profile.name
            self._fault = NameTaken(f"another Spore named {name!r} took over; give each its own --name")
            self.stop()
            self.stop()
        else:
            self._rejoin.set()
            self._stir()

    async def _hear_orders(self, epoch: int) -> None:
        """Cancel wishes come at once by message, and within a heartbeat if the message is lost."""
        while True:
            try:
                async for message in self.hive.link.listen(self.hive.tasks.keyspace.node_channel(epoch)):
                    if message is not None:
                        self._obey(message)
            except StoreError as fault:
                log.debug("order channel lost: %s", fault)
                await asyncio.sleep(PAUSE_MAX_S)

    def _obey(self, message: bytes) -> None:
        verb, _, rest = message.decode(errors="replace").partition(" ")
        task_id, _, fence = rest.partition(" ")
        if verb == "stop" and (attempt := self.attempts.running.get((task_id, fence))) is not None:
            # Handing back is fenced: refused if the task was really taken, and nothing is stranded if it was not.
            self.attempts.stop(attempt, Verdict.HANDED_BACK)
        elif verb == "cancel":
            self._chores.start(self._cancel(task_id))

    async def _cancel(self, task_id: str) -> None:
        """A message is only a hint, and anybody may have sent it: the store knows whether the task is to end."""
        if await self.hive.tasks.is_unwanted(task_id):
            self.attempts.stop_task(task_id, Verdict.CANCELLED)

    async def _reap(self, epoch: int, name: str = "") -> None:
        await self.hive.reap(epoch, self._keeper.store_now_ms(), name)
        # The token for what came back may have gone to the dead node, if its machine froze without hanging up.
        self._claimer.disturb()

    def _audit(self, task_id: str, error: str) -> None:
        log.error("refused task %s: %s", task_id, error)
        self._chores.start(self.hive.pen.write("refused_envelope", task_id, error, self.profile.name))

    def _refused(self, settlement: Settlement) -> None:
        log.warning("the end of %s was refused: it was taken from this node meanwhile", settlement.lease.task_id)

    def _asked(self, settlement: Settlement) -> Settlement:
        """Somebody asked to cancel what was about to go back in line: end it instead."""
        return self._executor.cancelled(settlement, self._keeper.store_now_ms())
