"""The two sides of every comparison: the hive, and arq in an environment of its own. Both speak TCP on loopback.

The hive on a socket is a third, for what one machine has for itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis

from benchmarks.environments import environment_of
from benchmarks.server import Server
from benchmarks.tally import CELL_VARIABLE, TALLY_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".bench"
TOKEN = "a-shared-token-for-benchmarks-only-0123456789"
CONCURRENCY = 100


def environment(tally: Path, number: int = 0) -> dict[str, str]:
    """What clients and workers of both sides start with: no setting but the token from outside the benchmark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HIVE_", "REDIS_", "NEXUS_"))}
    return kept | {"NEXUS_SHARED_TOKEN": TOKEN, TALLY_VARIABLE: str(tally), CELL_VARIABLE: str(number)}


@dataclass(frozen=True, slots=True)
class Side:
    """How to call one of them, and where it shows in Redis what is unfinished: tasks queued or running."""

    name: str
    client: tuple[str, ...]
    worker: tuple[str, ...]
    unfinished: Callable[[redis.Redis], int]
    on_socket: bool = False

    def ask(self, server: Server, tally: Path, verb: str, **options: Any) -> dict[str, Any]:
        """What its client reports of one verb: {count, seconds, cpu_s, redis_cpu_s} or lists of milliseconds."""
        address = server.socket_url if self.on_socket else str(server.port)
        command = [*self.client, address, verb, json.dumps(options)]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(tally), check=True, stdout=subprocess.PIPE, timeout=600, text=True
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def start_worker(
        self, server: Server, tally: Path, skills: str = "benchmarks.skills", number: int = 0
    ) -> subprocess.Popen[bytes]:
        """One worker process with concurrency 100, the `number`-th of its kind."""
        url = server.socket_url if self.on_socket else server.url
        place = {"port": server.port, "url": url, "skills": f"{skills}:skills", "number": number}
        command = [part.format(**place) for part in self.worker]
        silent = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=ROOT, env=environment(tally, number), stdout=silent, stderr=silent)


def unfinished_in_hive(client: redis.Redis) -> int:
    """Tasks queued or running in a hive of one partition."""
    counts: Any = client.hmget("{venom:0}:count", ["high", "background"])
    return sum(int(count or 0) for count in counts) + _number(client.hlen("{venom:0}:run"))


def unfinished_in_arq(client: redis.Redis) -> int:
    """Jobs queued or running in arq."""
    return _number(client.zcard("arq:queue"))


def _number(reply: Any) -> int:
    return int(reply)


def hive_side() -> Side:
    """This checkout, run by this interpreter."""
    spore = "-m", "venom_spore.main", "--skills", "{skills}", "--redis-url", "{url}", "--name", "bench-{number}"
    return Side(
        "hive",
        (sys.executable, "-m", "benchmarks.hive_client"),
        (sys.executable, *spore, "--concurrency", str(CONCURRENCY), "--log-level", "WARNING"),
        unfinished_in_hive,
    )


def socket_side() -> Side:
    """The hive as `venom up` has it on one machine: caller, Spore and server meet at a socket."""
    return replace(hive_side(), name="hive, on a socket", on_socket=True)


def arq_side() -> Side:
    """Side of arq with uvloop; it holds redis-py below 6, so it cannot share our environment."""
    python = str(environment_of(CACHE / "arq", ROOT / "benchmarks" / "peers" / "arq" / "locked.txt"))
    return Side(
        "arq",
        (python, "-m", "benchmarks.arq_client"),
        (python, "-m", "benchmarks.arq_worker", "{port}"),
        unfinished_in_arq,
    )


def versions_of(side: Side) -> dict[str, str]:
    """Versions of what a side runs on."""
    names = ["redis", "hiredis", "uvloop"] + (["arq"] if side.name == "arq" else ["msgspec"])
    code = "import sys,json,importlib.metadata as m;print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    done = subprocess.run([side.client[0], "-c", code, *names], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
