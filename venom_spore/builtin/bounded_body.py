"""Reads the body of an answer up to a limit, while it comes in.

Packed bodies are unpacked here and not by httpx, which unpacks each piece as a whole: of a piece of 64 KB it may make
64 MB before anybody can look at the size.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import httpx

from venom_core.errors import LimitReached, ServiceFailed

ENCODINGS = "gzip"
_GZIP_OR_ZLIB = 47


async def read_body(response: httpx.Response, what: str, bytes_max: int, limit: str) -> bytes:
    """The body, unpacked. Raises `LimitReached` (naming `limit`) beyond `bytes_max`, and `ServiceFailed`."""
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > bytes_max:
        raise LimitReached(_too_large(what, bytes_max, limit))
    unpack = _unpacker(response, what)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += unpack(chunk, bytes_max + 1 - len(body))
        if len(body) > bytes_max:
            raise LimitReached(_too_large(what, bytes_max, limit))
    return bytes(body)


def _unpacker(response: httpx.Response, what: str) -> Callable[[bytes, int], bytes]:
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing in ("", "identity"):
        return lambda chunk, _room: chunk
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise ServiceFailed(f"{what} comes packed as {packing!r:.40}, which was not asked for")
    machine = zlib.decompressobj(_GZIP_OR_ZLIB)

    def unpack(chunk: bytes, room: int) -> bytes:
        try:
            return machine.decompress(chunk, room)
        except zlib.error:
            raise ServiceFailed(f"{what} is damaged: it says that it is packed, and cannot be unpacked") from None

    return unpack


def _too_large(what: str, bytes_max: int, limit: str) -> str:
    return f"{what} is larger than {bytes_max:,} bytes ({limit})"
