"""The Redis server under measurement: our own process on a free loopback port, nothing kept on disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

START_S = 10.0


class Server:
    """A running server and a blocking client to look at it."""

    def __init__(self, folder: Path) -> None:
        self.binary = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
        if self.binary is None:
            raise SystemExit("there is no redis-server on PATH; install one, or name it in REDIS_SERVER")
        self.port = free_port()
        self._socket = folder / "server.sock"
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        self._process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        self._await_answer()
        self.version = str(self.info("server")["redis_version"])

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        """Its other address, a socket of this machine, which is what `venom up` gives a hive."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def info(self, section: str) -> dict[str, Any]:
        """One section of INFO."""
        found: dict[str, Any] = self.client.info(section)
        return found

    def cpu_s(self) -> float:
        """CPU seconds the server has used."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    def used_bytes(self) -> int:
        """Bytes the server has allocated."""
        return int(self.info("memory")["used_memory"])

    def empty(self) -> None:
        """Drop everything."""
        self.client.flushall()

    def client_calls(self, seconds: float) -> int:
        """Commands that clients sent within so many seconds; what scripts call does not count."""
        heard = b""
        with socket.create_connection(("127.0.0.1", self.port)) as monitor:
            monitor.sendall(b"MONITOR\r\n")
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                monitor.settimeout(left)
                try:
                    heard += monitor.recv(65_536)
                except TimeoutError:
                    break
        lines = heard.splitlines()[1:]  # the first one says OK
        return sum(b" lua] " not in line for line in lines)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._process.terminate()
        self._process.wait()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise SystemExit(f"{self.binary} does not answer on port {self.port}") from None
                time.sleep(0.02)
            else:
                return


@contextmanager
def server_in(folder: Path) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
