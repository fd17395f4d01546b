"""A thousand who hear a broadcast: python -m benchmarks.listeners PORT CHANNEL COUNT

One process holds COUNT raw connections, each subscribed, and waits for all of them with epoll. It prints a line when
all are subscribed. For each message that all have heard it prints a line of JSON: when each listener had it, in
nanoseconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from benchmarks.sides import ROOT

SPARE_FILES = 64
START_S = 60.0
HEARD_S = 10.0


@contextmanager
def listeners(port: int, channel: str, count: int) -> Iterator[IO[str]]:
    """So many listeners for the length of a block; what they print."""
    command = [sys.executable, "-m", "benchmarks.listeners", str(port), channel, str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if read_line(process.stdout, START_S) != "subscribed\n":
                raise SystemExit(f"{count:,} listeners did not subscribe within {START_S:g} s")
            yield process.stdout
        finally:
            process.terminate()


def read_line(told: IO[str], most_s: float = HEARD_S) -> str:
    """What they print next."""
    if not select.select([told], [], [], most_s)[0]:
        raise SystemExit(f"not every listener heard within {most_s:g} s")
    return told.readline()


def subscribe(port: int, channel: str, count: int) -> list[socket.socket]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < count + SPARE_FILES:
        raise SystemExit(f"{count:,} listeners need a limit of open files above {most:,}; raise it with ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for line in lines:
        line.sendall(f"SUBSCRIBE {channel}\r\n".encode())
    for line in lines:
        line.recv(4_096)
        line.setblocking(False)
    return lines


def main() -> None:
    lines = subscribe(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    ready, by_number = select.epoll(len(lines)), {line.fileno(): line for line in lines}
    for number in by_number:
        ready.register(number, select.EPOLLIN)
    print("subscribed", flush=True)
    heard: list[int] = []
    while True:
        for number, _ in ready.poll(maxevents=len(lines)):
            message = by_number[number].recv(65_536)
            heard.append(time.monotonic_ns())
            if not message.endswith(b"\r\n"):
                raise SystemExit("the server hung up, or sent half a message")
        if len(heard) == len(lines):
            print(json.dumps(heard), flush=True)
            heard.clear()


if __name__ == "__main__":
    main()
