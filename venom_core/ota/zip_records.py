"""The records of a zip archive, read so that there is one way to see it: every byte has exactly one owner.

The end record is the last thing in the file, the central records lie right before it, and the local entries tile all
that is left from the first byte on. What the two records of an entry say is the same. `canonical=True` asks for
exactly the form of `canonical_zip`; otherwise (wheels, which others write) dates, order, folders and harmless extra
fields pass.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, replace
from typing import BinaryIO

from venom_core.ota import canonical_zip as form
from venom_core.ota.refusal import Code, UpdateRefused

LEVEL_FLAGS = 0x6
"""How hard a wheel's builder deflated: tells a reader nothing."""
RECORD_BYTES_MAX = 2048
"""Bytes of one central record on average: 46, the name, and extra fields."""
_BAD_EXTRAS = {0x0001: "zip64", 0x7075: "a second name", 0x6375: "a second comment"}
_END_SEARCH = 65_557
_FOLDER_BIT, _LABEL_BIT = 0x10, 0x08


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `data` is where its packed bytes begin, `end` the first byte that is no longer its own."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    program: bool
    folder: bool
    offset: int
    data: int = 0

    @property
    def end(self) -> int:
        """First byte behind the packed bytes."""
        return self.data + self.packed


@dataclass(frozen=True, slots=True)
class _Central:
    """A central record with what must be repeated in the local one."""

    entry: Entry
    raw: bytes
    echo: tuple[int, ...]


def read_entries(file: BinaryIO, *, files_max: int, canonical: bool) -> list[Entry]:
    """The entries in the order of the central records, without looking into their packed bytes.

    Raises `UpdateRefused` ZIP_CORRUPT, ZIP_AMBIGUOUS, ZIP_UNSUPPORTED, ZIP_TYPE, ZIP_LIES, ZIP_OVERLAP, ZIP_BOMB and
    ZIP_PATH.
    """
    size = file.seek(0, 2)
    count, length, start = _end_record(file, size)
    if count > files_max or length > files_max * RECORD_BYTES_MAX:
        raise UpdateRefused(Code.ZIP_BOMB, f"the archive lists {count} files, at most {files_max} are allowed")
    file.seek(start)
    listed = _central_records(file.read(length), count, canonical=canonical)
    entries = [_placed(file, central, start) for central in listed]
    _check_tiles(entries, start)
    for central, entry in zip(listed, entries, strict=True):
        _check_echo(file, central, entry, canonical=canonical)
    if canonical and [entry.offset for entry in entries] != sorted(entry.offset for entry in entries):
        raise _unusual("entries in another order than their records")
    return entries


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Number of entries, bytes of the central records, and where these begin."""
    file.seek(max(0, size - form.END.size))
    tail = file.read(form.END.size)
    if len(tail) < form.END.size or not tail.startswith(form.END_SIGN):
        raise _no_end(file, size)
    _, disk, central_disk, here, count, length, start, comment = form.END.unpack(tail)
    if comment or here != count or disk or central_disk:
        raise _ambiguous("its end record tells of a comment, or of a second part")
    if start + length != size - form.END.size:
        raise _not_joined(file, size)
    return count, length, start


def _no_end(file: BinaryIO, size: int) -> UpdateRefused:
    file.seek(max(0, size - _END_SEARCH))
    if form.END_SIGN in file.read(_END_SEARCH):
        return _ambiguous("there are bytes behind its end record")
    return UpdateRefused(Code.ZIP_CORRUPT, "this is not a zip archive, or its end is missing; fetch or build it anew")


def _not_joined(file: BinaryIO, size: int) -> UpdateRefused:
    file.seek(max(0, size - form.END.size - 20))
    if file.read(4) == b"PK\x06\x07":
        return UpdateRefused(Code.ZIP_UNSUPPORTED, "the archive is in the form zip64; build it anew with this release")
    return _ambiguous("its end record does not lead to the records right before it")


def _central_records(text: bytes, count: int, *, canonical: bool) -> list[_Central]:
    found: list[_Central] = []
    at = 0
    while at < len(text):
        if text[at : at + 4] != form.CENTRAL_SIGN or at + form.CENTRAL.size > len(text):
            raise _ambiguous("its end record counts other entries than there are")
        central, at = _central(text, at, canonical=canonical)
        found.append(central)
    if len(found) != count:
        raise _ambiguous("its end record counts other entries than there are")
    if canonical and [central.raw for central in found] != sorted(central.raw for central in found):
        raise _unusual("names that are not sorted")
    return found


def _central(text: bytes, at: int, *, canonical: bool) -> tuple[_Central, int]:
    fields = form.CENTRAL.unpack_from(text, at)
    made, needs, flags, method, time, date, crc, packed, size, names, extras, comment, disk, inner, outer, offset = (
        fields[1:]
    )
    name_at = at + form.CENTRAL.size
    end = name_at + names + extras + comment
    if end > len(text):
        raise UpdateRefused(Code.ZIP_CORRUPT, "a record of the archive is cut off; fetch or build it anew")
    if comment or disk:
        raise _ambiguous("an entry has a comment, or lies in a second part")
    raw = text[name_at : name_at + names]
    _check_features(flags, method, packed, size, offset)
    _check_extras(text[name_at + names : name_at + names + extras], canonical=canonical)
    if canonical and (made, needs, flags, time, date, inner) != _canonical_fields(raw):
        raise _unusual("dates, flags or versions of another writer")
    name = _decoded(raw, flags)
    program, folder = _kind(name, outer, canonical=canonical)
    entry = Entry(name, method, crc, packed, size, program, folder, offset)
    return _Central(entry, raw, (flags, method, crc, packed, size)), end


def _canonical_fields(raw: bytes) -> tuple[int, ...]:
    return form.MADE_BY, form.NEEDS, form.flags_of(raw), form.TIME, form.DATE, 0


def _check_features(flags: int, method: int, packed: int, size: int, offset: int) -> None:
    if flags & 0x2041:
        raise UpdateRefused(Code.ZIP_UNSUPPORTED, "an entry is encrypted; sign packages, do not lock them")
    if flags & 0x8:
        raise UpdateRefused(Code.ZIP_UNSUPPORTED, "an entry tells its size behind its content; build it anew")
    if flags & ~(form.UTF8 | LEVEL_FLAGS):
        raise UpdateRefused(Code.ZIP_UNSUPPORTED, f"an entry has flags this release does not know ({flags:#x})")
    if method not in {form.STORED, form.DEFLATED}:
        raise UpdateRefused(Code.ZIP_UNSUPPORTED, f"an entry is packed by method {method}; only 0 and 8 are known")
    if 0xFFFFFFFF in {packed, size, offset}:
        raise UpdateRefused(Code.ZIP_UNSUPPORTED, "an entry is in the form zip64; build it anew with this release")
    if method == form.STORED and packed != size:
        raise UpdateRefused(Code.ZIP_LIES, f"a stored entry tells of {packed} packed and {size} unpacked bytes")


def _check_extras(extras: bytes, *, canonical: bool) -> None:
    if canonical and extras:
        raise _unusual("extra fields")
    at = 0
    while at < len(extras):
        kind = int.from_bytes(extras[at : at + 2], "little")
        at += 4 + int.from_bytes(extras[at + 2 : at + 4], "little")
        if kind in _BAD_EXTRAS:
            raise UpdateRefused(Code.ZIP_UNSUPPORTED, f"an extra field of an entry gives {_BAD_EXTRAS[kind]}")
        if at > len(extras):
            raise UpdateRefused(Code.ZIP_CORRUPT, "an extra field of an entry is cut off; fetch or build it anew")


def _decoded(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & form.UTF8 else "ascii")
    except UnicodeDecodeError:
        raise UpdateRefused(Code.ZIP_PATH, f"the name {raw[:200]!r} is not UTF-8, or is not marked as such") from None


def _kind(name: str, outer: int, *, canonical: bool) -> tuple[bool, bool]:
    """Whether it is a program, and whether it is a folder; only these and plain files may be."""
    if canonical and outer not in {form.FILE, form.PROGRAM}:
        raise UpdateRefused(Code.ZIP_TYPE, f"{name!a} is not a plain file of mode 0644 or 0755")
    mode = outer >> 16
    folder = name.endswith("/")
    said = bool(outer & _FOLDER_BIT) or stat.S_ISDIR(mode)
    plain = stat.S_IFMT(mode) in {0, stat.S_IFDIR if folder else stat.S_IFREG}
    if not plain or (said and not folder) or outer & _LABEL_BIT or mode & 0o7000:
        raise UpdateRefused(Code.ZIP_TYPE, f"{name!a} is neither a plain file nor a folder")
    return bool(mode & 0o100), folder


def _placed(file: BinaryIO, central: _Central, start: int) -> Entry:
    """The entry with the place of its packed bytes, which only its local record tells."""
    entry = central.entry
    file.seek(entry.offset)
    local = file.read(form.LOCAL.size)
    if entry.offset + form.LOCAL.size > start or not local.startswith(form.LOCAL_SIGN):
        raise UpdateRefused(
            Code.ZIP_CORRUPT, f"there is no entry where {entry.name!a} should be; fetch or build it anew"
        )
    *_, names, extras = form.LOCAL.unpack(local)
    data = entry.offset + form.LOCAL.size + names + extras
    return replace(entry, data=data)


def _check_tiles(entries: list[Entry], start: int) -> None:
    at = 0
    for entry in sorted(entries, key=lambda entry: (entry.offset, entry.end)):
        if entry.offset < at:
            raise UpdateRefused(Code.ZIP_OVERLAP, f"{entry.name!a} shares bytes with another entry")
        if entry.offset > at:
            raise _ambiguous("there are bytes that belong to no entry")
        at = entry.end
    if at > start:
        raise UpdateRefused(Code.ZIP_OVERLAP, "the last entry runs into the records behind it")
    if at < start:
        raise _ambiguous("there are bytes that belong to no entry")


def _check_echo(file: BinaryIO, central: _Central, entry: Entry, *, canonical: bool) -> None:
    file.seek(entry.offset)
    local = file.read(entry.data - entry.offset)
    _, needs, flags, method, time, date, crc, packed, size, names, _ = form.LOCAL.unpack_from(local)
    raw = local[form.LOCAL.size : form.LOCAL.size + names]
    if raw != central.raw or (flags, method, crc, packed, size) != central.echo:
        raise UpdateRefused(Code.ZIP_LIES, f"the two records of {entry.name!a} differ; fetch or build it anew")
    _check_extras(local[form.LOCAL.size + names :], canonical=canonical)
    if canonical and (needs, time, date) != (form.NEEDS, form.TIME, form.DATE):
        raise _unusual("dates, flags or versions of another writer")


def _ambiguous(what: str) -> UpdateRefused:
    return UpdateRefused(Code.ZIP_AMBIGUOUS, f"programs would read this archive differently: {what}; build it anew")


def _unusual(what: str) -> UpdateRefused:
    return UpdateRefused(Code.ZIP_UNSUPPORTED, f"the archive has {what}; build it with `venom ota build`")
