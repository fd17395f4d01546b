"""Reading a package: looked through to its last byte before the first file is written; all of it or nothing.

Only the form of `canonical_zip` is taken, and only what the signed listing says.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from venom_core.ota.durable import local_faults
from venom_core.ota.layout import read_package
from venom_core.ota.manifest import Listing
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.zip_reader import Archive, Contents, Limits, opened

__all__ = ["Archive", "Contents", "Limits", "audit", "unpack"]


def audit(source: Path | bytes, limits: Limits | None = None, *, canonical: bool = True) -> Contents:
    """Judges a whole archive and writes nothing; `canonical=False` takes zips of others (wheels).

    Raises `UpdateRefused` with a ZIP_* code, or LOCAL_FAULT if the file cannot be read.
    """
    with local_faults("reading the archive"), opened(source) as file:
        return Archive(file, limits or Limits(), canonical=canonical).check()


def unpack(source: Path | bytes, into: Path, listing: Listing, limits: Limits | None = None) -> Contents:
    """Writes a package's files into the new folder `into`; all or nothing.

    The archive must hold exactly what its signed `listing` says. Nothing is written before all of it was judged, and
    what was written is removed when a later step fails. The caller makes it last (`durable.sync_tree`).
    Raises `UpdateRefused` ZIP_*, BAD_METADATA, NO_SPACE, LOCAL_FAULT.
    """
    with local_faults("unpacking"), opened(source) as file:
        archive = Archive(file, _tightened(limits or Limits(), listing))
        contents = archive.check()
        _check_listed(archive, contents, listing)
        into.mkdir(mode=0o755)
        try:
            _write(archive, into)
        except BaseException:
            shutil.rmtree(into, ignore_errors=True)
            raise
        return contents


def _tightened(limits: Limits, listing: Listing) -> Limits:
    signed = min(limits.unpacked_bytes, listing.unpacked_bytes)
    return Limits(min(limits.files, listing.files), signed, min(limits.file_bytes, signed), limits.ratio)


def _check_listed(archive: Archive, contents: Contents, listing: Listing) -> None:
    if (len(contents.files), contents.unpacked_bytes) != (listing.files, listing.unpacked_bytes):
        raise UpdateRefused(Code.ZIP_LIES, "the package holds less than was signed; fetch it anew")
    if read_package(archive)[0] != listing.manifest:
        raise UpdateRefused(
            Code.BAD_METADATA, "the manifest in the package is not the one that was signed; sign it anew"
        )


def _write(archive: Archive, into: Path) -> None:
    into.chmod(0o755)
    for name in archive.entries:
        archive.extract(name, into)
    for folder in {into / parent for name in archive.entries for parent in Path(name).parents}:
        folder.chmod(0o755)
