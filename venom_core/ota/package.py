"""Building a package, and looking through one that was built."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.durable import local_faults
from venom_core.ota.kept_back import check_content
from venom_core.ota.layout import LOCK, WHEELS, read_package
from venom_core.ota.lock import Lock, write_lock
from venom_core.ota.manifest import MANIFEST, Listing, Manifest, write_manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.sources import collect_sources
from venom_core.ota.versions import check_manifest, check_platforms
from venom_core.ota.wheelhouse import wheels_for
from venom_core.ota.zip_reader import Archive, Contents, Limits, opened


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was built or looked through: its bytes' SHA-256 and length, and what it holds.

    `wheels` are the files of the lock that whoever publishes must offer too, as they are not inside.
    """

    manifest: Manifest
    contents: Contents
    sha256: str
    length: int
    lock: Lock | None = None
    wheels: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """File name of the package: `<app>-<version>.zip`."""
        return f"{self.manifest.app}-{self.manifest.version}.zip"

    def listing(
        self, nodes: Sequence[str] = ("*",), tags: Sequence[str] = (), downgrade_from: Sequence[str] = ()
    ) -> Listing:
        """What is to be signed beside it."""
        return Listing(
            manifest=self.manifest,
            nodes=tuple(nodes),
            tags=tuple(tags),
            files=len(self.contents.files),
            unpacked_bytes=self.contents.unpacked_bytes,
            downgrade_from=tuple(downgrade_from),
        )


@dataclass(frozen=True, slots=True)
class Built:
    """The bytes of a new package and what is known of it."""

    data: bytes
    package: Package


def build_package(
    manifest: Manifest,
    source_paths: Sequence[Path],
    *,
    requirements: Path | None = None,
    wheelhouse: Path | None = None,
    embed_wheels: bool = False,
    home: Path | None = None,
    limits: Limits | None = None,
) -> Built:
    """The package of these files and folders, each under `app/` by its name: same input, same bytes.

    `requirements`: a file of pinned and hashed lines. Their wheels must lie in the folder `wheelhouse`
    (`wheelhouse.fetch_wheels` puts them there) and become the package's lock; the manifest's own `lock` is replaced.
    With `embed_wheels` they go into the package, for nodes that reach nothing else; else `package.wheels` names them.
    Nothing of `home` (HIVE_OTA_HOME) enters it, and no private key. What is built has been read back as a node would.
    Raises `UpdateRefused`.
    """
    bounds = limits or Limits()
    check_manifest(manifest)
    check_platforms(manifest)
    sources = collect_sources(source_paths, bounds, home)
    if not sources.files:
        raise UpdateRefused(Code.BAD_METADATA, "the sources hold no file; name the files and folders to release")
    files = dict(sources.files)
    wheels = wheels_for(requirements, wheelhouse) if requirements is not None else ()
    if requirements is not None:
        files[LOCK] = write_lock(Lock(wheels=tuple(wheel.locked for wheel in wheels)))
    if embed_wheels:
        with local_faults("reading the wheels"):
            files |= {f"{WHEELS}/{wheel.locked.file}": wheel.path.read_bytes() for wheel in wheels}
    digest = hashlib.sha256(files[LOCK]).hexdigest() if LOCK in files else ""
    files[MANIFEST] = write_manifest(msgspec.structs.replace(manifest, lock=digest))
    data = write_zip(files, sources.programs)
    outside = () if embed_wheels else tuple(wheel.path for wheel in wheels)
    return Built(data, replace(inspect_package(data, bounds), wheels=outside))


def inspect_package(source: Path | bytes, limits: Limits | None = None) -> Package:
    """Looks through a whole package and writes nothing; raises `UpdateRefused` for anything a node would refuse."""
    with local_faults("reading the package"), opened(source) as file:
        archive = Archive(file, limits or Limits())
        contents = archive.check()
        manifest, lock = read_package(archive)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        length = file.seek(0, 2)
    return Package(manifest, contents, digest, length, lock)


def check_no_key(source: Path, limits: Limits | None = None) -> None:
    """Raises `UpdateRefused` PRIVATE for a package with a private key in it, whoever built it."""
    bounds = limits or Limits()
    with local_faults("reading the package"), opened(source) as file:
        archive = Archive(file, bounds)
        archive.check()
        for name in archive.entries:
            check_content(f"{name} in {source}", archive.read(name, bounds.file_bytes))
