"""Runs a program within bounds: its time, what is kept of its output, and its whole process group at the end.

For the shell skill, whose program is anybody's, and for reading pages, whose HTML is. The environment is only
what is given, so that no setting and no secret of the Spore gets in. What leaves both its parent and its session
(a daemon) is not found once its parent is gone.

`venom_core.infrastructure.bounded_process` is another because it blocks, for callers without an event loop, and
keeps the end of the output, where a tool says why it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from venom_core.errors import Forbidden, InvalidTask, TaskTimeout
from venom_spore.process_tree import descendants, send, wait_unreaped

_READ_BYTES = 65_536
# How long somebody else may hold the output open after the program itself has ended and its group was killed.
_ENDING_S = 1.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: exit code (negative: a signal), the head of each output, and whether more was dropped."""

    exit_code: int
    out: bytes
    err: bytes
    cut: bool


async def run_child(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout_s: float,
    output_bytes_max: int,
    given: bytes = b"",
) -> Finished:
    """Run a program on `given` as its standard input; of each output, the first `output_bytes_max` bytes are kept.

    Raises `InvalidTask` if there is no such program, `Forbidden` if it may not be run, `TaskTimeout`. However this
    ends, also when it is cancelled, the program and its process group are gone afterwards.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(given)
        stdin.seek(0)
        async with _pipe() as (out, out_end), _pipe() as (err, err_end):
            process = _start(command, folder, environment, (stdin, out_end, err_end))
            ended = _end_of(process.pid)
            try:
                return await _follow(process, ended, (out, err), timeout_s, output_bytes_max)
            except TimeoutError:
                raise TaskTimeout(f"{Path(command[0]).name} took longer than {timeout_s:g} s and was ended") from None
            finally:
                await _finish(process, ended)


async def _follow(
    process: subprocess.Popen[bytes],
    ended: asyncio.Future[None],
    streams: tuple[asyncio.StreamReader, asyncio.StreamReader],
    timeout_s: float,
    bytes_max: int,
) -> Finished:
    heads = [_Head(stream, bytes_max) for stream in streams]
    listening = [asyncio.create_task(head.listen()) for head in heads]
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(ended)
        code = await _finish(process, ended)
        await asyncio.wait(listening, timeout=_ENDING_S)
    finally:
        for task in listening:
            task.cancel()
        await asyncio.wait(listening)
    first, second = heads
    return Finished(code, bytes(first.kept), bytes(second.kept), first.cut or second.cut)


class _Head:
    """The first bytes of a stream; the rest is read and dropped, so that the program is not held up."""

    def __init__(self, stream: asyncio.StreamReader, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self.kept = bytearray()
        self.cut = False

    async def listen(self) -> None:
        """Read to the end of the stream."""
        while data := await self._stream.read(_READ_BYTES):
            room = self._bytes_max - len(self.kept)
            self.kept += data[:room]
            self.cut = self.cut or len(data) > room


@contextlib.asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """A pipe of our own: with one of asyncio's, some versions wait for its end instead of the program's."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    ours, theirs = os.pipe()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", 0))
    try:
        yield reader, theirs
    finally:
        transport.close()


def _start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], streams: tuple[BinaryIO, int, int]
) -> subprocess.Popen[bytes]:
    stdin, out, err = streams
    try:
        return subprocess.Popen(  # noqa: S603 - whoever calls says what is run, and no shell reads it
            command, stdin=stdin, stdout=out, stderr=err, cwd=folder, env=dict(environment), start_new_session=True
        )
    except FileNotFoundError:
        raise InvalidTask(f"there is no program {command[0]!r:.80} on this node") from None
    except (OSError, ValueError) as fault:
        raise Forbidden(f"{command[0]!r:.80} cannot be run: {fault}") from None
    finally:
        os.close(out)
        os.close(err)


def _end_of(pid: int) -> asyncio.Future[None]:
    """Done when a child has ended. It is not reaped: asyncio would, and its group's number could become another's."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ended.done():
            ended.set_result(None)

    def wait() -> None:
        wait_unreaped(pid)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits any more
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=wait, name=f"end-of-{pid}", daemon=True).start()
    return ended


async def _finish(process: subprocess.Popen[bytes], ended: asyncio.Future[None]) -> int:
    """Kill what is left of a program, its group, and what left the group but is below it; then reap it."""
    if process.returncode is None:
        below = descendants(process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        send(below, signal.SIGKILL)
        await asyncio.shield(ended)
    return process.wait()
