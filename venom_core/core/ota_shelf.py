"""Packages that were built and lie on the disk of whoever releases: made, listed, cleared away. No key is needed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from venom_core.errors import InputError
from venom_core.ota import package as packages
from venom_core.ota.addresses import TARGETS_PATH
from venom_core.ota.durable import local_faults
from venom_core.ota.manifest import Manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import PACKAGES, WHEELS, Signed
from venom_core.ota.versions import check_spelling
from venom_core.ota.wheelhouse import fetch_wheels
from venom_core.ota.whole_files import PUBLIC, write_whole

REQUIREMENTS, WHEELHOUSE = "requirements.txt", "wheelhouse"


@dataclass(frozen=True, slots=True)
class Package:
    """A package on this machine's disk. `checksum`: its SHA-256, 64 hex digits; `size` in bytes.

    `package_url` is where a Nexus serves it once it is published; only its path if HIVE_OTA_URL is not given. `wheels`:
    files of its lock that are to be signed with it. `embedded`: names of those that are inside.
    """

    path: Path
    version: str
    description: str
    checksum: str
    package_url: str
    size: int
    app: str = "tasks"
    wheels: tuple[Path, ...] = ()
    embedded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a package is to bring along: pinned and hashed lines, the folder of their wheels, and whether inside."""

    requirements: Path
    wheelhouse: Path | None = None
    embed_wheels: bool = False


class Shelf:
    """The folders `packages` and `wheels` in HIVE_OTA_HOME; `url` is the address under which a Nexus serves it."""

    def __init__(self, home: Path, url: str) -> None:
        self._home, self._url = home, url.rstrip("/")

    @property
    def folder(self) -> Path:
        """Where packages lie."""
        return self._home / PACKAGES

    def build(self, manifest: Manifest, sources: Sequence[Path], needs: Dependencies | None = None) -> Package:
        """Build a package and put it on the shelf; the same sources give the same bytes.

        Without a folder of wheels those of `needs` are asked for at the package index that pip is set up for.
        Raises `UpdateRefused`, and InputError if the version lies there with other content.
        """
        with local_faults("putting the package on the shelf"):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self._home / WHEELS).mkdir(exist_ok=True)
        if needs is not None and needs.wheelhouse is None:
            fetched = self._home / WHEELHOUSE
            fetch_wheels(needs.requirements, fetched)
            needs = Dependencies(needs.requirements, fetched, needs.embed_wheels)
        built = packages.build_package(
            manifest,
            sources,
            requirements=needs.requirements if needs else None,
            wheelhouse=needs.wheelhouse if needs else None,
            embed_wheels=needs.embed_wheels if needs else False,
            home=self._home,
        )
        check_spelling(manifest.version, self._versions(manifest.app), "built")
        path = self.folder / built.package.name
        if path.exists() and path.read_bytes() != built.data:
            raise InputError(f"{path} was built before with other content; build it under a new version, or remove it")
        with local_faults("putting the package on the shelf"):
            for wheel in built.package.wheels:
                shutil.copyfile(wheel, self._home / WHEELS / wheel.name)
            write_whole(path, built.data, PUBLIC)
        return self._package(path, built.package)

    def all(self) -> list[Package]:
        """Every package that lies there and is one, the newest version first."""
        found = []
        for path in self.folder.glob("*.zip"):
            try:
                found.append(self._package(path, packages.inspect_package(path)))
            except UpdateRefused:
                continue  # whoever put it there knows what it is
        return sorted(found, key=lambda package: (package.app, Version(package.version)), reverse=True)

    def clear(self, keep: int) -> list[Package]:
        """Remove all packages of each app but the `keep` newest; those removed. What is published stays published."""
        seen: dict[str, int] = {}
        gone = []
        for package in self.all():
            seen[package.app] = seen.get(package.app, 0) + 1
            if seen[package.app] > keep:
                with local_faults("clearing the shelf"):
                    package.path.unlink(missing_ok=True)
                gone.append(package)
        return gone

    def unsigned_wheels(self, path: Path, signed: Sequence[Signed]) -> tuple[Path, ...]:
        """The wheels that are yet to be signed for a package, among what is `signed`.

        Raises InputError if one is not on the shelf, `UpdateRefused` VERSION_REUSED if another is signed by its name.
        """
        known = {each.name: each.sha256 for each in signed}
        found = packages.inspect_package(path)
        wanted = {wheel.file: wheel.sha256 for wheel in (found.lock.wheels if found.lock is not None else ())}
        missing = []
        for wheel in self._package(path, found).wheels:
            before = known.get(f"{WHEELS}{wheel.name}")
            if before is not None and before != wanted[wheel.name]:
                raise UpdateRefused(
                    Code.VERSION_REUSED, f"{wheel.name} is signed with other content; rename or rebuild it"
                )
            if before is None and not wheel.is_file():
                raise InputError(
                    f"{wheel} is not there, and the package needs it; build the package here, or put it there"
                )
            if before is None:
                missing.append(wheel)
        return tuple(missing)

    def _versions(self, app: str) -> list[str]:
        """Of an app, by the names of the packages that lie there; what follows the name may be none."""
        start, end = f"{app}-", ".zip"
        return [path.name.removeprefix(start).removesuffix(end) for path in self.folder.glob(f"{start}*{end}")]

    def _package(self, path: Path, known: packages.Package) -> Package:
        manifest = known.manifest
        signed = Signed(f"{PACKAGES}{known.name}", known.length, known.sha256, None)
        inside = {Path(name).name for name in known.contents.files if name.startswith(WHEELS)}
        locked = known.lock.wheels if known.lock is not None else ()
        return Package(
            path=path,
            version=manifest.version,
            description=manifest.description,
            checksum=known.sha256,
            package_url=f"{self._url}{TARGETS_PATH}{signed.served_as}",
            size=known.length,
            app=manifest.app,
            wheels=tuple(self._home / WHEELS / wheel.file for wheel in locked if wheel.file not in inside),
            embedded=tuple(sorted(inside)),
        )
