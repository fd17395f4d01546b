"""`lock.json`: exactly which wheels a release brings, each by its hash. It is ours, and no installer ever reads it.

{"schema": 1, "wheels": [{"file": …, "name": …, "sha256": …, "size": bytes, "version": …}, …]}, sorted, in one form.
One name has one version; it may have several wheels, of which a node takes the one that fits it best.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.versions import parse_version

SCHEMA = 1
LOCK_BYTES_MAX = 1 << 20
WHEELS_MAX = 1000
FILE_CHARACTERS_MAX = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VCS = re.compile(r"\b(?:git|hg|svn|bzr)\+", re.IGNORECASE)
_SDIST = re.compile(r"\.(?:tar|tar\.(?:gz|bz2|xz|zst)|tgz|tbz|txz|zip|egg)$", re.IGNORECASE)
_FILE = re.compile(r"[A-Za-z0-9._+!-]+\.whl")


class LockedWheel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One wheel: normal name, normal version, file name, SHA-256 in hexadecimal digits, size in bytes."""

    name: str
    version: str
    file: str
    sha256: str
    size: int


class Lock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All wheels of a release, sorted by name and file."""

    schema: int = SCHEMA
    wheels: tuple[LockedWheel, ...] = ()


def write_lock(lock: Lock) -> bytes:
    """The lock as bytes: the same for the same wheels."""
    ordered = Lock(wheels=tuple(sorted(lock.wheels, key=_order)))
    return msgspec.json.format(msgspec.json.encode(ordered, order="sorted"), indent=2) + b"\n"


def read_lock(text: bytes) -> Lock:
    """The lock in a package, checked entry by entry; `UpdateRefused` with a LOCK_* code."""
    if len(text) > LOCK_BYTES_MAX:
        raise UpdateRefused(Code.LOCK_BAD, f"lock.json has more than {LOCK_BYTES_MAX} bytes; build the package anew")
    try:
        lock = msgspec.json.decode(text, type=Lock, strict=True)
    except (msgspec.MsgspecError, RecursionError, ValueError) as fault:
        raise UpdateRefused(Code.LOCK_BAD, f"lock.json is no lock: {fault}; build the package anew") from None
    check_lock(lock)
    if write_lock(lock) != text:
        raise UpdateRefused(Code.LOCK_BAD, "lock.json is not in its one form; build the package anew")
    return lock


def check_lock(lock: Lock) -> None:
    """Raises `UpdateRefused` with a LOCK_* code."""
    if lock.schema != SCHEMA or len(lock.wheels) > WHEELS_MAX:
        said = f"schema {lock.schema} with {len(lock.wheels)} wheels; known is {SCHEMA} with at most {WHEELS_MAX}"
        raise UpdateRefused(Code.LOCK_BAD, f"lock.json has {said}")
    versions: dict[str, str] = {}
    files: set[str] = set()
    for wheel in lock.wheels:
        _check_wheel(wheel)
        if versions.setdefault(wheel.name, wheel.version) != wheel.version:
            raise UpdateRefused(Code.LOCK_BAD, f"lock.json has two versions of {wheel.name}; keep one")
        if wheel.file.lower() in files:
            raise UpdateRefused(Code.LOCK_BAD, f"lock.json names {wheel.file} twice")
        files.add(wheel.file.lower())


def forbidden(text: str) -> Code | None:
    """Which rule a text breaks that names something else than one wheel: a repository, an address, a folder, source."""
    word = text.strip()
    if _VCS.search(word):
        return Code.LOCK_VCS
    if word.startswith(("-e", "--editable")):
        return Code.LOCK_EDITABLE
    if _SDIST.search(word):
        return Code.LOCK_SDIST
    if "://" in word or word.lower().startswith("file:"):
        return Code.LOCK_URL
    return (
        Code.LOCK_EDITABLE if word.startswith(("/", "./", "../", ".\\", "..\\", "~")) or word in {".", ".."} else None
    )


def tags_of(wheel: LockedWheel) -> frozenset[Tag]:
    """The interpreters and platforms that its file name tells."""
    return parse_wheel_filename(wheel.file)[3]


def choose_wheels(lock: Lock, tags: Sequence[Tag]) -> tuple[LockedWheel, ...]:
    """Of each name the wheel that suits best; `tags`: what this Python installs, best first.

    Raises `UpdateRefused` LOCK_INCOMPLETE if a name has no wheel for it.
    """
    rank = {tag: place for place, tag in enumerate(tags)}
    best: dict[str, tuple[int, LockedWheel]] = {}
    for wheel in lock.wheels:
        fits = [rank[tag] for tag in tags_of(wheel) if tag in rank]
        if fits and (wheel.name not in best or min(fits) < best[wheel.name][0]):
            best[wheel.name] = (min(fits), wheel)
    missing = sorted({wheel.name for wheel in lock.wheels} - best.keys())
    if missing:
        said = f"no wheel of {missing[0]} in lock.json is for this Python and platform; build the package with one"
        raise UpdateRefused(Code.LOCK_INCOMPLETE, said)
    return tuple(best[name][1] for name in sorted(best))


def _order(wheel: LockedWheel) -> tuple[str, str]:
    return wheel.name, wheel.file


def _check_wheel(wheel: LockedWheel) -> None:
    for text in (wheel.name, wheel.version, wheel.file):
        code = forbidden(text)
        if code is not None:
            raise UpdateRefused(code, f"lock.json names {text[:FILE_CHARACTERS_MAX]!a}; it may only name wheels")
    if not _SHA256.fullmatch(wheel.sha256):
        raise UpdateRefused(Code.LOCK_UNHASHED, f"{wheel.name[:100]!a} in lock.json has no SHA-256; build it anew")
    _check_version(wheel)
    if wheel.size < 1 or len(wheel.file) > FILE_CHARACTERS_MAX or not _FILE.fullmatch(wheel.file):
        raise UpdateRefused(Code.LOCK_BAD, f"{wheel.file[:FILE_CHARACTERS_MAX]!a} in lock.json is no file of a wheel")
    try:
        name, version, _, _ = parse_wheel_filename(wheel.file)
    except InvalidWheelFilename:
        raise UpdateRefused(Code.LOCK_BAD, f"{wheel.file!a} in lock.json is no name of a wheel") from None
    if name != wheel.name or version != Version(wheel.version):
        raise UpdateRefused(Code.LOCK_BAD, f"{wheel.file!a} in lock.json is not {wheel.name!a} {wheel.version}")


def _check_version(wheel: LockedWheel) -> None:
    try:
        parse_version(wheel.version)
    except UpdateRefused:
        said = f"{wheel.name[:100]!a} in lock.json has no single version: {wheel.version[:100]!a}"
        raise UpdateRefused(Code.LOCK_UNPINNED, said) from None
