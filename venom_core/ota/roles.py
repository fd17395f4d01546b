"""The four roles of a repository: what each signs, how long that counts, and where its keys lie.

Root says whose signatures count, release signs what nodes may install: both stay offline, encrypted with a passphrase.
Snapshot and timestamp say what is the newest: a Nexus signs these again and again, with keys that lie open on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from venom_core.errors import InputError

Role = Literal["root", "targets", "snapshot", "timestamp"]
NAMES: dict[str, Role] = {
    "root": "root", "release": "targets", "targets": "targets", "snapshot": "snapshot", "timestamp": "timestamp",
}  # fmt: skip
OFFLINE: frozenset[str] = frozenset({"root", "targets"})
KEYS_MAX = 16
"""Keys of one role."""
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a signature of a role counts, in seconds."""

    root: int = 365 * _DAY_S
    targets: int = 90 * _DAY_S
    snapshot: int = 7 * _DAY_S
    timestamp: int = _DAY_S

    def of(self, role: str) -> int:
        """Those of a role."""
        seconds: int = getattr(self, role)
        return seconds


def role_of(name: str) -> Role:
    """A role by its name in TUF or by ours (`release` for `targets`); InputError."""
    if name not in NAMES:
        raise InputError(f"{name!r:.40} is no role; there are root, release, snapshot and timestamp")
    return NAMES[name]


def folder_of(role: Role) -> str:
    """The folder of its keys: `keys`, offline, or `online`."""
    return "keys" if role in OFFLINE else "online"


def shown(role: str) -> str:
    """What people call a role."""
    return "release" if role == "targets" else role
