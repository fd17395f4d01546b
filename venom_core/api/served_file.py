"""One file as an answer: opened without following a link, sent from its descriptor, resumable by range.

What stands below the folder may be changed while it is served: the descriptor goes on meaning the file that was
opened, and its tag changes with any other.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from venom_core.api.byte_range import Span, Unsatisfiable, wanted
from venom_core.event_loop import end_tasks

CHUNK_BYTES = 256 * 1024
TRANSFER_S_MAX = 3600.0
"""Seconds for one answer; who reads more slowly resumes."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Opened(NamedTuple):
    """An open regular file: its descriptor, bytes, and a tag that no other state of it has."""

    descriptor: int
    size: int
    etag: str


def open_below(folder: Path, parts: Sequence[str]) -> Opened:
    """Open `folder/parts…`; `OSError` if it is not there, no regular file, or a link leads to it.

    `parts` are names that were checked: none is empty, `.`, `..` or holds a slash.
    """
    here = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            here, before = os.open(part, _FOLDER, dir_fd=here), here
            os.close(before)
        descriptor = os.open(parts[-1], _FILE, dir_fd=here)
    finally:
        os.close(here)
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(parts[-1])
    return Opened(descriptor, state.st_size, f'"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"')


class FileAnswer(Response):
    """A part of an open file, or the whole; the descriptor is closed when it was sent, or could not be."""

    def __init__(self, opened: Opened, span: Span, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status_code=status, headers={**headers, "content-length": str(span.end - span.start)})
        self._opened, self._span = opened, span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it until it is sent, nobody listens any more, or `TRANSFER_S_MAX` is over."""
        try:
            whole = scope["method"] != "HEAD"
            sending = asyncio.create_task(self._send(send, self._span if whole else Span(0, 0)))
            gone = asyncio.create_task(_gone(receive))
            try:
                await asyncio.wait({sending, gone}, timeout=TRANSFER_S_MAX, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks(sending, gone)
        finally:
            os.close(self._opened.descriptor)

    async def _send(self, send: Send, span: Span) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        at = span.start
        while at < span.end:
            count = min(CHUNK_BYTES, span.end - at)
            chunk = await asyncio.to_thread(os.pread, self._opened.descriptor, count, at)
            if not chunk:
                return  # it was cut meanwhile: the answer stays incomplete, and whoever reads it sees that
            at += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def answer_with(request: Request, opened: Opened, headers: Mapping[str, str]) -> Response:
    """The answer to a GET or HEAD of an open file, by its range and by what the client has already."""
    given = request.headers
    told = {**headers, "accept-ranges": "bytes", "etag": opened.etag}
    if given.get("if-none-match", "").strip() == opened.etag:
        os.close(opened.descriptor)
        return Response(status_code=304, headers=told)
    try:
        span = wanted(opened.size, given.get("range", ""), given.get("if-range", ""), opened.etag)
    except Unsatisfiable:
        os.close(opened.descriptor)
        return Response(status_code=416, headers={**told, "content-range": f"bytes */{opened.size}"})
    if span is None:
        return FileAnswer(opened, Span(0, opened.size), 200, told)
    told["content-range"] = f"bytes {span.start}-{span.end - 1}/{opened.size}"
    return FileAnswer(opened, span, 206, told)
