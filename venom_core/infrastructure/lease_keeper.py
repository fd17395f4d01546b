"""Keeps a node's lease from a thread of its own, on a connection of its own.

A task that blocks the event loop therefore does not lose its lease. The limit of a thread: C code that
holds the interpreter lock for longer than the lease stops it too; such work belongs in `process=True`.

A node reaps others only after it has held its own lease without a gap for half a lease, because right
after Redis was away everybody looks dead to everybody.

The first beat over a new connection says so: the server may be another one, or have lost its last writes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from redis import Redis
from redis.exceptions import NoScriptError

from venom_core.clock import Clock
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.errors import StoreError
from venom_core.infrastructure.node_store import Beat, NodeStore
from venom_core.infrastructure.redis_link import RedisLink, foreign_errors

log = logging.getLogger("venom.lease")


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a node beats and how long a missed beat is forgiven, in seconds."""

    heartbeat_s: float
    lease_s: float


class Pulse(Protocol):
    """What a node says and hears with each heartbeat, in the lease thread."""

    def read(self) -> NodeLoad:
        """The node's load now."""

    def hear(self, cancels: tuple[str, ...]) -> None:
        """Tasks somebody wants cancelled; they are told to the event loop as well, if it listens."""


class Witness(Protocol):
    """Who must know at once how sure the lease is; called in the lease thread, or when the lease is taken."""

    def renewed(self, sent_s: float) -> None:
        """All partitions renewed it, by calls of which the first was sent at this moment of `Clock.lasting_s`."""

    def lost(self) -> None:
        """It is lost; the event loop will be told next."""


class LeaseKeeper:
    """One node's lease: joined, renewed by a thread, left. `on_beat` is called in the event loop."""

    def __init__(
        self,
        link: RedisLink,
        nodes: NodeStore,
        profile: NodeProfile,
        rhythm: Rhythm,
        pulse: Pulse,
        on_beat: Callable[[Beat], None],
        clock: Clock,
        witness: Witness | None = None,
    ) -> None:
        self.epoch = 0
        self.older_epoch = 0
        self.ahead_ms = 0
        self.heartbeat_s = rhythm.heartbeat_s
        self._link, self._nodes, self._profile, self._rhythm = link, nodes, profile, rhythm
        self._pulse, self._on_beat, self._clock, self._witness = pulse, on_beat, clock, witness
        self._lasting_s = clock.lasting_reader()
        self._lost_epoch = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        # By partition: each may stand on a server of its own and be away by itself.
        self._steady_since: dict[int, float] = {}
        self._last_beat: dict[int, float] = {}
        self._connections = 0
        self._beaten_over: dict[int, int] = {}
        self._away = False

    async def join(self) -> int:
        """Take a lease under a new epoch and start renewing it; the epoch."""
        # A heartbeat that is under way asks for the old epoch; its answer must not be taken for the new one's.
        self.epoch = 0
        lease_ms, sent_s = round(self._rhythm.lease_s * 1000), self._clock.lasting_s()
        joined = await self._nodes.join(self._profile, lease_ms)
        self.epoch, self.older_epoch = joined.epoch, joined.older_epoch
        self.ahead_ms = joined.now_ms - round(self._clock.lasting_s() * 1000)
        partitions, now = range(self._nodes.keyspace.partitions), self._clock.monotonic_s()
        self._steady_since, self._last_beat = dict.fromkeys(partitions, now), dict.fromkeys(partitions, now)
        if self._witness is not None:
            self._witness.renewed(sent_s)
        if self._thread is None:
            self._stopping.clear()
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._beat_on, args=(loop,), name="venom-lease", daemon=True)
            self._thread.start()
        return self.epoch

    async def halt(self) -> None:
        """Stop renewing; the lease ends by itself."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def leave(self, *, clean: bool) -> None:
        """Stop renewing and end the lease; `clean` means nothing is held under it."""
        await self.halt()
        if self.epoch:
            await self._nodes.leave(self.epoch, self._profile.name, clean=clean)

    def store_now_ms(self) -> int:
        """Redis' present time as last compared; right even if this machine's clock is an hour wrong, or is set now."""
        return int(self._lasting_s() * 1000) + self.ahead_ms

    def _beat_on(self, loop: asyncio.AbstractEventLoop) -> None:
        client = self._link.sync_client(max(self._rhythm.heartbeat_s, 0.2), self._count_connection)
        try:
            # A node whose event loop is gone does no work any more: it must not keep its tasks from others.
            while not self._stopping.wait(self._rhythm.heartbeat_s * random.uniform(0.9, 1.0)) and not loop.is_closed():
                self._beat_safely(client, loop)
        finally:
            client.close()

    def _count_connection(self) -> None:
        self._connections += 1

    def _beat_safely(self, client: Redis, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._beat_once(client, loop)
        except Exception:
            # The supervisor of this thread: without it one surprise would cost the lease and all that runs.
            log.exception("a heartbeat failed in a way nobody foresaw; going on")

    def _beat_once(self, client: Redis, loop: asyncio.AbstractEventLoop) -> None:
        load, epoch, missed = self._pulse.read(), self.epoch, False
        held, sent_s = epoch > 0, self._clock.lasting_s()
        for partition in range(self._nodes.keyspace.partitions if epoch else 0):
            try:
                beat = self._renew(client, partition, epoch, load)
            except StoreError as fault:
                missed = True
                if not self._away:
                    log.warning("heartbeat missed, going on: %s", fault)
            else:
                held = held and beat.alive
                self._pulse.hear(beat.cancels)
                if not beat.alive:
                    self._tell_lost(epoch)
                loop.call_soon_threadsafe(self._deliver, epoch, partition, beat)
        self._away = missed
        if held and not missed and epoch == self.epoch and self._witness is not None:
            self._witness.renewed(sent_s)

    def _tell_lost(self, epoch: int) -> None:
        """Once for each lease, and before the event loop hears it."""
        if self._witness is not None and epoch == self.epoch != self._lost_epoch:
            self._lost_epoch = epoch
            self._witness.lost()

    def _renew(self, client: Redis, partition: int, epoch: int, load: NodeLoad) -> Beat:
        now = self._clock.monotonic_s()
        if now - self._last_beat[partition] > self._rhythm.lease_s / 2:
            self._steady_since[partition] = now
        may_reap = now - self._steady_since[partition] >= self._rhythm.lease_s / 2
        lease_ms = round(self._rhythm.lease_s * 1000)
        call = self._nodes.renewal(partition, epoch, self._profile.name, lease_ms, load, may_reap=may_reap)
        with foreign_errors():
            try:
                reply = client.evalsha(call.sha, len(call.keys), *call.keys, *call.args)
            except NoScriptError:
                reply = client.eval(call.source, len(call.keys), *call.keys, *call.args)
        self._last_beat[partition] = now
        beat = Beat.parse(partition, reply)
        self.ahead_ms = beat.now_ms - round(self._clock.lasting_s() * 1000)
        if self._beaten_over.get(partition) == self._connections:
            return beat
        self._beaten_over[partition] = self._connections
        return replace(beat, anew=True)

    def _deliver(self, epoch: int, partition: int, beat: Beat) -> None:
        if epoch == self.epoch and not self._stopping.is_set():
            self._on_beat(beat)
