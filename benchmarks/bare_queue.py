"""A queue with nothing to it, which the gate divides by: python -m benchmarks.bare_queue PORT COUNT

Fills a list, and takes it out again by the hundred: each entry is unpacked, run as an asyncio task, and its result kept
in a hash. It is no good as a queue. But it sends and waits, and fetches memory, as a Spore does, so that a crowded
machine makes both dearer alike.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from typing import Any

import hiredis
import msgspec

from venom_core.event_loop import run

AT_A_TIME = 100
LIST, RESULTS = "bare:list", "bare:results"


class Wire:
    """One command after another over a socket, each waited for."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def ask(self, *command: Any) -> Any:
        """The answer; raises what the server says is wrong."""
        self._socket.sendall(hiredis.pack_command(command))
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(262_144)
            if not data:
                raise SystemExit("the server hung up")
            self._reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply


async def body(number: int) -> int:
    return number


def fill(wire: Wire, count: int) -> None:
    """So many entries, by the hundred."""
    for start in range(0, count, AT_A_TIME):
        entries = [
            msgspec.msgpack.encode({"id": f"task-{number:012}", "n": number, "timeout": 300})
            for number in range(start, start + AT_A_TIME)
        ]
        wire.ask("RPUSH", LIST, *entries)


async def drain(wire: Wire) -> int:
    """Run all there is; how many that were."""
    done = 0
    while packed := wire.ask("LPOP", LIST, AT_A_TIME):
        entries = [msgspec.msgpack.decode(entry) for entry in packed]
        results = await asyncio.gather(*(asyncio.ensure_future(body(entry["n"])) for entry in entries))
        pairs = zip(entries, results, strict=True)
        wire.ask(
            "HSET",
            RESULTS,
            *(part for entry, result in pairs for part in (entry["id"], msgspec.msgpack.encode(result))),
        )
        done += len(entries)
    return done


async def main() -> None:
    wire, count = Wire(int(sys.argv[1])), int(sys.argv[2])
    fill(wire, count)
    begin_s = time.process_time()
    if (done := await drain(wire)) < count:
        raise SystemExit(f"{done:,} of {count:,} entries were there")
    print(json.dumps({"bare run": (time.process_time() - begin_s) / done * 1e6}))


if __name__ == "__main__":
    run(main())
