"""An open zip archive: what it claims of its sizes is believed by nobody.

The bytes are counted as they come out, so that neither memory nor the disk holds more than the limits say.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from venom_core.ota import canonical_zip as form
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.zip_names import check_names
from venom_core.ota.zip_records import Entry, read_entries

CHUNK_BYTES = 1 << 16
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one archive may unpack to: number of files, bytes in all, bytes of one file, bytes of one packed byte."""

    files: int = 20_000
    unpacked_bytes: int = 1024 * _MIB
    file_bytes: int = 256 * _MIB
    ratio: int = form.RATIO_MAX


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive holds: the names of its files in the order they lie there, and their bytes in all."""

    files: tuple[str, ...]
    unpacked_bytes: int


class Archive:
    """An open archive whose records, names and sizes are fine; its packed bytes are judged when they are read."""

    def __init__(self, file: BinaryIO, limits: Limits, *, canonical: bool = True) -> None:
        self._file = file
        self._limits = limits
        entries = read_entries(file, files_max=limits.files, canonical=canonical)
        self.entries = {entry.name: entry for entry in entries if not entry.folder}
        files = [entry.name for entry in entries if not entry.folder]
        check_names(files, [entry.name.removesuffix("/") for entry in entries if entry.folder])
        _check_sizes(entries, limits)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of one file in pieces of at most 64 KiB; raises `UpdateRefused` ZIP_CORRUPT, ZIP_LIES."""
        entry = self.entries[name]
        pieces = _inflated(self._packed(entry), entry) if entry.method == form.DEFLATED else self._packed(entry)
        count = crc = 0
        for piece in pieces:
            count += len(piece)
            crc = zlib.crc32(piece, crc)
            if count > entry.size:
                raise _lies(entry)
            yield piece
        if count != entry.size:
            raise _lies(entry)
        if crc != entry.crc:
            raise UpdateRefused(Code.ZIP_CORRUPT, f"the checksum of {name!a} is wrong; fetch or build the archive anew")

    def read(self, name: str, bytes_max: int) -> bytes:
        """The content of one file; `UpdateRefused` TOO_BIG above `bytes_max`."""
        if self.entries[name].size > bytes_max:
            raise UpdateRefused(Code.TOO_BIG, f"{name!a} has more than {bytes_max} bytes")
        return b"".join(self.chunks(name))

    def check(self) -> Contents:
        """Every byte inflated and counted, none kept."""
        for name in self.entries:
            for _ in self.chunks(name):
                pass
        return Contents(tuple(self.entries), sum(entry.size for entry in self.entries.values()))

    def extract(self, name: str, into: Path) -> None:
        """Writes one file below `into`, whose folders are made; mode 0644 or 0755 whatever the umask."""
        path = into / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with path.open("xb") as out:
            for piece in self.chunks(name):
                out.write(piece)
        path.chmod(0o755 if self.entries[name].program else 0o644)

    def _packed(self, entry: Entry) -> Iterator[bytes]:
        self._file.seek(entry.data)
        left = entry.packed
        while left:
            piece = self._file.read(min(left, CHUNK_BYTES))
            if not piece:
                raise UpdateRefused(Code.ZIP_CORRUPT, f"{entry.name!a} is cut off; fetch or build the archive anew")
            left -= len(piece)
            yield piece


def opened(source: Path | bytes) -> io.BytesIO | io.BufferedReader:
    """An archive as a file to read, whichever way it was given; raises `OSError`."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def _check_sizes(entries: list[Entry], limits: Limits) -> None:
    if sum(entry.size for entry in entries) > limits.unpacked_bytes:
        raise UpdateRefused(Code.ZIP_BOMB, f"the archive unpacks to more than {limits.unpacked_bytes} bytes")
    for entry in entries:
        if entry.size > limits.file_bytes:
            raise UpdateRefused(Code.ZIP_BOMB, f"{entry.name!a} unpacks to more than {limits.file_bytes} bytes")
        if entry.size > limits.ratio * entry.packed:
            raise UpdateRefused(Code.ZIP_BOMB, f"{entry.name!a} unpacks to more than {limits.ratio} times its size")


def _inflated(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """Pieces of at most 64 KiB, whatever one packed piece would become."""
    inflater = zlib.decompressobj(-15)
    for piece in packed:
        if inflater.eof:
            raise _lies(entry)
        rest = piece
        while rest and not inflater.eof:
            yield _inflate(inflater, rest, entry)
            rest = inflater.unconsumed_tail
    while not inflater.eof and (piece := _inflate(inflater, b"", entry)):
        yield piece
    if not inflater.eof or inflater.unused_data:
        raise _lies(entry)


def _inflate(inflater: zlib._Decompress, rest: bytes, entry: Entry) -> bytes:
    try:
        return inflater.decompress(rest, CHUNK_BYTES)
    except zlib.error:
        raise UpdateRefused(
            Code.ZIP_CORRUPT, f"{entry.name!a} does not unpack; fetch or build the archive anew"
        ) from None


def _lies(entry: Entry) -> UpdateRefused:
    return UpdateRefused(Code.ZIP_LIES, f"{entry.name!a} is not as long as its records say; fetch or build it anew")
