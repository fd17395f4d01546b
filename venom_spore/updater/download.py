"""Downloads what is signed: length and hash are known before the first byte, time and speed have floors.

A part that was loaded stays in `staging/<sha256>.part` and the next attempt goes on where it ended, in this process or
after it was killed. What is loaded carries no trust: the hash over the whole file decides, and a resumed file that
does not match it is loaded once more from its start.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

from venom_core.ota.fetcher import judge_answer, open_client, refusal_of, too_big, too_slow
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.tuf_names import DownloadHTTPError
from venom_spore.launcher.state import sync_folder

PART = ".part"
PART_KEPT_S = 86_400.0
"""Seconds for which a part waits to be completed."""
READ_BYTES = 1_048_576
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a server may be: seconds for the whole file, bytes in each window of seconds, connections for one file.

    A connection that is lost is followed by another after `pause_s`.
    """

    whole_s: float = 3600.0
    window_s: float = 20.0
    window_bytes: int = 20 * 1024
    connections: int = 5
    pause_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to load: `path` below the base address, and what was signed of it."""

    path: str
    length: int
    sha256: str


@dataclass(slots=True)
class _Part:
    """What is there of a file: its bytes so far are in `digest`, and `etag` is the server's name for its state."""

    path: Path
    length: int = 0
    etag: str = ""
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @classmethod
    def open(cls, path: Path, length_max: int) -> _Part:
        part = cls(path)
        if path.exists() and path.stat().st_size > length_max:
            path.unlink()
        elif path.exists():
            for piece in pieces(path):
                part._count(piece)
        return part

    def _count(self, piece: bytes) -> None:
        self.digest.update(piece)
        self.length += len(piece)

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)
        self._count(data)

    def restart(self) -> None:
        self.path.unlink(missing_ok=True)
        self.length, self.etag, self.digest = 0, "", hashlib.sha256()


class Downloader:
    """Loads files from below one base address: no redirects, no proxies, nothing encoded. `moved`: bytes received."""

    def __init__(self, base_url: str, trusted: ssl.SSLContext, pace: Pace | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._trusted, self._pace = trusted, pace or Pace()
        self.moved = 0

    def fetch(self, wanted: Wanted, staging: Path, into: Path) -> None:
        """Bring the file to `into`, in one step once it is whole and right; blocks, in no event loop.

        Raises:
            UpdateRefused: TOO_SLOW, UNREACHABLE, TLS, REDIRECT, BAD_ANSWER, WRONG_LENGTH, TOO_BIG or WRONG_HASH.
            OSError: this machine's disk.
        """
        part = _Part.open(staging / f"{wanted.sha256}{PART}", wanted.length)
        resumed = part.length > 0
        self._load(wanted, part)
        if resumed and part.digest.hexdigest() != wanted.sha256:
            part.restart()
            self._load(wanted, part)
        if part.digest.hexdigest() != wanted.sha256:
            part.restart()
            raise UpdateRefused(Code.WRONG_HASH, f"{wanted.path} is not what was signed; publish it again")
        _finish(part.path, into)

    def piece(self, wanted: Wanted, first: int, last: int) -> bytes:
        """The bytes from `first` to before `last` of the file, which carry no trust; raises what `fetch` raises."""
        return asyncio.run(self._piece(wanted, first, last))

    async def _piece(self, wanted: Wanted, first: int, last: int) -> bytes:
        url, window_s = f"{self._base_url}/{quote(wanted.path)}", self._pace.window_s
        headers = {"range": f"bytes={first}-{last - 1}"}
        try:
            async with (
                asyncio.timeout(window_s),
                open_client(self._trusted) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                judge_range(answer, wanted, first, last)
                return await self._take(answer, wanted, last - first)
        except TimeoutError:
            raise too_slow(wanted.path, window_s) from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as fault:
            raise refusal_of(fault, url) from None

    async def _take(self, answer: httpx.Response, wanted: Wanted, bytes_max: int) -> bytes:
        got = bytearray()
        async for piece in answer.aiter_raw():
            self.moved += len(piece)
            got += piece
            if len(got) > bytes_max:
                raise too_big(wanted.path, bytes_max)
        return bytes(got)

    def _load(self, wanted: Wanted, part: _Part) -> None:
        if part.length < wanted.length:
            asyncio.run(self._in_time(wanted, part))
        elif not wanted.length:
            part.path.touch()

    async def _in_time(self, wanted: Wanted, part: _Part) -> None:
        try:
            async with asyncio.timeout(self._pace.whole_s), open_client(self._trusted) as client:
                await self._over_connections(client, wanted, part)
        except TimeoutError:
            raise too_slow(wanted.path, self._pace.whole_s) from None

    async def _over_connections(self, client: httpx.AsyncClient, wanted: Wanted, part: _Part) -> None:
        url = f"{self._base_url}/{quote(wanted.path)}"
        for left in reversed(range(self._pace.connections)):
            try:
                await self._over_one(client, url, wanted, part)
            except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as fault:
                refusal = refusal_of(fault, url)
                if not left or refusal.code is Code.TLS:
                    raise refusal from None
                await asyncio.sleep(self._pace.pause_s)
            else:
                return

    async def _over_one(self, client: httpx.AsyncClient, url: str, wanted: Wanted, part: _Part) -> None:
        headers = {"range": f"bytes={part.length}-"} if part.length else {}
        if part.etag:
            headers["if-range"] = part.etag
        window_s = self._pace.window_s
        try:
            async with asyncio.timeout(window_s) as patience, client.stream("GET", url, headers=headers) as answer:
                if not judge(answer, wanted, part.length):
                    part.restart()
                tag = answer.headers.get("etag", "")
                part.etag = tag if tag.startswith('"') else ""
                await self._receive(answer, wanted, part, patience)
        except TimeoutError:
            raise UpdateRefused(
                Code.TOO_SLOW,
                f"{url} brought fewer than {self._pace.window_bytes:,} bytes in {window_s:g} s; the next look goes on",
            ) from None

    async def _receive(self, answer: httpx.Response, wanted: Wanted, part: _Part, patience: asyncio.Timeout) -> None:
        """Take in the body; each window of time must bring its share, or `patience` runs out."""
        share, loop = 0, asyncio.get_running_loop()
        async for piece in answer.aiter_raw():
            self.moved += len(piece)
            if part.length + len(piece) > wanted.length:
                part.restart()
                raise too_big(wanted.path, wanted.length)
            part.append(piece)
            share += len(piece)
            if share >= self._pace.window_bytes:
                share = 0
                patience.reschedule(loop.time() + self._pace.window_s)
        if part.length < wanted.length:
            raise httpx.RemoteProtocolError(f"it ended after {part.length:,} of {wanted.length:,} bytes")


def judge(answer: httpx.Response, wanted: Wanted, had: int) -> bool:
    """Whether the body goes on after `had` bytes; False if it begins anew. `UpdateRefused` for any other answer."""
    try:
        judge_answer(answer, (200, 206) if had else (200,))
    except DownloadHTTPError:
        raise UpdateRefused(
            Code.BAD_ANSWER, f"{wanted.path} is signed, but not there ({answer.status_code}); publish it again"
        ) from None
    told, start = answer.headers, 0
    if answer.status_code == 206:
        start = had
        found = _CONTENT_RANGE.fullmatch(told.get("content-range", ""))
        if found is None or tuple(map(int, found.groups())) != (start, wanted.length - 1, wanted.length):
            raise UpdateRefused(
                Code.BAD_ANSWER, f"{wanted.path} came as {told.get('content-range', '')!r:.80} instead of its rest"
            )
    length = told.get("content-length", str(wanted.length - start))
    if length != str(wanted.length - start):
        raise UpdateRefused(
            Code.WRONG_LENGTH, f"{wanted.path} comes with {length:.20} bytes, but {wanted.length - start:,} are signed"
        )
    return answer.status_code == 206


def judge_range(answer: httpx.Response, wanted: Wanted, first: int, last: int) -> None:
    """Whether it brings just the range that was asked for; `UpdateRefused` BAD_ANSWER."""
    try:
        judge_answer(answer, (206,))
    except DownloadHTTPError:
        words = f"{wanted.path} is signed, but not there ({answer.status_code}); publish it again"
        raise UpdateRefused(Code.BAD_ANSWER, words) from None
    told = answer.headers.get("content-range", "")
    if told != f"bytes {first}-{last - 1}/{wanted.length}":
        raise UpdateRefused(Code.BAD_ANSWER, f"{wanted.path} came as {told!r:.80}, not as the bytes asked for")


def pieces(path: Path) -> Iterator[bytes]:
    """The file in pieces of at most `READ_BYTES`."""
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def sha256_of(path: Path) -> str:
    """The hash of what is on the disk."""
    digest = hashlib.sha256()
    for piece in pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _finish(part: Path, into: Path) -> None:
    """Make it outlast a power failure, then give it its name."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(into)
    sync_folder(into.parent)


def drop_old_parts(staging: Path, now_s: float) -> None:
    """Remove parts that nobody completed for `PART_KEPT_S`, or that come from a clock that far ahead."""
    for part in staging.glob(f"*{PART}"):
        if abs(now_s - part.lstat().st_mtime) > PART_KEPT_S:
            part.unlink()
