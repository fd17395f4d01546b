"""A TCP way to a server, which a test may break in silence: the connections it carries are dead, and nobody is told.

So it is when a firewall forgets a connection, or a machine is gone without a word.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from venom_core.event_loop import end_tasks
from venom_core.infrastructure.redis_address import parse_address

PIECE_BYTES = 64 * 1024


class Cable:
    """Carries any number of connections to the socket of a server; `url` is this end."""

    def __init__(self, server_url: str) -> None:
        self.url = ""
        self._path = parse_address(server_url).path
        self._connections: list[_Connection] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await end_tasks(*(connection.task for connection in self._connections))

    def forget(self) -> None:
        """The connections there are carry nothing any more, and stay open at both ends; new ones are good."""
        for connection in self._connections:
            connection.dead = True

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.append(_Connection(reader, writer, self._path))


class _Connection:
    """One of them, from end to end; when one end closes it, so does the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        self.dead = False
        self.task = asyncio.create_task(self._join(reader, writer, path))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        from_there, to_there = await asyncio.open_unix_connection(path)
        ways = [asyncio.create_task(self._carry(*way)) for way in ((reader, to_there), (from_there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(*ways)
            for end in (writer, to_there):
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # a reset is an end too
            while data := await reader.read(PIECE_BYTES):
                if not self.dead:
                    writer.write(data)
                    await writer.drain()
