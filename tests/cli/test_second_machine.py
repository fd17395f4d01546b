"""Two machines with a wire between them: network namespaces, and the wire is cut and mended under running work."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.households import VENOM, Household, household
from tests.hives import until_so
from tests.processes import ROOT

PORT = 6379
ITEMS = 60


class Machines:
    """`here` and `there`: two network namespaces and the wire between them."""

    def __init__(self) -> None:
        mark = secrets.token_hex(2)
        self.here, self.there = f"vh{mark}h", f"vh{mark}t"
        net = secrets.randbelow(200) + 20
        self.address = f"10.77.{net}.1"
        ends = {self.here: (f"va{mark}", self.address), self.there: (f"vb{mark}", f"10.77.{net}.2")}
        self._far_end = ends[self.there][0]
        for name in ends:
            ip("netns", "add", name)
        ip("link", "add", ends[self.here][0], "type", "veth", "peer", "name", self._far_end)
        for name, (device, address) in ends.items():
            ip("link", "set", device, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            for each in ("lo", device):
                ip("-n", name, "link", "set", each, "up")

    def inside(self, name: str) -> list[str]:
        """Words in front of a command that is to run on one of them."""
        return ["ip", "netns", "exec", name]

    def cut(self) -> None:
        """The wire is cut: nothing is refused, nothing arrives."""
        ip("-n", self.there, "link", "set", self._far_end, "down")

    def mend(self) -> None:
        """And mended."""
        ip("-n", self.there, "link", "set", self._far_end, "up")

    def remove(self) -> None:
        """Both machines and the wire."""
        for name in (self.here, self.there):
            ip("netns", "del", name)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture
def machines() -> Iterator[Machines]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the command ip: apt-get install iproute2")
    try:
        made = Machines()
    except OSError as fault:
        pytest.skip(f"this machine makes no network namespaces: {fault}")
    yield made
    made.remove()


class Here:
    """Commands on the first machine, in the hive that runs there."""

    def __init__(self, machines: Machines, hive: Household) -> None:
        self._front = machines.inside(machines.here)
        url, token = (word.partition("=")[2] for word in shlex.split(hive.invitation)[:2])
        self._environment = os.environ | {"REDIS_URL": url, "NEXUS_SHARED_TOKEN": token, "HIVE_PROFILE": "fast"}

    async def start(self, *words: str, stdin: int | None = None) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._front, *VENOM, *words, cwd=ROOT, env=self._environment, stdin=stdin,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def ask(self, *words: str) -> Any:
        """What a command prints as JSON."""
        said, trouble = await (await self.start(*words)).communicate()
        assert said, trouble.decode()
        return json.loads(said)

    async def do(self, *words: str) -> None:
        """A command that must do what it is told."""
        process = await self.start(*words)
        said, trouble = await process.communicate()
        assert process.returncode == 0, said.decode() + trouble.decode()

    async def until(self, name: str, state: str) -> None:
        """Wait until a node is online, offline or cordoned."""

        async def so() -> bool:
            return any((node["name"], node["state"]) == (name, state) for node in await self.ask("nodes", "--json"))

        await until_so(so, 60)


@pytest.mark.timeout(240)
async def test_a_second_machine_works_through_a_partition_that_heals(machines: Machines, short_dir: Path) -> None:
    bind = ("--bind", machines.address, "--port", str(PORT))
    with household(short_dir / "data", *bind, front=machines.inside(machines.here)) as hive:
        await hive.up()
        guest = await _guest(machines, hive.invitation)
        try:
            here = Here(machines, hive)
            await here.until("there", "online")
            await here.do("node", "cordon", "spore-1")
            run = await here.start("map", "pause", "-", stdin=asyncio.subprocess.PIPE)
            work = asyncio.create_task(run.communicate(b'{"seconds": 0.4}\n' * ITEMS))
            await here.until("there", "online")
            machines.cut()
            await here.until("there", "offline")
            assert not work.done()
            machines.mend()
            await here.until("there", "online")
            await here.do("node", "uncordon", "spore-1")
            said, trouble = await asyncio.wait_for(work, 90)
            assert run.returncode == 0, trouble.decode()
            lines = [json.loads(line) for line in said.splitlines()]
            assert sorted(line["item_index"] for line in lines) == list(range(ITEMS))
            assert {line["status"] for line in lines} == {"completed"}
        finally:
            guest.terminate()
            await guest.wait()
        hive.interrupt()
        assert await hive.ended() == 0


async def _guest(machines: Machines, invitation: str) -> asyncio.subprocess.Process:
    """The one line, pasted on the second machine."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    outside: Sequence[str] = [name for name in os.environ if name.startswith(("REDIS_", "HIVE_", "NEXUS_"))]
    environment = {name: value for name, value in os.environ.items() if name not in outside}
    return await asyncio.create_subprocess_exec(
        *machines.inside(machines.there), "sh", "-c", f"exec env {invitation} --name there --concurrency 4",
        cwd=ROOT, env=environment | {"PATH": path, "HIVE_PROFILE": "fast"},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip


def test_from_the_second_machine_nobody_enters_without_the_password(machines: Machines, short_dir: Path) -> None:
    front = machines.inside(machines.here)
    with household(short_dir / "data", "--bind", machines.address, front=front) as hive:
        asyncio.run(hive.up())
        url = f"redis://{machines.address}:{PORT}/0"
        outside = [*machines.inside(machines.there), *VENOM, "status", "--redis-url", url]
        done = subprocess.run(outside, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
        assert done.returncode == 1
        assert "wants a password" in done.stderr
        hive.interrupt()
        assert asyncio.run(hive.ended()) == 0
