"""An HTTP server on 127.0.0.1 that answers as the test says, however badly; it speaks just enough of HTTP/1.1."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """What came in; names of headers are in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """One answer as a whole."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "text/html; charset=utf-8"})


def answer_json(value: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"content-type": "application/json"})


Writing = Callable[[asyncio.StreamWriter], Awaitable[None]]
Reply = Answer | Writing


def head(length: int | None = None, status: int = 200, **headers: str) -> bytes:
    """Status line and headers, for an answer that is written piece by piece."""
    lines = [f"HTTP/1.1 {status} X", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


class Loopback:
    """`replies` by path; the last one given for a path stays. `requests` holds what came in, in order."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self.sent_bytes = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, *replies: Reply | bytes | str) -> str:
        """Answer a path so, one reply a request; returns its address."""
        made = [Answer(reply.encode()) if isinstance(reply, str) else reply for reply in replies]
        self.replies[path] = [Answer(reply) if isinstance(reply, bytes) else reply for reply in made]
        return self.address + path

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await _read_request(reader)
            self.requests.append(request)
            waiting = self.replies.get(request.path) or [Answer(b"nothing here", 404)]
            reply = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if isinstance(reply, Answer):
                writer.write(head(len(reply.body), reply.status, **reply.headers) + reply.body)
            else:
                await reply(writer)
            await writer.drain()
        writer.close()

    async def flood(self, writer: asyncio.StreamWriter, piece: bytes = b"x" * 65_536, total: int = 1 << 30) -> None:
        """Send pieces until a GiB is sent or nobody listens any more; `sent_bytes` says how much went out."""
        while self.sent_bytes < total:
            writer.write(piece)
            await writer.drain()
            self.sent_bytes += len(piece)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


@contextlib.asynccontextmanager
async def loopback(tls: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    """A server for the length of the block; connections that still stand at its end are cut."""
    made = Loopback()
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        try:
            await made.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            served.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in served:
            task.cancel()
        if served:
            await asyncio.wait(served)
