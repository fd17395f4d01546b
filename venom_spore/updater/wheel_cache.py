"""Wheels by their hash, shared by all releases: what a release has in common with one before is not loaded again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from venom_core.ota.addresses import TARGETS_PATH
from venom_core.ota.lock import LockedWheel
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import WHEELS, Signed
from venom_spore.updater.download import Downloader, Wanted, sha256_of

UNUSED_S_MAX = 30 * 86_400.0
"""Seconds for which a wheel that no staged release asked for is kept."""


def wanted_of(signed: Signed) -> Wanted:
    """What to load for a signed file."""
    return Wanted(TARGETS_PATH.lstrip("/") + signed.served_as, signed.length, signed.sha256)


class WheelCache:
    """The folder `wheels` of a home; it loads only wheels that are signed under the name and hash of the lock."""

    def __init__(self, folder: Path, staging: Path, downloader: Downloader, signed: Iterable[Signed]) -> None:
        self._folder, self._staging, self._downloader = folder, staging, downloader
        self._signed = {each.name: each for each in signed if each.listing is None}

    def path_of(self, wheel: LockedWheel) -> Path:
        """Where it lies, or would."""
        return self._folder / f"{wheel.sha256}.whl"

    def missing(self, wheels: Iterable[LockedWheel]) -> list[LockedWheel]:
        """Those that are not here, or not any more what their name says; the latter are removed."""
        absent = []
        for wheel in wheels:
            path = self.path_of(wheel)
            if not path.is_file() or path.stat().st_size != wheel.size or sha256_of(path) != wheel.sha256:
                path.unlink(missing_ok=True)
                absent.append(wheel)
            else:
                path.touch()
        return absent

    def load(self, wheels: Iterable[LockedWheel]) -> None:
        """Bring these here; `UpdateRefused` NOT_SIGNED before any is loaded, and what a `Downloader` raises."""
        for wanted, path in [(self._wanted(wheel), self.path_of(wheel)) for wheel in wheels]:
            self._downloader.fetch(wanted, self._staging, path)

    def _wanted(self, wheel: LockedWheel) -> Wanted:
        signed = self._signed.get(f"{WHEELS}{wheel.file}")
        if signed is None or (signed.sha256, signed.length) != (wheel.sha256, wheel.size):
            raise UpdateRefused(
                Code.NOT_SIGNED, f"{wheel.file} is locked by the package, but not signed; sign the package again"
            )
        return wanted_of(signed)

    def drop_unused(self, now_s: float) -> None:
        """Remove what nobody has asked for in `UNUSED_S_MAX`."""
        for path in self._folder.glob("*.whl"):
            if abs(now_s - path.lstat().st_mtime) > UNUSED_S_MAX:
                path.unlink()
