"""A requirements file, read by us and nobody else: each line is one version of one package with its hashes.

Installers understand far more than that in such a file, and some of it runs code or opens connections. So no line of a
user's file reaches one: what is accepted here is a list of pins, from which a lock is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from venom_core.ota.durable import local_faults
from venom_core.ota.lock import WHEELS_MAX, forbidden
from venom_core.ota.refusal import Code, UpdateRefused

FILE_BYTES_MAX = 4 << 20
LINE_CHARACTERS_MAX = 100_000
"""Of one line with its continuations: a package may have a wheel, and so a hash, for hundreds of platforms."""
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_OPTION = re.compile(r"\s+(?=--?[A-Za-z])")
_HASH = re.compile(r"--hash[=\s]\s*sha256:([0-9a-f]{64})", re.IGNORECASE)
_INCLUDE = re.compile(r"-r|-c|--requirement|--constraint")
_EDITABLE = re.compile(r"-e|--editable")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line: normal name, version, the SHA-256 of each file it may be, and the extras that are wanted of it."""

    name: str
    version: str
    hashes: frozenset[str]
    extras: frozenset[str] = frozenset()

    @property
    def line(self) -> str:
        """The pin as a line of our own making."""
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted(self.hashes))
        return f"{self.name}=={self.version} {hashes}"


def read_requirements(path: Path) -> tuple[Pin, ...]:
    """The pins of a file; raises `UpdateRefused` with a LOCK_* code that names the line, or LOCAL_FAULT."""
    with local_faults("reading the requirements"), path.open("rb") as file:
        text = file.read(FILE_BYTES_MAX + 1)
    if len(text) > FILE_BYTES_MAX:
        raise UpdateRefused(Code.LOCK_BAD, f"{path} has more than {FILE_BYTES_MAX} bytes; it is no list of packages")
    try:
        lines = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UpdateRefused(Code.LOCK_BAD, f"{path} is not UTF-8; write it anew") from None
    return parse_requirements(lines)


def parse_requirements(text: str) -> tuple[Pin, ...]:
    """The pins in a text, sorted by name; raises `UpdateRefused` with a LOCK_* code that names the line."""
    pins: dict[str, Pin] = {}
    for number, line in _logical_lines(text):
        pin = _pin(line, number)
        if pin.name in pins:
            raise _refused(Code.LOCK_BAD, number, line, f"{pin.name} has a line already; keep one")
        if len(pins) == WHEELS_MAX:
            raise _refused(Code.LOCK_BAD, number, line, f"there are more than {WHEELS_MAX} packages")
        pins[pin.name] = pin
    return tuple(pins[name] for name in sorted(pins))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number of the first line and the whole, joined where a backslash ends a line, without comments."""
    start, joined = 0, ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        start = start or number
        joined += _COMMENT.sub("", line)
        if len(joined) > LINE_CHARACTERS_MAX:
            raise _refused(Code.LOCK_BAD, start, joined, f"it has more than {LINE_CHARACTERS_MAX} characters")
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if joined.strip():
            yield start, joined.strip()
        start, joined = 0, ""
    if joined.strip():
        yield start, joined.strip()


def _pin(line: str, number: int) -> Pin:
    if "${" in line or not line.isprintable():
        raise _refused(Code.LOCK_OPTION, number, line, "variables and signs that nobody sees are not filled in")
    _check_start(line, number)
    wanted, *options = _OPTION.split(line)
    hashes = frozenset(_hash(option, number, line) for option in options)
    requirement = _requirement(wanted, number, line)
    if requirement.marker is not None:
        raise _refused(
            Code.LOCK_MARKER,
            number,
            line,
            "a condition installs something else on each node; resolve without --universal",
        )
    version = _version(requirement, number, line)
    if not hashes:
        raise _refused(Code.LOCK_UNHASHED, number, line, "it has no SHA-256; make the file with --generate-hashes")
    return Pin(canonicalize_name(requirement.name), version, hashes, frozenset(requirement.extras))


def _check_start(line: str, number: int) -> None:
    """Refuses what is not the name of a package: an option, a file, an address, a folder."""
    if _INCLUDE.match(line):
        raise _refused(Code.LOCK_INCLUDE, number, line, "other files are not read; put their lines here")
    if line.startswith("-") and not _EDITABLE.match(line):
        raise _refused(Code.LOCK_OPTION, number, line, "options are not taken from a file")
    target = re.split(r"[;#]", _OPTION.split(line)[0])[0].strip()
    place = target.partition("@ ")[2].strip()
    code = forbidden(target)
    if code is None and place:
        code = forbidden(place) or Code.LOCK_URL
    if code is None and target.lower().endswith(".whl"):
        code = Code.LOCK_URL
    if code is None and ("/" in target or "\\" in target):
        code = Code.LOCK_EDITABLE
    if code is not None:
        raise _refused(code, number, line, "only pinned versions of packages are taken; write name==version")


def _hash(option: str, number: int, line: str) -> str:
    if not option.startswith("--hash"):
        raise _refused(Code.LOCK_OPTION, number, line, "options are not taken from a file, only --hash")
    found = _HASH.fullmatch(option.strip())
    if found is None:
        raise _refused(Code.LOCK_UNHASHED, number, line, "its hash is not sha256: and 64 hexadecimal digits")
    return found[1].lower()


def _requirement(wanted: str, number: int, line: str) -> Requirement:
    try:
        requirement = Requirement(wanted)
    except (ValueError, RecursionError):
        raise _refused(Code.LOCK_BAD, number, line, "it is not name==version") from None
    if requirement.url is not None:
        code = forbidden(requirement.url) or Code.LOCK_URL
        raise _refused(code, number, line, "only pinned versions of packages are taken; write name==version")
    return requirement


def _version(requirement: Requirement, number: int, line: str) -> str:
    pins = list(requirement.specifier)
    try:
        if len(pins) == 1 and pins[0].operator == "==":
            return str(Version(pins[0].version))
    except ValueError:
        pass
    raise _refused(Code.LOCK_UNPINNED, number, line, "it names no single version; write name==version")


def _refused(code: Code, number: int, line: str, said: str) -> UpdateRefused:
    return UpdateRefused(code, f"line {number} of the requirements ({line[:80]!a}) is refused: {said}")
