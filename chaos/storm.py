"""One storm: a hive under load, blows, calm, a last look, and the verdict."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import redis

from chaos import clocks, network
from chaos.checker import Verdict, judge
from chaos.clocks import Clocks
from chaos.events import Recorder
from chaos.fleet import CALLER, CONSUMER, NEXUS, SPORE, Fleet, Node
from chaos.look import counts_of, look_at_ends, look_at_rest
from chaos.memory import burst, forget, hive_of, weigh
from chaos.mix import USUAL, Plan, begin
from chaos.network import Network
from chaos.server import StormServer
from venom_core.config import Settings
from venom_core.domain.node import NodeProfile
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.keys import Keyspace

NAMESPACE = "storm"
CALLERS = 2
# In calm something must end at least so often.
STANDSTILL_S = 60.0
POLL_S = 0.05
# What is rare is there once, or once in so many tasks of a caller.
RARE_PER_TASKS = 4_000
# Long enough that nothing is forgotten before the last look.
KEEPS = {
    "HIVE_RESULT_TTL": "864000",
    "HIVE_DEAD_LETTERS_MAX": "1000000",
    "HIVE_PROFILE": "fast",
    "HIVE_NAMESPACE": NAMESPACE,
    "HIVE_LOG_LEVEL": "WARNING",
}

Weather = Callable[["Storm"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A storm as it is meant: what it says, its weather, and what it needs.

    `mix` comes on top of the usual tasks; `rare` says how many chunks of a kind each caller enqueues. Bad weather lasts
    `least_s` seconds at least. With `networked` each process is on a machine of its own, with `clocked` each has a
    clock of its own.
    """

    name: str
    says: str
    weather: Weather
    spores: int = 3
    nexuses: int = 1
    consumers: int = 0
    fsync: str = ""
    mix: dict[str, int] = field(default_factory=dict)
    rare: dict[str, int] = field(default_factory=dict)
    concurrency: int = 8
    environment: dict[str, str] = field(default_factory=dict)
    share: float = 1.0
    partitions: int = 1
    least_s: float = 0.0
    networked: bool = False
    clocked: bool = False

    def lacks(self) -> str:
        """Why this storm cannot be on this machine, or nothing."""
        return (network.missing() if self.networked else "") or (clocks.missing() if self.clocked else "")


@dataclass(frozen=True, slots=True)
class Scale:
    """How large: tasks a scenario, seconds of bad weather; `patience` multiplies what single blows last."""

    seed: str
    tasks: int
    seconds: float
    patience: float = 1.0


class Storm:
    """The hive, and what may be done to it."""

    def __init__(self, scenario: Scenario, scale: Scale, folder: Path) -> None:
        self.scenario, self.scale = scenario, scale
        self.rng = random.Random(f"{scale.seed}-{scenario.name}")
        self.seconds = max(scale.seconds, scenario.least_s)
        self.recorder = Recorder(folder / "conductor.jsonl")
        # The path of a socket may not be long.
        self._server_folder = tempfile.TemporaryDirectory(prefix="vs")
        self.network = Network(f"{scale.seed}-{scenario.name}") if scenario.networked else None
        self.clocks = Clocks(folder, f"{scale.seed}-{scenario.name}") if scenario.clocked else None
        self.server = StormServer(Path(self._server_folder.name), scenario.fsync, self.network)
        own = {"REDIS_URL": (self.network or self.server).url, "HIVE_PARTITIONS": str(scenario.partitions)}
        environment = KEEPS | own | scenario.environment
        arguments = ("--concurrency", str(scenario.concurrency), "--tags", "storm")
        self.fleet = Fleet(folder, environment, self.recorder, arguments)
        self.fleet.inside = self.network.inside if self.network else nullcontext
        if self.clocks:
            self.fleet.peculiar = self.clocks.environment
        self.client = self.server.client()
        given = {name.lower(): value for name, value in environment.items() if name.startswith("HIVE_")}
        self._settings = Settings.load(**given, redis_url=self.server.url)
        self.space = Keyspace(NAMESPACE, scenario.partitions)
        self._begun_s = 0.0

    # ------------------------------------------------------------------------------------- for the weather

    @property
    def rages(self) -> bool:
        """Whether bad weather is to go on."""
        return time.monotonic() - self._begun_s < self.seconds

    async def pause(self, least_s: float, most_s: float) -> None:
        """A random while."""
        await asyncio.sleep(self.rng.uniform(least_s, most_s))

    def blow(self, text: str) -> None:
        """Write down what is done."""
        self.recorder.write("blow", text=text)

    def spores(self) -> list[Node]:
        """The Spores that run."""
        return self.fleet.living(SPORE)

    def any_spore(self) -> Node | None:
        """One of them."""
        running = self.spores()
        return self.rng.choice(running) if running else None

    def leader(self) -> Node | None:
        """The Nexus that leads."""
        with suppress(redis.RedisError):
            text = self.client.get(self.space.key(0, "leader"))
            if isinstance(text, bytes):
                return self.fleet.nodes.get(text.decode().partition("~")[0])
        return None

    def lost(self, window: tuple[int, int] | None) -> None:
        """The server may have lost what it said within a window."""
        if window is not None:
            self.recorder.write("rollback", since=window[0], until=window[1])

    # ------------------------------------------------------------------------------------------ the whole

    async def run(self) -> None:
        """Start, let it storm, let it end."""
        for _ in range(self.scenario.nexuses):
            self.fleet.nexus()
        for _ in range(self.scenario.spores):
            self.fleet.spore()
        for _ in range(self.scenario.consumers):
            self.fleet.consumer()
        for number in range(CALLERS):
            self.fleet.caller(self._plan(number))
        await self.all_joined()
        async with self._idle("before") as hive:
            await burst(hive, self._settings)
        begin(self.fleet.folder)
        self._begun_s = time.monotonic()
        callers = asyncio.create_task(self._callers())
        await self.scenario.weather(self)
        await self._calm()
        async with self._idle("after", lambda: self._over(callers)):
            pass
        callers.cancel()
        await self._leave()

    @asynccontextmanager
    async def _idle(self, when: str, met: Callable[[], bool] | None = None) -> AsyncIterator[Hive]:
        """After the block, and once all that is to end has: note how, have it forgotten, and weigh what is left."""
        async with hive_of(self._settings, self.recorder) as hive:
            yield hive
            if not await self._until(met or (lambda: self._left() == 0 and self._all_beaten())):
                self.recorder.write("residue", text=f"nothing ended for {STANDSTILL_S:g} s of calm")
            look_at_ends(self.client, self.space, self.recorder)
            await forget(hive, self.client)
            weigh(self.client, self.space, self._nodes(), self.recorder, when)

    def _plan(self, number: int) -> Plan:
        scenario, scale = self.scenario, self.scale
        tasks = max(round(scale.tasks * scenario.share / CALLERS), 1)
        seed = scale.seed + scenario.name
        rare = {name: count * max(tasks // RARE_PER_TASKS, 1) for name, count in scenario.rare.items()}
        return Plan(f"c{number}", seed, tasks, self.seconds * 0.9, USUAL | scenario.mix, rare)

    async def _callers(self) -> None:
        """Who dies in the middle begins anew."""
        while True:
            for node in [node for node in self.fleet.nodes.values() if node.kind == CALLER]:
                if not node.alive and node.process.returncode:
                    self.fleet.again(node)
            if all(node.process.poll() == 0 for node in self.fleet.nodes.values() if node.kind == CALLER):
                return
            await asyncio.sleep(POLL_S)

    async def _calm(self) -> None:
        """Whatever was broken is whole again: a server, a Nexus, and as many Spores as in the beginning."""
        self.server.start_again()
        if self.network is not None:
            self.blow(self.network.heal())
        for node in self.fleet.nodes.values():
            if node.frozen:
                self.fleet.thaw(node)
        for _ in range(self.scenario.spores - len(self.spores())):
            self.fleet.spore()
        for _ in range(self.scenario.nexuses - len(self.fleet.living(NEXUS))):
            self.fleet.nexus()
        for _ in range(self.scenario.consumers - len(self.fleet.living(CONSUMER))):
            self.fleet.consumer()

    async def all_joined(self) -> bool:
        """Wait until all that run have joined; whether they have."""
        return await self._until(self._joined)

    def _joined(self) -> bool:
        """Whether the leases are those of the processes that run, and no others."""
        with suppress(redis.RedisError):
            profiles: Any = self.client.hgetall(self.space.key(0, "profile").decode())
            epochs: Any = self.client.hgetall(self.space.key(0, "names").decode())
            by_pid = {msgspec.msgpack.decode(text, type=NodeProfile).pid: name for name, text in profiles.items()}
            mine = {epochs.get(by_pid.get(node.process.pid)) for node in self._nodes()}
            return all({*self._leases(partition)} == mine for partition in range(self.space.partitions))
        return False

    def _nodes(self) -> list[Node]:
        """All that hold a lease while they run."""
        return [*self.spores(), *self.fleet.living(NEXUS), *self.fleet.living(CONSUMER)]

    def _all_beaten(self) -> bool:
        """Whether each has told its load."""
        with suppress(redis.RedisError):
            told: Any = self.client.hlen(self.space.key(0, "load").decode())
            return int(told) >= len(self._nodes())
        return False

    def _leases(self, partition: int) -> list[bytes]:
        found: Any = self.client.zrange(self.space.key(partition, "lease"), 0, -1)
        return list(found)

    def _revive(self) -> None:
        """A Spore that died of its task comes back, as a supervisor would have it."""
        dead = [node for node in self.fleet.nodes.values() if node.kind == SPORE and not node.alive]
        for node in dead[: max(self.scenario.spores - len(self.spores()), 0)]:
            self.fleet.again(node)

    def _left(self) -> int:
        """How many tasks wait or run; -1 while the server is away."""
        with suppress(redis.RedisError):
            return sum(sum(counts_of(self.client, self.space, number)[:3]) for number in range(self.space.partitions))
        return -1

    def _over(self, callers: asyncio.Task[None]) -> bool:
        self._revive()
        return callers.done() and self._left() == 0 and self._joined()

    async def _until(self, met: Callable[[], bool]) -> bool:
        """Wait for something, for as long as tasks go on ending."""
        left, end_s = self._left(), time.monotonic() + STANDSTILL_S
        while not met():
            if (now_left := self._left()) != left:
                left, end_s = now_left, time.monotonic() + STANDSTILL_S
            if time.monotonic() > end_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _leave(self) -> None:
        late = await self.fleet.drain(*self._nodes())
        for node in late:
            self.recorder.write("residue", text=f"{node.name} did not leave when it was told to")
        for node in self.fleet.nodes.values():
            if b"Traceback" in (self.fleet.folder / f"{node.name}.log").read_bytes():
                self.recorder.write("residue", text=f"{node.name} logged a traceback")
        look_at_rest(self.client, self.space, self.recorder)

    def close(self) -> None:
        """End everything."""
        self.fleet.close()
        self.client.close()
        self.server.close()
        if self.network is not None:
            self.network.close()
        self.recorder.close()
        self._server_folder.cleanup()


def storm(scenario: Scenario, scale: Scale, folder: Path) -> Verdict:
    """Let a scenario happen in a folder and judge it."""
    folder.mkdir(parents=True)

    async def happen() -> None:
        made = Storm(scenario, scale, folder)
        try:
            await made.run()
        finally:
            made.close()

    asyncio.run(happen())
    return judge(folder)
