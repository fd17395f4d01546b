"""Makes a complete release of one signed package, in its final folder.

COMPLETE is written last: until then it is rubbish, which the next look clears away.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.tags import sys_tags

from venom_core.ota.archive import Limits, unpack
from venom_core.ota.dependencies import checked_wheels
from venom_core.ota.durable import local_faults, sync_tree
from venom_core.ota.environment import build, smoke
from venom_core.ota.layout import LOCK, WHEELS
from venom_core.ota.lock import LOCK_BYTES_MAX, Lock, LockedWheel, choose_wheels, read_lock
from venom_core.ota.manifest import Listing
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import Signed
from venom_core.ota.wheels import Wheel
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.releases import BASE, Releases, release_name, write_complete
from venom_spore.updater.base import base_of
from venom_spore.updater.download import PART, Downloader, Wanted, sha256_of
from venom_spore.updater.progress import Progress
from venom_spore.updater.reuse import refill
from venom_spore.updater.room import check_room
from venom_spore.updater.skills_import import NO_SKILLS, WorkerSkills
from venom_spore.updater.wheel_cache import WheelCache, wanted_of

UNPACKED_PER_PACKAGE_BYTE = 4
"""How much more HIVE_OTA_PACKAGE_BYTES_MAX allows unpacked."""
PACKAGE = "package.zip"
"""The package in the folder of its release, of which the next one may reuse a part."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one update works with; `package_bytes_max`: bytes of a package or wheel, `skills`: of the worker."""

    layout: Layout
    downloader: Downloader
    cache: WheelCache
    progress: Progress
    package_bytes_max: int
    skills: WorkerSkills = NO_SKILLS

    def make(self, signed: Signed, listing: Listing) -> str:
        """The name of the release that was made; one that is complete already is taken as it is.

        Raises `UpdateRefused` and `OSError`; then nothing of it is left but a part that can be resumed.
        """
        version = listing.manifest.version
        name = release_name(version, signed.sha256)
        releases, folder = Releases(self.layout), self.layout.release(name)
        if releases.is_complete(name):
            return name
        package = self.layout.staging / f"{signed.sha256}.zip"
        try:
            self._load(signed, listing, package)
            self.progress.tell(f"{version}, staging")
            if folder.exists() or folder.is_symlink():
                releases.remove(name)
            self._fill(folder, package, listing)
        except BaseException:
            if folder.exists() and not releases.is_complete(name):
                releases.remove(name)
            raise
        finally:
            with contextlib.suppress(OSError):  # the next look clears it away
                package.unlink(missing_ok=True)
        return name

    def _load(self, signed: Signed, listing: Listing, package: Path) -> None:
        """Bring the package here, and hash what is on the disk."""
        self.progress.tell(f"{listing.manifest.version}, downloading")
        if signed.length > self.package_bytes_max:
            raise UpdateRefused(
                Code.TOO_BIG, f"{signed.name} has {signed.length:,} bytes; HIVE_OTA_PACKAGE_BYTES_MAX allows fewer"
            )
        check_room(self.layout.home, loaded=signed.length, unpacked=listing.unpacked_bytes, files=listing.files)
        self._reuse(wanted_of(signed))
        self.downloader.fetch(wanted_of(signed), self.layout.staging, package)
        if package.stat().st_size != signed.length or sha256_of(package) != signed.sha256:
            raise UpdateRefused(Code.WRONG_HASH, f"{signed.name} is not on the disk as it was loaded; check the disk")

    def _reuse(self, wanted: Wanted) -> None:
        """Begin the download with what the release that runs has in common with it."""
        before = self.layout.current / PACKAGE
        part = self.layout.staging / f"{wanted.sha256}{PART}"
        refill(wanted.length, lambda first, last: self.downloader.piece(wanted, first, last), before, part)

    def _fill(self, folder: Path, package: Path, listing: Listing) -> None:
        most = self.package_bytes_max
        unpack(package, folder, listing, Limits(unpacked_bytes=most * UNPACKED_PER_PACKAGE_BYTE, file_bytes=most))
        base_site = base_of(self.layout).site
        wheels = self._wheels(folder, base_site)
        self.progress.tell(f"{listing.manifest.version}, building its environment")
        python = build(folder, wheels, base_site)
        smoke(folder, listing.manifest.check)
        self.skills.try_in(folder)
        with local_faults("completing the release"):
            shutil.rmtree(folder / WHEELS, ignore_errors=True)  # they are installed
            package.replace(folder / PACKAGE)
            sync_tree(folder)
            write_complete(folder, listing.manifest.version, str(python))

    def _wheels(self, folder: Path, base_site: Path) -> Sequence[Wheel]:
        """The checked wheels of a release, from within the package, from the cache, or loaded into it."""
        with local_faults("reading the lock"):
            lock = _read_lock(folder / LOCK)
        if lock is None:
            return ()
        tags = list(sys_tags())
        embedded = folder / WHEELS
        outside = [wheel for wheel in choose_wheels(lock, tags) if not (embedded / wheel.file).is_file()]
        missing = self.cache.missing(outside)
        sizes = sum(wheel.size for wheel in missing)
        if too_big := [wheel.file for wheel in missing if wheel.size > self.package_bytes_max]:
            raise UpdateRefused(Code.TOO_BIG, f"{too_big[0]} is larger than HIVE_OTA_PACKAGE_BYTES_MAX allows")
        check_room(self.layout.home, loaded=sizes, wheels=sum(wheel.size for wheel in lock.wheels))
        self.cache.load(missing)

        def find(wheel: LockedWheel) -> Path:
            inside = embedded / wheel.file
            return inside if inside.is_file() else self.cache.path_of(wheel)

        return checked_wheels(lock, tags, find, base_site)


def _read_lock(path: Path) -> Lock | None:
    if not path.exists():
        return None
    with path.open("rb") as file:
        return read_lock(file.read(LOCK_BYTES_MAX + 1))


def clear_rubbish(layout: Layout) -> None:
    """Remove what an update that was killed has left: packages, and releases that are not complete.

    Parts stay for whoever resumes them (`drop_old_parts`). The caller holds the update lock.
    """
    releases = Releases(layout)
    for entry in layout.staging.iterdir():
        if entry.suffix != PART or not entry.is_file() or entry.is_symlink():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    for entry in layout.releases.iterdir():
        if entry.name not in {BASE, releases.current()} and not releases.is_complete(entry.name):
            releases.remove(entry.name)
