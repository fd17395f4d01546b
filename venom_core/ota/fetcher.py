"""The one door to the network for updates: bounded in bytes and in time, and talked into nothing by whoever answers.

No redirect is followed, no proxy of the environment used, no compressed answer taken, and only 200 is an answer. The
time is that of a whole answer: the pause between two bytes, which is all that HTTP clients limit, lets somebody who
sends five bytes a second hold a Spore for ever. That is why it is an asynchronous client under one deadline.
"""

from __future__ import annotations

import asyncio
import io
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self, TypeVar

import httpx

from venom_core import __version__
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.tuf_names import DownloadHTTPError, FetcherInterface

FILE_BYTES_MAX = 256 * 1024 * 1024
CONNECT_S = 10.0
LATER = "it is tried again later"
Result = TypeVar("Result")
# Both mean that there is no such file: TUF asks for the root after the newest to learn that it is the newest.
_ABSENT = (403, 404)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited: `file_s` seconds for one whole answer, from the first word to the last byte."""

    file_s: float = 60.0


class Fetcher(FetcherInterface):
    """Fetches whole small files, one at a time, and blocks; close it, or use it in a `with`.

    Its client runs in a thread of its own: whoever waits may have an event loop, and a Ctrl-C is not waited with.
    """

    def __init__(self, trusted: ssl.SSLContext, patience: Patience | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="venom-fetch", daemon=True)
        self._thread.start()
        self._patience = patience or Patience()
        # A greeting that stalls ends before the deadline of all does: httpx closes the connection only then.
        self._client = open_client(trusted, min(CONNECT_S, self._patience.file_s / 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._wait_for(self._client.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The file at `url`, at most `max_length` bytes; `UpdateRefused`, or DownloadHTTPError if there is none."""
        return self._wait_for(self._get(url, max_length))

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """The same as an open file in memory."""
        yield io.BytesIO(self.download_bytes(url, max_length))

    def _fetch(self, url: str) -> Iterator[bytes]:
        """The same in one piece, as python-tuf's interface wants it."""
        return iter([self.download_bytes(url, FILE_BYTES_MAX)])

    def _wait_for(self, work: Coroutine[None, None, Result]) -> Result:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # does nothing to what is done, and ends what a Ctrl-C no longer waits for

    async def _get(self, url: str, bytes_max: int) -> bytes:
        try:
            async with asyncio.timeout(self._patience.file_s), self._client.stream("GET", url) as answer:
                judge_answer(answer)
                return await _body(answer, bytes_max)
        except TimeoutError:
            raise too_slow(url, self._patience.file_s) from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as fault:
            raise refusal_of(fault, url) from None


def trusted_roots(ca: str | None = None) -> ssl.SSLContext:
    """Whose certificates are believed: those of one authority (PEM text), or those that this machine trusts."""
    return ssl.create_default_context(cadata=ca)


def open_client(trusted: ssl.SSLContext, connect_s: float = CONNECT_S) -> httpx.AsyncClient:
    """A client that follows nothing and asks for bytes as they are.

    `connect_s`: seconds for a connection and its TLS; every other deadline is its user's to set.
    """
    return httpx.AsyncClient(
        follow_redirects=False,
        trust_env=False,
        verify=trusted,
        timeout=httpx.Timeout(None, connect=connect_s),
        headers={"Accept-Encoding": "identity", "User-Agent": f"venom-hive/{__version__}"},
    )


def judge_answer(answer: httpx.Response, status: tuple[int, ...] = (200,)) -> None:
    """Refuse an answer by its head; `UpdateRefused` REDIRECT or BAD_ANSWER, DownloadHTTPError for 403 and 404."""
    code, url = answer.status_code, answer.request.url
    if 300 <= code < 400:
        to = answer.headers.get("location", "nowhere")
        sentence = f"{url} leads to {to!r:.200}; no redirect is followed, join the address that serves the files"
        raise UpdateRefused(Code.REDIRECT, sentence)
    if code in _ABSENT:
        raise DownloadHTTPError(f"{url} is absent ({code})", code)
    if code not in status:
        raise UpdateRefused(Code.BAD_ANSWER, f"{url} was answered with {code}; look at the log of the Nexus there")
    coded = answer.headers.get("content-encoding", "identity").strip().lower()
    if coded != "identity":
        sentence = f"{url} came compressed ({coded!r:.50}); serve update files as they are, without an encoding"
        raise UpdateRefused(Code.BAD_ANSWER, sentence)


async def _body(answer: httpx.Response, bytes_max: int) -> bytes:
    url, told = answer.request.url, answer.headers.get("content-length", "0")
    if told.isdecimal() and int(told[:20]) > bytes_max:
        raise too_big(str(url), bytes_max)
    found = bytearray()
    async for piece in answer.aiter_raw():
        found += piece
        if len(found) > bytes_max:
            raise too_big(str(url), bytes_max)
    return bytes(found)


def too_big(url: str, bytes_max: int) -> UpdateRefused:
    """TOO_BIG, in words."""
    return UpdateRefused(Code.TOO_BIG, f"{url} is larger than {bytes_max:,} bytes; nothing of it was kept")


def too_slow(url: str, seconds: float) -> UpdateRefused:
    """TOO_SLOW, in words."""
    return UpdateRefused(Code.TOO_SLOW, f"{url} did not come whole within {seconds:g} s; {LATER}")


def refusal_of(fault: Exception, url: str) -> UpdateRefused:
    """What an error of httpx or of TLS means."""
    chain: list[BaseException] = [fault]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    broken = next((each for each in chain if isinstance(each, ssl.SSLError)), None)
    if isinstance(broken, ssl.SSLCertVerificationError):
        sentence = f"{url} has no certificate that is trusted here ({broken.verify_message}); join with the right --ca"
        return UpdateRefused(Code.TLS, sentence)
    if broken is not None and not isinstance(fault, httpx.TimeoutException):
        sentence = f"{url} does not speak TLS as it should ({broken.reason or broken}); look at what serves it"
        return UpdateRefused(Code.TLS, sentence)
    if isinstance(fault, httpx.RemoteProtocolError | httpx.DecodingError):
        return UpdateRefused(Code.BAD_ANSWER, f"{url} was answered against the rules of HTTP ({fault})")
    said = str(fault) or type(fault).__name__
    return UpdateRefused(Code.UNREACHABLE, f"{url} cannot be reached ({said}); {LATER}")
