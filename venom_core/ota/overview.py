"""What is to be seen of a repository: its keys, its roles, and what is signed, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from venom_core.ota.checking import Checked
from venom_core.ota.metadata_files import MetadataFiles
from venom_core.ota.repository import Repository
from venom_core.ota.roles import role_of, shown
from venom_core.ota.tuf_names import Root, Snapshot, Targets, Timestamp
from venom_core.ota.verifying import Signed

HASH_SHOWN = 12


@dataclass(frozen=True, slots=True)
class KeySeen:
    """A key that counts: how many of the role's keys there are and must sign, its age in seconds, where it lies."""

    role: str
    keyid: str
    threshold: int
    count: int
    age_s: float | None
    path: str

    def age(self, words: Callable[[float], str]) -> str:
        """Its age in words."""
        return "unknown" if self.age_s is None else words(self.age_s)

    @property
    def place(self) -> str:
        """Where its private half is."""
        return self.path or "not here"

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


def keys_of(repository: Repository, now_ms: int) -> list[KeySeen]:
    """The keys that count today, offline roles first; of those whose public half is not here no age is known."""
    files = {file.half.keyid: file for file in reversed(repository.keys.files())}
    found = []
    for name in ("root", "targets", "snapshot", "timestamp"):
        role = repository.root().roles[role_of(name)]
        for keyid in role.keyids:
            file = files.get(keyid)
            age_s = (now_ms - file.half.made_ms) / 1000 if file else None
            path = str(file.path) if file and file.is_here else ""
            found.append(KeySeen(shown(name), keyid, role.threshold, len(role.keyids), age_s, path))
    return found


def roles_of(repository: Repository, checked: Checked) -> dict[str, dict[str, Any]]:
    """By role: its version as a Spore would find it, until when it counts (ISO 8601), who signs."""
    return {
        shown(role): {
            "version": version,
            "expires": _expires(repository.files, role),
            "keys": list(checked.standing.keys[role]),
            "threshold": checked.standing.thresholds[role],
        }
        for role, version in checked.standing.versions.items()
    }


def _expires(files: MetadataFiles, role: str) -> str:
    match role:
        case "root":
            return files.read(Root).signed.expires.isoformat()
        case "targets":
            return files.read(Targets).signed.expires.isoformat()
        case "snapshot":
            return files.read(Snapshot).signed.expires.isoformat()
        case _:
            return files.read(Timestamp).signed.expires.isoformat()


def signed_as_dict(signed: Signed) -> dict[str, Any]:
    """A signed file as plain data, its listing with it."""
    listing = None if signed.listing is None else msgspec.to_builtins(signed.listing)
    return {"name": signed.name, "length": signed.length, "sha256": signed.sha256, "listing": listing}


def row_of(signed: Signed) -> tuple[str, ...]:
    """The same as a row: app, version, for whom, bytes, hash, whether it is withdrawn."""
    size, digest = f"{signed.length:,}", signed.sha256[:HASH_SHOWN]
    if signed.listing is None:
        return (signed.name.rpartition("/")[2], "", "", size, digest, "wheel")
    listing, manifest = signed.listing, signed.listing.manifest
    whom = ", ".join(("all" if listing.nodes == ("*",) else ", ".join(listing.nodes), *listing.tags))
    return (manifest.app, manifest.version, whom, size, digest, "withdrawn" if listing.withdrawn else "")
