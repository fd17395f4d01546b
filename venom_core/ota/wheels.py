"""Is this file the wheel that the lock means, and can installing it do no more than put files into site-packages?

A wheel is a zip too: the rules of `archive` hold. Beyond them every file is listed in RECORD with its hash, and nothing
in it runs by itself: no `.pth`, no `sitecustomize`, no `*.data` tree, no program that would take an interpreter's name.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from venom_core.ota.durable import local_faults
from venom_core.ota.lock import LockedWheel
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.zip_reader import Archive, Limits

TEXT_BYTES_MAX = 16 << 20
"""Bytes of RECORD, METADATA, WHEEL and entry_points.txt, each."""
LOOSE = Limits(files=100_000, unpacked_bytes=4 << 30, file_bytes=4 << 30, ratio=1100)
"""For wheels, which others pack: deflate cannot exceed a ratio of 1032."""
_STARTS = re.compile(
    r"[^/]*\.(?:pth|start|egg-link)|(?:site|user)customize(?:\.[^/]*|/.*)|_virtualenv\.py", re.IGNORECASE
)
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN = re.compile(r"(?:python|pypy|activate|deactivate)", re.IGNORECASE)
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A file that was found to be the wheel `locked` means, and what it needs beside it."""

    path: Path
    locked: LockedWheel
    requires: tuple[Requirement, ...] = ()
    requires_python: str = ""


def lock_wheel(path: Path) -> LockedWheel:
    """What a lock says of this file; `UpdateRefused` LOCK_SDIST, LOCK_BAD, LOCAL_FAULT."""
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise UpdateRefused(Code.LOCK_SDIST, f"{path.name!a} is not a wheel; only wheels are installed") from None
    with local_faults("reading a wheel"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return LockedWheel(name=name, version=str(version), file=path.name, sha256=digest, size=size)


def check_wheel(path: Path, locked: LockedWheel, limits: Limits = LOOSE) -> Wheel:
    """The file, judged to its last byte; it may have any name, as in a store by hash.

    Raises `UpdateRefused` WRONG_LENGTH, WRONG_HASH, ZIP_*, BAD_WHEEL, LOCK_URL, LOCAL_FAULT.
    """
    with local_faults("reading a wheel"), path.open("rb") as file:
        _check_bytes(file, locked)
        archive = Archive(file, limits, canonical=False)
        try:
            requires, python = _check_contents(archive, locked)
        except (UnicodeDecodeError, csv.Error, configparser.Error) as fault:
            raise _bad(locked, f"a text in it cannot be read ({fault})") from None
    return Wheel(path, locked, requires, python)


def _check_bytes(file: io.BufferedReader, locked: LockedWheel) -> None:
    size = file.seek(0, 2)
    if size != locked.size:
        raise UpdateRefused(Code.WRONG_LENGTH, f"{locked.file} has {size} bytes, not {locked.size}; fetch it anew")
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != locked.sha256:
        raise UpdateRefused(Code.WRONG_HASH, f"{locked.file} is not the file that was locked; fetch it anew")


def _check_contents(archive: Archive, locked: LockedWheel) -> tuple[tuple[Requirement, ...], str]:
    info = _info_folder(archive, locked)
    for name in archive.entries:
        if _STARTS.fullmatch(name):
            raise _bad(locked, f"{name!a} would run whenever Python starts")
        if name.split("/")[0].lower().endswith(".data"):
            raise _bad(locked, f"{name!a} would be put outside of site-packages")
    _check_record(archive, info, locked)
    if not _text(archive, f"{info}/WHEEL", locked).startswith("Wheel-Version: 1."):
        raise _bad(locked, "it is of another version of the format than 1")
    _check_programs(archive, info, locked)
    return _needs(archive, info, locked)


def _info_folder(archive: Archive, locked: LockedWheel) -> str:
    """The one folder `<name>-<version>.dist-info`."""
    folders = {folder for name in archive.entries if (folder := name.partition("/")[0]).endswith(".dist-info")}
    if len(folders) != 1:
        raise _bad(locked, f"it has {len(folders)} folders .dist-info, not one")
    folder = folders.pop()
    name, _, version = folder.removesuffix(".dist-info").partition("-")
    if canonicalize_name(name) != locked.name or not _same_version(version, locked.version):
        raise _bad(locked, f"it calls itself {folder!a}")
    return folder


def _same_version(text: str, version: str) -> bool:
    try:
        return Version(text.replace("_", "-")) == Version(version)
    except ValueError:
        return False


def _check_record(archive: Archive, info: str, locked: LockedWheel) -> None:
    rows = list(csv.reader(io.StringIO(_text(archive, f"{info}/RECORD", locked))))
    if any(len(row) != 3 for row in rows):
        raise _bad(locked, "its RECORD has a line that is not path, hash, size")
    record = {path: (digest, size) for path, digest, size in rows}
    unrecorded = {f"{info}/{name}" for name in _UNRECORDED}
    if len(record) != len(rows) or record.keys() | unrecorded != archive.entries.keys() | unrecorded:
        raise _bad(locked, "its RECORD does not list each of its files once")
    for name in archive.entries.keys() - unrecorded:
        digest = hashlib.sha256()
        for piece in archive.chunks(name):
            digest.update(piece)
        wanted = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
        if record[name] != (f"sha256={wanted}", str(archive.entries[name].size)):
            raise _bad(locked, f"{name!a} is not what its RECORD says")
    for name in archive.entries.keys() & unrecorded:
        for _ in archive.chunks(name):
            pass


def _check_programs(archive: Archive, info: str, locked: LockedWheel) -> None:
    if f"{info}/entry_points.txt" not in archive.entries:
        return
    points = configparser.RawConfigParser(delimiters=("=",), strict=False)
    points.optionxform = str  # type: ignore[method-assign,assignment]  # names of programs keep their letters
    points.read_string(_text(archive, f"{info}/entry_points.txt", locked))
    for group in ("console_scripts", "gui_scripts"):
        for name in points[group] if points.has_section(group) else ():
            if not _PROGRAM.fullmatch(name) or _TAKEN.match(name):
                raise _bad(locked, f"it would install a program called {name[:100]!a}")


def _needs(archive: Archive, info: str, locked: LockedWheel) -> tuple[tuple[Requirement, ...], str]:
    try:
        metadata = Metadata.from_email(_text(archive, f"{info}/METADATA", locked), validate=False)
        name, version = metadata.name, metadata.version
        requires, python = metadata.requires_dist or [], metadata.requires_python
    except (ValueError, RecursionError, ExceptionGroup) as fault:
        raise _bad(locked, f"its METADATA is malformed ({fault})") from None
    if canonicalize_name(name) != locked.name or version != Version(locked.version):
        raise _bad(locked, f"its METADATA is of {name} {version}")
    for needed in requires:
        if needed.url is not None:
            raise UpdateRefused(Code.LOCK_URL, f"{locked.file} needs {needed.name} from an address of its own")
    return tuple(requires), str(python or SpecifierSet())


def _text(archive: Archive, name: str, locked: LockedWheel) -> str:
    if name not in archive.entries:
        raise _bad(locked, f"it has no {name}")
    return archive.read(name, TEXT_BYTES_MAX).decode()


def _bad(locked: LockedWheel, said: str) -> UpdateRefused:
    return UpdateRefused(Code.BAD_WHEEL, f"{locked.file} is not installed: {said}")
