"""A package: `manifest.json`, `app/…`, and where it brings dependencies `lock.json` and maybe `wheels/…`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from venom_core.ota import archive as archives
from venom_core.ota.archive import MANIFEST_BYTES_MAX, Archive, Contents, Limits
from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.durable import local_faults
from venom_core.ota.manifest import MANIFEST, Listing, Manifest, read_manifest, write_manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.sources import APP, collect_sources
from venom_core.ota.versions import check_manifest

LOCK = "lock.json"
WHEELS = "wheels"


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was built or looked through: its bytes' SHA-256 and length, and what it holds.

    `wheels` are the files of the lock that whoever publishes must offer too, as they are not inside.
    """

    manifest: Manifest
    contents: Contents
    sha256: str
    length: int
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
    limits: Limits | None = None,
) -> Built:
    """The package of these files and folders, each under `app/` by its name: same input, same bytes.

    `requirements`: a file of pinned and hashed lines; their wheels must lie in the folder `wheelhouse`, and become the
    package's lock. With `embed_wheels` they go into the package, for nodes that reach nothing else.
    What is built has been read back as a node would. Raises `UpdateRefused`.
    """
    bounds = limits or Limits()
    check_manifest(manifest)
    sources = collect_sources(source_paths, bounds)
    files = dict(sources.files)
    files[MANIFEST] = write_manifest(manifest)
    data = write_zip(files, sources.programs)
    return Built(data, inspect_package(data, bounds))


def inspect_package(source: Path | bytes, limits: Limits | None = None) -> Package:
    """Looks through a whole package and writes nothing; raises `UpdateRefused` for anything a node would refuse."""
    with local_faults("reading the package"), archives.opened(source) as file:
        archive = Archive(file, limits or Limits())
        contents = archive.check()
        manifest = read_manifest(_member(archive, MANIFEST, MANIFEST_BYTES_MAX))
        check_manifest(manifest)
        check_layout(contents.files)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        length = file.seek(0, 2)
    return Package(manifest, contents, digest, length)


def check_layout(names: Sequence[str]) -> None:
    """Raises `UpdateRefused` ZIP_PATH for a file that has no place in a package."""
    for name in names:
        folder, _, rest = name.partition("/")
        wheel = folder == WHEELS and rest.endswith(".whl") and "/" not in rest
        if not (wheel or (folder == APP and rest) or name in {MANIFEST, LOCK}):
            raise UpdateRefused(Code.ZIP_PATH, f"{name!a} has no place in a package; build it with `venom ota build`")


def _member(archive: Archive, name: str, bytes_max: int) -> bytes:
    if name not in archive.entries:
        raise UpdateRefused(Code.BAD_METADATA, f"the package has no {name}; build it with `venom ota build`")
    return archive.read(name, bytes_max)
