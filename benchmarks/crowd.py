"""Nodes that only beat: python -m benchmarks.crowd PORT COUNT

One process is many Spores as far as Redis and a Nexus can tell: each has joined under a profile of its own and sends
the heartbeat script at the default rhythm, over one raw connection, in pipelines of what is due. It prints a line
when all have joined, and runs until its input is closed; then it prints how many beats were answered in a second.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import hiredis

from benchmarks.sides import ROOT, TOKEN
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.node import NodeLoad, NodeProfile
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.node_store import NodeStore

START_S = 60.0
PAUSE_S = 0.005
SLOTS = 8


def profile_of(number: int) -> NodeProfile:
    """A node of a mixed hive: some have GPUs, every thirtieth stands in the same rack, releases differ."""
    dice = random.Random(number)
    gpus = dice.choice((0, 0, 0, 1, 2, 8))
    return NodeProfile(
        name=f"spore-{number:05d}",
        release=dice.choice(("0.9.2", "1.0.0", "1.0.1", "1.1.0")),
        concurrency=SLOTS,
        skills=("scan", "mail", *(f"skill.{kind}" for kind in dice.sample(range(40), 8))),
        tags=(f"rack-{number % 30}", dice.choice(("cellar", "attic"))),
        host=f"machine-{number:05d}.example",
        pid=1_000 + number,
        started_ms=1_800_000_000_000 + number,
        capabilities={"ocr": round(dice.random(), 3), **({"vision": 0.9} if gpus else {})},
        hardware={"cpu_count": 8.0, "memory_mb": 32_768, "gpus": gpus},
    )


def load_of(dice: random.Random) -> NodeLoad:
    """Any load; no two beats say the same."""
    memory = dice.uniform(10, 90)
    return NodeLoad(
        cpu_percent=dice.uniform(0, 100),
        memory_percent=memory,
        disk_percent=dice.uniform(10, 90),
        load_1m=dice.uniform(0, 8),
        active_tasks=dice.randrange(SLOTS + 1),
        loop_silent_ms=dice.randrange(20),
        memory_available_mb=32_768 * (1 - memory / 100),
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One simulated node."""

    name: str
    epoch: int


class Crowd:
    """Members and the connection they beat over."""

    def __init__(self, port: int, store: NodeStore, members: list[Member], rhythm: tuple[float, float]) -> None:
        self._store, self._members = store, members
        self._heartbeat_s, self._lease_ms = rhythm[0], round(rhythm[1] * 1000)
        self._line = socket.create_connection(("127.0.0.1", port))
        self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        self._dice = random.Random(1)
        self._answered = 0

    def beat_until_input_ends(self) -> float:
        """Every member beats each heartbeat less up to a tenth, as a Spore does; beats answered in a second."""
        begin = time.monotonic()
        due = [(begin + self._dice.uniform(0, self._heartbeat_s), number) for number in range(len(self._members))]
        heapq.heapify(due)
        while not select.select([sys.stdin], [], [], max(due[0][0] - time.monotonic(), PAUSE_S))[0]:
            now, ready = time.monotonic(), list[int]()
            while due[0][0] <= now:
                at, number = due[0]
                heapq.heapreplace(due, (at + self._heartbeat_s * self._dice.uniform(0.9, 1.0), number))
                ready.append(number)
            self._line.sendall(b"".join(self._call(self._members[number]) for number in ready))
            self._read_answers(len(ready))
        return self._answered / (time.monotonic() - begin)

    def _call(self, member: Member) -> bytes:
        load = load_of(self._dice)
        call = self._store.renewal(0, member.epoch, member.name, self._lease_ms, load, may_reap=True)
        packed: bytes = hiredis.pack_command(("EVALSHA", call.sha, len(call.keys), *call.keys, *call.args))
        return packed

    def _read_answers(self, missing: int) -> None:
        while missing:
            reply = self._reader.gets()
            if reply is False:
                data = self._line.recv(262_144)
                if not data:
                    raise SystemExit("the server hung up")
                self._reader.feed(data)
                continue
            if isinstance(reply, Exception) or reply[0] != b"ok":
                raise SystemExit(f"a heartbeat was refused: {reply!r}")
            missing -= 1
            self._answered += 1


@dataclass(slots=True)
class Beating:
    """A crowd at work; `beats_a_s` is known once it has ended."""

    beats_a_s: float = 0.0


@contextmanager
def crowd(port: int, count: int) -> Iterator[Beating]:
    """`count` nodes that beat for the length of a block."""
    command = [sys.executable, "-m", "benchmarks.crowd", str(port), str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        beating = Beating()
        try:
            if not select.select([process.stdout], [], [], START_S)[0] or process.stdout.readline() != "joined\n":
                raise SystemExit(f"{count:,} simulated nodes did not join within {START_S:g} s")
            yield beating
            process.stdin.close()
            beating.beats_a_s = float(process.stdout.readline())
        finally:
            process.terminate()


async def _join(port: int, count: int) -> tuple[NodeStore, list[Member], tuple[float, float]]:
    hive = await Hive.connect(Settings.load(redis_url=f"redis://127.0.0.1:{port}", nexus_shared_token=TOKEN), Clock())
    try:
        lease_ms, members = round(START_S * 1000), list[Member]()
        for number in range(count):
            profile = profile_of(number)
            joined = await hive.nodes.join(profile, lease_ms)
            members.append(Member(profile.name, joined.epoch))
        # Tells the server the script, which the raw connection calls by its digest alone.
        await hive.nodes.renew(members[0].epoch, members[0].name, lease_ms, NodeLoad())
        return hive.nodes, members, (hive.rhythm.heartbeat_s, hive.rhythm.lease_s)
    finally:
        await hive.close()


def main() -> None:
    logging.disable(logging.CRITICAL)
    port, count = int(sys.argv[1]), int(sys.argv[2])
    store, members, rhythm = asyncio.run(_join(port, count))
    beating = Crowd(port, store, members, rhythm)
    print("joined", flush=True)
    print(beating.beat_until_input_ends(), flush=True)


if __name__ == "__main__":
    main()
