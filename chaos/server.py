"""The server of a storm: a real one with a policy for its append-only file, to kill, to stall, and to cut the power of.

A SIGKILL loses only what the server has not yet written to the file; the system's cache outlives it. A loss of
power takes that cache too. It is played by cutting the file back to what it was some time before the kill.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import redis

from chaos.events import wall_us
from chaos.network import SERVER, Network
from tests.servers import SERVER_BINARY, sync_client
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server

SAMPLE_S = 0.02
SECOND_US = 1_000_000
# With `everysec` a write may wait so long for an fsync that is under way.
POSTPONED_S = 2.0


class StormServer:
    """A server in a folder of its own; `fsync` is always, everysec, no, or "" for no file at all.

    With a network it stands on a machine there, and `url`, its socket, is for whoever looks on from outside.
    """

    def __init__(self, folder: Path, fsync: str = "", network: Network | None = None) -> None:
        self.fsync = fsync
        self._folder, self._network = folder, network
        extra = ("--auto-aof-rewrite-percentage", "0", *(network.server_arguments if network else ()))
        self._options = ServerOptions(appendonly=bool(fsync), appendfsync=fsync or "no", extra=extra)
        self._sizes = [(wall_us(), 0)]
        self._stopped = threading.Event()
        self._server = self._start()
        self.url = self._server.url
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def client(self) -> redis.Redis:
        """A blocking client past our own code; close it."""
        return sync_client(self.url)

    def kill(self) -> tuple[int, int] | None:
        """SIGKILL. Answers the window (µs) of which writes may be lost by this alone, or None."""
        os.kill(self._pid, signal.SIGKILL)
        self._server.stop()
        now = wall_us()
        if self.fsync == "everysec":
            return now - round(POSTPONED_S * SECOND_US), now
        return (0, now) if not self.fsync else None

    def cut_power(self, seconds: float) -> tuple[int, int]:
        """SIGKILL, and the file is as it was so many seconds ago; the window of what is lost."""
        self.kill()
        killed = wall_us()
        at, size = next(
            (sample for sample in reversed(self._sizes) if sample[0] <= killed - seconds * SECOND_US), self._sizes[0]
        )
        path = self._file()
        if path is not None and path.stat().st_size > size:
            os.truncate(path, size)
        # What stood in the file then had been answered before, unless its writing was put off.
        return at - round(POSTPONED_S * SECOND_US), killed

    def start_again(self) -> None:
        """Start it with what its file holds."""
        if not self._server.alive:
            self._server = self._start()

    def stall(self) -> None:
        """SIGSTOP."""
        os.kill(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        """End it for good."""
        self._stopped.set()
        self._sampler.join()
        if self._server.alive:
            self.resume()
            os.kill(self._pid, signal.SIGKILL)
        self._server.stop()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._server.alive

    @property
    def _pid(self) -> int:
        assert self._server.pid is not None
        return self._server.pid

    def _start(self) -> EmbeddedServer:
        there: AbstractContextManager[object] = self._network.inside(SERVER) if self._network else nullcontext()
        with there:
            return ensure_server(self._folder, url=None, server_binary=SERVER_BINARY, options=self._options)

    def _file(self) -> Path | None:
        return next(iter(sorted(self._folder.glob("appendonlydir/*.incr.aof"))), None)

    def _sample(self) -> None:
        """How long the file was when; the last minute is enough."""
        while not self._stopped.wait(SAMPLE_S):
            path = self._file()
            if path is not None:
                self._sizes.append((wall_us(), path.stat().st_size))
                del self._sizes[: -round(60 / SAMPLE_S)]


def full(client: redis.Redis, *, full: bool) -> None:
    """Let the server have no memory left, or all it wants."""
    info: Any = client.info("memory")
    client.config_set("maxmemory", max(int(info["used_memory"]) // 2, 1) if full else 0)
