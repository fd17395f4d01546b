"""What a Spore has seen and never goes below, kept apart from python-tuf's folder: that one forgets when it is emptied.

A floor of a role falls only with its keys: when so few of those that signed it still count that they could not sign
today, whoever held them may have raised the version on purpose, and TUF starts anew from what the new keys sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from venom_core.clock import to_utc
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import ROLES, Signed, Standing
from venom_core.ota.whole_files import write_whole

CLOCK_SLACK_MS = 300_000
"""How far a clock may be set back, in milliseconds, before updates wait: 5 minutes."""
SEEN_MAX = 2_000
"""Packages whose hash is remembered; the newest stay."""
FLOOR_BYTES_MAX = 1_048_576
# What starts anew with a role: the versions that only its old signers vouched for (TUF 5.3.11).
_FALLS_WITH = {
    "root": (),
    "timestamp": ("timestamp", "snapshot"),
    "snapshot": ("timestamp", "snapshot", "targets"),
    "targets": (),
}


class Floor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Versions and keys by role, the latest time seen (ms since the epoch), hash by package, least app version."""

    versions: Mapping[str, int] = {}
    keys: Mapping[str, tuple[str, ...]] = {}
    clock_ms: int = 0
    seen: Mapping[str, str] = {}
    app_version: str = ""

    def check_clock(self, now_ms: int) -> int:
        """The time by which expiry is judged; `UpdateRefused` CLOCK_BACKWARDS if the clock was set back."""
        if now_ms < self.clock_ms - CLOCK_SLACK_MS:
            raise UpdateRefused(
                Code.CLOCK_BACKWARDS,
                f"the clock of this machine says {to_utc(max(now_ms, 0)):%Y-%m-%d %H:%M:%S} UTC, but it was "
                f"{to_utc(self.clock_ms):%Y-%m-%d %H:%M:%S} already; set the clock",
            )
        return max(now_ms, self.clock_ms)

    def raised(self, found: Standing, signed: tuple[Signed, ...], now_ms: int) -> Floor:
        """The floor after a look; `UpdateRefused` ROLLBACK or VERSION_REUSED if it is below this one."""
        kept = {role: version for role, version in self.versions.items() if role not in self._fallen(found)}
        for role in ROLES:
            if found.versions[role] < kept.get(role, 0):
                raise UpdateRefused(
                    Code.ROLLBACK,
                    f"{role} has version {found.versions[role]}, but this node has seen {kept[role]}; "
                    "find out who serves old metadata",
                )
        return Floor(
            versions=dict(found.versions),
            keys=dict(found.keys),
            clock_ms=max(now_ms, self.clock_ms),
            seen=self._seen(signed),
            app_version=self.app_version,
        )

    def _fallen(self, found: Standing) -> set[str]:
        fallen: set[str] = set()
        for role, keys in self.keys.items():
            if len(set(keys) & set(found.keys[role])) < found.thresholds[role]:
                fallen.update(_FALLS_WITH[role])
        return fallen

    def _seen(self, signed: tuple[Signed, ...]) -> dict[str, str]:
        packages = {each.name: each.sha256 for each in signed if each.listing is not None}
        for name, sha256 in packages.items():
            if self.seen.get(name, sha256) != sha256:
                sentence = f"{name} was signed with other content before; release it under a new version"
                raise UpdateRefused(Code.VERSION_REUSED, sentence)
        older = {name: sha256 for name, sha256 in self.seen.items() if name not in packages}
        return dict([*older.items(), *packages.items()][-SEEN_MAX:])


def read_floor(path: Path) -> Floor:
    """The floor in a file; `UpdateRefused` LOCAL_FAULT if it is lost or spoilt: then nothing is known to be new."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FLOOR_BYTES_MAX + 1), type=Floor)
    except (OSError, msgspec.MsgspecError, RecursionError, ValueError) as fault:
        raise UpdateRefused(
            Code.LOCAL_FAULT, f"{path} cannot be read ({fault}); join again: venom ota join URL FINGERPRINT"
        ) from None


def write_floor(path: Path, floor: Floor) -> None:
    """Keep a floor, also through a power failure."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(floor)) + b"\n")
