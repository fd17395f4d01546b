"""The processes of a storm: Spores, Nexus and callers, started with a history, killed, frozen, drained."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaos.events import HISTORY, Recorder, wall_us
from chaos.mix import Plan

ROOT = Path(__file__).parent.parent
LEAVES_WITHIN_S = 30.0
POLL_S = 0.01
SPORE, NEXUS, CALLER, CONSUMER = "spore", "nexus", "caller", "consumer"


@dataclass
class Node:
    """One process and how to start it again."""

    kind: str
    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    frozen: bool = False
    frozen_since: int = 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None


@dataclass
class Fleet:
    """All processes; what they log is in `folder`.

    `inside` is entered to start a process of a name, and `peculiar` says what stands in its environment alone.
    """

    folder: Path
    environment: dict[str, str]
    recorder: Recorder
    spore_arguments: tuple[str, ...]
    nodes: dict[str, Node] = field(default_factory=dict)
    made: int = 0
    inside: Callable[[str], AbstractContextManager[object]] = nullcontext
    peculiar: Callable[[str], dict[str, str]] = lambda _: {}

    def spore(self, name: str = "") -> Node:
        """Start a Spore, under a new name if none is given."""
        self.made += 1
        name = name or f"spore-{self.made}"
        return self._start(SPORE, name, ["chaos.node", SPORE, name, *self.spore_arguments])

    def nexus(self, name: str = "") -> Node:
        """Start a Nexus."""
        self.made += 1
        name = name or f"nexus-{self.made}"
        return self._start(NEXUS, name, ["chaos.node", NEXUS, name])

    def consumer(self, name: str = "") -> Node:
        """Start a hand-written loop."""
        self.made += 1
        name = name or f"consumer-{self.made}"
        return self._start(CONSUMER, name, ["chaos.consumer", name])

    def caller(self, plan: Plan) -> Node:
        """Start a caller."""
        return self._start(CALLER, plan.prefix, ["chaos.caller", msgspec.json.encode(plan).decode()])

    def again(self, node: Node) -> Node:
        """The same command once more, after the process has ended."""
        return self._start(node.kind, node.name, node.command)

    def living(self, kind: str) -> list[Node]:
        """The processes of a kind that run and are not frozen."""
        return [node for node in self.nodes.values() if node.kind == kind and node.alive and not node.frozen]

    def kill(self, node: Node) -> None:
        """SIGKILL, and wait until it is gone."""
        self.recorder.write("blow", text=f"kill {node.name}")
        node.process.kill()
        node.process.wait()

    def freeze(self, node: Node) -> None:
        """SIGSTOP."""
        self.recorder.write("blow", text=f"freeze {node.name}")
        node.frozen, node.frozen_since = True, wall_us()
        node.process.send_signal(signal.SIGSTOP)

    def thaw(self, node: Node) -> None:
        """SIGCONT."""
        self.recorder.write("still", text=node.name, since=node.frozen_since, until=wall_us())
        node.process.send_signal(signal.SIGCONT)
        node.frozen = False

    async def drain(self, *nodes: Node) -> list[Node]:
        """SIGTERM and wait until they are gone; those that did not go, which are killed."""
        for node in nodes:
            self.recorder.write("blow", text=f"drain {node.name}")
            if node.alive:
                node.process.terminate()
        await self.ended(*nodes)
        late = [node for node in nodes if node.alive]
        for node in late:
            self.kill(node)
        return late

    async def ended(self, *nodes: Node, within_s: float = LEAVES_WITHIN_S) -> bool:
        """Wait until processes have ended; whether they did."""
        end_s = asyncio.get_running_loop().time() + within_s
        while any(node.alive for node in nodes):
            if asyncio.get_running_loop().time() > end_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def close(self) -> None:
        """Kill whatever still runs."""
        for node in self.nodes.values():
            if node.alive:
                node.process.kill()
            node.process.wait()

    def _start(self, kind: str, name: str, command: list[str]) -> Node:
        environment = os.environ | self.environment | {HISTORY: str(self.folder)} | self.peculiar(name)
        # Hundreds of processes start in a run: what one has compiled is there for the next.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with (self.folder / f"{name}.log").open("ab") as log, self.inside(name):
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        node = self.nodes[name] = Node(kind, name, command, process)
        return node
