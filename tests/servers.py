"""Servers that tests may break, and the check that a test leaves no key behind."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from venom_core.clock import Clock
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server
from venom_core.infrastructure.keys import KEYS, KeySpec
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.redis_errors import foreign_errors
from venom_core.infrastructure.redis_pools import Pools

# VENOM_REDIS_SERVER runs the suite on another server; read before any test hides the environment.
SERVER_BINARY = os.environ.get("VENOM_REDIS_SERVER") or None
# Short, because the path of a socket may not be long.
SHORT_ROOT = tempfile.gettempdir()


class PrivateServer:
    """A server of one test, which keeps every write: kill it, start it again, let it stall."""

    def __init__(self, data_dir: Path, *, loopback: bool = False, extra: tuple[str, ...] = ()) -> None:
        self.data_dir = data_dir
        self._options = ServerOptions(appendfsync="always", loopback=loopback, extra=extra)
        self._server = self._start()
        self.url = self._server.url

    @property
    def pid(self) -> int:
        assert self._server.pid is not None
        return self._server.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._server.alive:
            os.kill(self.pid, signal.SIGKILL)
        self._server.stop()

    def restart(self) -> None:
        """Start it again at the same address with what it had written; a running one is killed first."""
        self.kill()
        self._server = self._start()
        self.url = self._server.url

    def stall(self) -> None:
        """SIGSTOP: connections are accepted, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on, with what was sent meanwhile."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A blocking client for a look past our own code; close it."""
        return sync_client(self.url)

    def _start(self) -> EmbeddedServer:
        return ensure_server(self.data_dir, url=None, server_binary=SERVER_BINARY, options=self._options)


def sync_client(url: str) -> redis.Redis:
    return Pools(parse_address(url)).sync_client(5.0)


def leaked_keys(client: redis.Redis, namespace: str) -> list[str]:
    """Keys of a hive without a TTL that no line of `KEYS` owns; afterwards the hive has no key at all."""
    names: list[bytes] = list(client.scan_iter(match=f"*{namespace}*", count=1000))
    faults = [fault for name in names if (fault := _fault(client, name.decode(), namespace))]
    if names:
        client.unlink(*names)
    return faults


def _fault(client: redis.Redis, key: str, namespace: str) -> str:
    lives_ms = client.pttl(key)
    assert isinstance(lives_ms, int)
    kind = client.type(key)
    assert isinstance(kind, bytes)
    if lives_ms >= 0 or kind == b"none":
        return ""
    name = re.sub(r"^\{%s:\d+\}:" % re.escape(namespace), "", key)
    owner = next((spec for spec in KEYS if name != key and _pattern(spec).fullmatch(name)), None)
    if owner is None:
        return f"{key} has no TTL and no line in KEYS"
    if owner.leaves_by == "TTL":
        return f"{key} has no TTL, though KEYS says that it leaves by one"
    return "" if kind.decode() == owner.kind else f"{key} is a {kind.decode()}, but KEYS says {owner.kind}"


def _pattern(spec: KeySpec) -> re.Pattern[str]:
    return re.compile(re.sub(r"<\w+>", ".+", spec.name), re.DOTALL)


@contextmanager
def bare_server(binary: str | Path, url: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server process with exactly these arguments, once it answers at `url`; killed at the end."""
    process = subprocess.Popen([str(binary), *args], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        client = sync_client(url)
        deadline = Clock().monotonic_s() + 20
        while not _answers(client):
            assert process.poll() is None, f"{binary} ended with {process.returncode}"
            assert Clock().monotonic_s() < deadline, f"{binary} does not answer"
        client.close()
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port nobody listens on, below the ephemeral range and with room for a cluster's bus port."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _answers(client: redis.Redis) -> bool:
    try:
        with foreign_errors():
            return bool(client.ping())
    except StoreUnavailable:
        time.sleep(0.01)
        return False
