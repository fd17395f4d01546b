"""Loads of a package only what this node does not have: a release that changes one file moves little.

A package is written in one form, so a file that did not change has the same packed bytes in both. The records at its
end, which are loaded first, say which these are; they are copied from the package before, and the rest is loaded in
ranges. Nothing of this is trusted: what comes out is a part like that of a broken download, and the hash over the whole
file decides. Whatever goes wrong here, the whole package is loaded instead.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from venom_core.ota import canonical_zip as form
from venom_core.ota.refusal import UpdateRefused

log = logging.getLogger("venom.updater")

WORTH_BYTES = 65_536
"""Smaller packages are loaded whole."""
RECORDS_BYTES_MAX = 8 << 20
GAP_BYTES = 4096
"""Two ranges with less between them are one: a request costs more than so many bytes."""
RANGES_MAX = 64
PIECE_BYTES_MAX = 1 << 20

Load = Callable[[int, int], bytes]
"""Gives the bytes from a first to before a last one."""
_Key = tuple[bytes, int, int, int, int]


class _Unusable(Exception):
    """What was loaded, or kept, is not a package in the form that this can take apart."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes `start` to `end` of the new package; `source` is where they begin in the old one, or -1."""

    start: int
    end: int
    source: int = -1


def refill(length: int, load: Load, before: Path, part: Path) -> bool:
    """Write the whole new package of `length` bytes to `part`; False, and no part, if that is not worth it or fails.

    Raises OSError: this machine's disk.
    """
    if length < WORTH_BYTES or part.exists() or not before.is_file():
        return False
    try:
        with before.open("rb") as old:
            found = plan(old, length, load)
            if found is None:
                return False
            with part.open("wb") as new:
                for stretch in found:
                    _copy(stretch, old, load, new)
    except (UpdateRefused, _Unusable) as fault:
        log.info("the package is loaded whole: %s", fault)
        part.unlink(missing_ok=True)
        return False
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return True


def plan(old: BinaryIO, length: int, load: Load) -> list[Stretch] | None:
    """From where each stretch of the new package comes; None if too little is old, or it lies in too many places."""
    known = dict(_spans(old.seek(0, 2), lambda first, last: _at(old, first, last)))
    stretches: list[Stretch] = []
    at = 0
    for key, (start, end) in _spans(length, load):
        if start != at:
            raise _Unusable("its entries do not lie side by side")
        span = known.get(key)
        source = span[0] if span is not None and span[1] - span[0] == end - start else -1
        stretches.append(Stretch(start, end, source))
        at = end
    joined = _joined([*stretches, Stretch(at, length)])
    loaded = [stretch for stretch in joined if stretch.source < 0]
    worth = sum(stretch.end - stretch.start for stretch in loaded) < length * 3 // 4
    return joined if worth and len(loaded) <= RANGES_MAX else None


def _spans(length: int, load: Load) -> Iterator[tuple[_Key, tuple[int, int]]]:
    """Each entry of an archive, by all that makes it what it is, and the bytes that it owns."""
    count, size, start = _end_record(length, load)
    records = load(start, start + size)
    if len(records) != size:
        raise _Unusable("its records are cut off")
    offsets, keys, at = [], [], 0
    while at < size:
        if records[at : at + 4] != form.CENTRAL_SIGN or at + form.CENTRAL.size > size:
            raise _Unusable("its records are none")
        fields = form.CENTRAL.unpack_from(records, at)
        method, crc, packed, unpacked, names, extras, comment = (fields[place] for place in (4, 7, 8, 9, 10, 11, 12))
        name = records[at + form.CENTRAL.size : at + form.CENTRAL.size + names]
        keys.append((name, method, crc, packed, unpacked))
        offsets.append(fields[16])
        at += form.CENTRAL.size + names + extras + comment
    if len(keys) != count or sorted(offsets) != offsets:
        raise _Unusable("its records are in another order")
    yield from zip(keys, pairwise([*offsets, start]), strict=True)


def _end_record(length: int, load: Load) -> tuple[int, int, int]:
    """Number of entries, bytes of their records, and where these begin."""
    end = load(length - form.END.size, length)
    if len(end) != form.END.size or not end.startswith(form.END_SIGN):
        raise _Unusable("its end is none of a package")
    _, _, _, _, count, size, start, _ = form.END.unpack(end)
    if start + size != length - form.END.size or size > RECORDS_BYTES_MAX or not count:
        raise _Unusable("its end does not lead to its records")
    return count, size, start


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    """The same with neighbours made one: copies that follow one another, and ranges with next to nothing between."""
    joined: list[Stretch] = []
    for stretch in stretches:
        last = joined[-1] if joined else None
        if last is not None and last.source < 0 and (stretch.source < 0 or stretch.end - stretch.start < GAP_BYTES):
            joined[-1] = Stretch(last.start, stretch.end)
        elif last is not None and last.source >= 0 and stretch.source == last.source + last.end - last.start:
            joined[-1] = Stretch(last.start, stretch.end, last.source)
        else:
            joined.append(stretch)
    return joined


def _copy(stretch: Stretch, old: BinaryIO, load: Load, new: BinaryIO) -> None:
    for first in range(stretch.start, stretch.end, PIECE_BYTES_MAX):
        last = min(first + PIECE_BYTES_MAX, stretch.end)
        if stretch.source < 0:
            piece = load(first, last)
        else:
            piece = _at(old, stretch.source + first - stretch.start, stretch.source + last - stretch.start)
        if len(piece) != last - first:
            raise _Unusable("a stretch of it is cut off")
        new.write(piece)


def _at(file: BinaryIO, first: int, last: int) -> bytes:
    file.seek(max(first, 0))
    return file.read(last - first)
