"""Whether a repository's own files would be believed: judged like a Spore does it, from its first root on."""

from __future__ import annotations

import hashlib
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from venom_core.clock import Clock, to_utc
from venom_core.ota.durable import local_faults
from venom_core.ota.metadata_files import MetadataFiles
from venom_core.ota.package import inspect_package
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.suitability import ANY_NODE
from venom_core.ota.tuf_names import DownloadHTTPError, DownloadLengthMismatchError, FetcherInterface
from venom_core.ota.verifying import Judge, Signed, Standing, in_words

_ABSENT = 404
APP = "tasks"
"""The app that is meant where none is named."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a Spore would find: how far the repository has come, and every file that is signed."""

    standing: Standing
    signed: tuple[Signed, ...]


class _Folder(FetcherInterface):
    """Reads a folder as if it were served: a name below `file:`, nothing outside, nothing too large."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url.rpartition("/")[2]
        try:
            return iter([path.read_bytes()])
        except FileNotFoundError:
            raise DownloadHTTPError(f"{path} is absent", _ABSENT) from None

    def download_bytes(self, url: str, max_length: int) -> bytes:
        data = b"".join(self._fetch(url))
        if len(data) > max_length:
            raise DownloadLengthMismatchError(f"{url} is larger than {max_length:,} bytes")
        return data


def check_repository(files: MetadataFiles, targets: Path, clock: Clock | None = None) -> Checked:
    """Verify the metadata, and the bytes of every signed file.

    Raises `UpdateRefused` with the code that a Spore would give, InputError without a repository.
    """
    root = files.first_root()
    moment = to_utc((clock or Clock()).now_ms())
    with tempfile.TemporaryDirectory(prefix="venom-ota-") as cache, in_words():
        judge = Judge(Path(cache), "file:", _Folder(files.folder), bootstrap=root, moment=moment)
        judge.refresh()
        checked = Checked(judge.standing(), judge.signed())
    for each in checked.signed:
        check_file(targets / each.served_as, each)
    return checked


def check_served(targets: Path, signed: Iterable[Signed]) -> None:
    """Whether every file that a Spore may ask for is there and is the one that was signed; `UpdateRefused`.

    What was withdrawn is left out: nobody loads it any more.
    """
    for each in signed:
        if each.listing is None or not each.listing.withdrawn:
            _check_bytes(targets / each.served_as, each)


def check_file(path: Path, signed: Signed) -> None:
    """Whether a file is the one that was signed, and a package what its listing says; `UpdateRefused`."""
    _check_bytes(path, signed)
    if signed.listing is None:
        return
    package, listing = inspect_package(path), signed.listing
    says = (listing.manifest, listing.files, listing.unpacked_bytes)
    if says != (package.manifest, len(package.contents.files), package.contents.unpacked_bytes):
        said = f"{path} holds something else than was signed; build and sign the release anew"
        raise UpdateRefused(Code.ZIP_LIES, said)


def _check_bytes(path: Path, signed: Signed) -> None:
    if not path.exists():
        raise UpdateRefused(Code.LOCAL_FAULT, f"{path} is signed, and is not there; {_fix(signed)}")
    with local_faults(f"reading {signed.name}"), path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        length = file.seek(0, 2)
    if length != signed.length:
        said = f"{path} has {length:,} bytes, {signed.length:,} were signed"
        raise UpdateRefused(Code.WRONG_LENGTH, f"{said}; {_fix(signed)}")
    if found != signed.sha256:
        raise UpdateRefused(Code.WRONG_HASH, f"{path} is not the file that was signed; {_fix(signed)}")


def _fix(signed: Signed) -> str:
    """How the file is put back, for the same nodes as before; signing what was withdrawn would bring it back."""
    listing = signed.listing
    if listing is None:
        return f"sign it again with: venom ota sign {signed.name.rpartition('/')[2]}"
    if listing.withdrawn:
        return "restore it from a copy"
    manifest = listing.manifest
    given = [("--app", manifest.app)] if manifest.app != APP else []
    given += [("--node", node) for node in listing.nodes if node != ANY_NODE]
    given += [("--tag", tag) for tag in listing.tags]
    given += [("--downgrade-from", version) for version in listing.downgrade_from]
    words = shlex.join(["venom", "ota", "sign", manifest.version, *(word for option in given for word in option)])
    return f"sign it again with: {words}"
