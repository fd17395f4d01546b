"""python-tuf as the judge of what is signed: one look at a repository, and what it found or why nothing is believed.

The clock is the caller's, so that a clock which was set back hides no expiry. Every error of python-tuf, and everything
that it lets through but an honest signer does not write, comes out as one `UpdateRefused` with its code.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from venom_core.clock import from_datetime
from venom_core.ota.manifest import Listing, read_listing
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.strict_json import check_metadata
from venom_core.ota.tuf_names import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    FetcherInterface,
    LengthOrHashMismatchError,
    Metadata,
    RepositoryError,
    Root,
    TargetFile,
    Targets,
    UnsignedMetadataError,
    Updater,
    UpdaterConfig,
)

PACKAGES, WHEELS = "packages/", "wheels/"
ROLES = ("root", "timestamp", "snapshot", "targets")
ISSUED = "issued"
"""Beside the fields of TUF in everything signed here: when it was signed, ISO 8601 in UTC."""
CLOCK_ERROR_MS = 86_400_000
"""How far behind the signer a clock may be, in milliseconds: nodes may be hours wrong."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Signed:
    """A file that is signed: its target path, bytes, SHA-256 as 64 hex digits; `listing` is None for a wheel."""

    name: str
    length: int
    sha256: str
    listing: Listing | None

    @property
    def served_as(self) -> str:
        """Its path below the targets of a repository, which holds its hash."""
        folder, _, file = self.name.rpartition("/")
        return f"{folder}/{self.sha256}.{file}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a repository has come: the version of each role, and how many of whose keys count for it."""

    versions: Mapping[str, int]
    keys: Mapping[str, tuple[str, ...]]
    thresholds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """Bytes of metadata that are read at most, a role, where what is signed does not say less; and roots in a row."""

    root: int = 512_000
    timestamp: int = 16_384
    snapshot: int = 2_000_000
    targets: int = 5_000_000
    rotations: int = 256

    def config(self) -> UpdaterConfig:
        """The same for python-tuf."""
        return UpdaterConfig(
            max_root_rotations=self.rotations,
            root_max_length=self.root,
            timestamp_max_length=self.timestamp,
            snapshot_max_length=self.snapshot,
            targets_max_length=self.targets,
        )


class Judge(Updater):
    """python-tuf's updater by a clock of ours, that reads only plain JSON. For one look."""

    def __init__(
        self,
        folder: Path,
        url: str,
        fetcher: FetcherInterface,
        *,
        bootstrap: bytes,
        moment: datetime,
        limits: SizeLimits | None = None,
    ) -> None:
        """`folder` keeps what was verified; `bootstrap` is the root that is trusted before anything is asked."""
        check_metadata("the root that was joined", bootstrap)
        config = (limits or SizeLimits()).config()
        super().__init__(str(folder), url, fetcher=fetcher, config=config, bootstrap=bootstrap)
        self._trusted_set.reference_time = moment
        self._moment = moment

    def _download_metadata(self, rolename: str, length: int, version: int | None = None) -> bytes:
        data = super()._download_metadata(rolename, length, version)
        check_metadata(rolename, data)
        return data

    def signed(self) -> tuple[Signed, ...]:
        """What may be installed; after `refresh`."""
        return read_targets(self._trusted_set.targets)

    def standing(self) -> Standing:
        """How far the repository has come; after `refresh`. `UpdateRefused` CLOCK_BACKWARDS if in the future."""
        trusted, root = self._trusted_set, self._trusted_set.root
        _check_keys(root)
        top = (trusted.root, trusted.timestamp, trusted.snapshot, trusted.targets)
        for each in top:
            _signed_before(each.type, each.unrecognized_fields.get(ISSUED), self._moment)
        return Standing(
            {each.type: each.version for each in top},
            {name: tuple(sorted(role.keyids)) for name, role in root.roles.items() if name in ROLES},
            {name: role.threshold for name, role in root.roles.items() if name in ROLES},
        )


@contextmanager
def in_words() -> Iterator[None]:
    """Whatever python-tuf or the disk raises inside becomes one `UpdateRefused` with its code."""
    try:
        yield
    except (RepositoryError, DownloadError, OSError, ValueError, RecursionError) as fault:
        raise explained(fault) from None


def explained(fault: Exception) -> UpdateRefused:
    """An error of python-tuf or of this machine, with its code and what to do."""
    if isinstance(fault, OSError):
        full = fault.errno in _FULL
        code = Code.NO_SPACE if full else Code.LOCAL_FAULT
        fix = "make room" if full else "mend the folder"
        return UpdateRefused(
            code, f"a file of what is believed cannot be read or written ({fault}); {fix}, and try again"
        )
    code, fix = next((found for kind, found in _MEANING.items() if isinstance(fault, kind)), _MALFORMED)
    if code is Code.WRONG_HASH and "length" in str(fault).lower():
        code = Code.WRONG_LENGTH
    return UpdateRefused(code, f"{' '.join(str(fault).split()) or type(fault).__name__:.300}; {fix}")


_MALFORMED = (Code.BAD_METADATA, "ask whoever serves it to publish anew")
_MEANING: dict[type[Exception], tuple[Code, str]] = {
    ExpiredMetadataError: (Code.EXPIRED, "ask for it to be signed anew, and compare the clock of this machine"),
    BadVersionNumberError: (Code.ROLLBACK, "an older or another version is served; find out who serves it"),
    UnsignedMetadataError: (Code.BAD_SIGNATURE, "the keys that count for it did not sign it; find out who serves it"),
    LengthOrHashMismatchError: (Code.WRONG_HASH, "it is not the file that was signed; find out who serves it"),
    DownloadLengthMismatchError: (Code.TOO_BIG, "nothing of it was kept"),
    DownloadHTTPError: (Code.BAD_ANSWER, "the repository is not complete; publish it anew"),
}


def read_targets(targets: Targets) -> tuple[Signed, ...]:
    """The packages and wheels in verified metadata, by name; `UpdateRefused` BAD_METADATA for an odd entry."""
    return tuple(_read_target(targets.targets[name]) for name in sorted(targets.targets))


def _read_target(target: TargetFile) -> Signed:
    sha256 = target.hashes.get("sha256", "")
    name = target.path
    folder, _, file = name.rpartition("/")
    if f"{folder}/" not in (PACKAGES, WHEELS) or not file or file.startswith(".") or not sha256:
        sentence = f"{name!r:.120} is signed, but is neither packages/… nor wheels/… with a SHA-256; publish anew"
        raise UpdateRefused(Code.BAD_METADATA, sentence)
    listing = read_listing(target.custom) if name.startswith(PACKAGES) else None
    if listing is not None and name != package_name(listing):
        sentence = f"{name!r:.120} is signed as {package_name(listing)!r:.120}; publish anew"
        raise UpdateRefused(Code.BAD_METADATA, sentence)
    return Signed(name, target.length, sha256, listing)


def package_name(listing: Listing) -> str:
    """The target path of a package."""
    return f"{PACKAGES}{listing.manifest.app}-{listing.manifest.version}.zip"


def root_of(data: bytes) -> Root:
    """A root that is signed by its own keys; `UpdateRefused`."""
    check_metadata("root", data)
    with in_words():
        found = Metadata[Root].from_bytes(data)
        if found.signed.type != Root.type:
            raise RepositoryError(f"it is of type {found.signed.type}")
        found.signed.verify_delegate(Root.type, found.signed_bytes, found.signatures)
    _check_keys(found.signed)
    return found.signed


def _check_keys(root: Root) -> None:
    """Refuse a root in which one key stands under several ids: alone it would count as many (python-tuf counts ids)."""
    for name, role in root.roles.items():
        values = {"".join(str(root.keys[keyid].keyval.get("public")).split()).lower() for keyid in role.keyids}
        if len(values) != len(role.keyids):
            sentence = f"root names one key of {name} under several ids; ask for a root with as many keys as it says"
            raise UpdateRefused(Code.BAD_METADATA, sentence)


def _signed_before(role: str, issued: object, moment: datetime) -> None:
    """Refuse a clock that stands before the day of signing; who signs with other tools need not say the day."""
    if issued is None:
        return
    try:
        day = datetime.fromisoformat(str(issued))
        ahead_ms = from_datetime(day) - from_datetime(moment)
    except (ValueError, OverflowError):
        raise UpdateRefused(Code.BAD_METADATA, f"{role} was signed at {issued!r:.60}, which is no time") from None
    if ahead_ms > CLOCK_ERROR_MS:
        sentence = f"{role} was signed at {issued}, but the clock of this machine says {moment:%Y-%m-%d %H:%M}; set it"
        raise UpdateRefused(Code.CLOCK_BACKWARDS, sentence)
