"""What lies where in a package: `manifest.json`, `app/…`, and with dependencies `lock.json` and maybe `wheels/…`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from venom_core.ota.lock import LOCK_BYTES_MAX, Lock, read_lock
from venom_core.ota.manifest import MANIFEST, Manifest, read_manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.versions import check_manifest
from venom_core.ota.zip_reader import Archive

APP = "app"
LOCK = "lock.json"
WHEELS = "wheels"
MANIFEST_BYTES_MAX = 1 << 16


def read_package(archive: Archive) -> tuple[Manifest, Lock | None]:
    """What a package says of itself and brings with it, checked against what it holds.

    Raises `UpdateRefused` ZIP_PATH, BAD_METADATA, LOCK_*, TOO_BIG.
    """
    check_layout(tuple(archive.entries))
    if MANIFEST not in archive.entries:
        raise UpdateRefused(Code.BAD_METADATA, f"the package has no {MANIFEST}; build it with `venom ota build`")
    manifest = read_manifest(archive.read(MANIFEST, MANIFEST_BYTES_MAX))
    check_manifest(manifest)
    lock = _lock(archive, manifest)
    _check_embedded(archive, lock)
    return manifest, lock


def check_layout(names: Sequence[str]) -> None:
    """Raises `UpdateRefused` ZIP_PATH for a file that has no place in a package."""
    for name in names:
        folder, _, rest = name.partition("/")
        wheel = folder == WHEELS and rest.endswith(".whl") and "/" not in rest
        if not (wheel or (folder == APP and rest) or name in {MANIFEST, LOCK}):
            raise UpdateRefused(Code.ZIP_PATH, f"{name!a} has no place in a package; build it with `venom ota build`")


def _lock(archive: Archive, manifest: Manifest) -> Lock | None:
    text = archive.read(LOCK, LOCK_BYTES_MAX) if LOCK in archive.entries else None
    digest = "" if text is None else hashlib.sha256(text).hexdigest()
    if digest != manifest.lock:
        raise UpdateRefused(Code.LOCK_BAD, f"{LOCK} is not the one that the manifest names; build the package anew")
    return None if text is None else read_lock(text)


def _check_embedded(archive: Archive, lock: Lock | None) -> None:
    """Wheels inside are the lock's own, byte for byte."""
    locked = {wheel.file: wheel for wheel in lock.wheels} if lock is not None else {}
    for name in archive.entries:
        folder, _, file = name.partition("/")
        if folder != WHEELS:
            continue
        digest = hashlib.sha256()
        for piece in archive.chunks(name):
            digest.update(piece)
        if file not in locked or locked[file].sha256 != digest.hexdigest():
            raise UpdateRefused(Code.LOCK_BAD, f"{name!a} is not a wheel that {LOCK} names; build the package anew")
