"""The signed files of a repository as they lie in its folder: the newest of each role, and new ones beside them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from venom_core.clock import Clock, to_utc
from venom_core.errors import InputError
from venom_core.ota.roles import Lifetimes
from venom_core.ota.strict_json import check_metadata
from venom_core.ota.tuf_names import (
    JSONSerializer,
    Metadata,
    RepositoryError,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)
from venom_core.ota.verifying import ISSUED
from venom_core.ota.whole_files import PUBLIC, write_whole

Kind = TypeVar("Kind", Root, Targets, Snapshot, Timestamp)
_NUMBERED = re.compile(r"([1-9][0-9]{0,15})\.([a-z]+)\.json")


class MetadataFiles:
    """The folder `metadata` of a repository."""

    def __init__(self, folder: Path, clock: Clock, lifetimes: Lifetimes) -> None:
        self.folder = folder
        self._clock = clock
        self._lifetimes = lifetimes

    def read(self, kind: type[Kind]) -> Metadata[Kind]:
        """The newest of a role; InputError if there is none or it cannot be read."""
        path = self.folder / "timestamp.json" if kind is Timestamp else self._newest(kind.type)
        try:
            data = path.read_bytes()
            check_metadata(path.name, data)
            found: Metadata[Kind] = Metadata.from_bytes(data)
        except (OSError, RepositoryError) as fault:
            raise InputError(f"{path} cannot be read ({fault}); restore the folder from a copy") from None
        if found.signed.type != kind.type:
            raise InputError(f"{path} is signed as {found.signed.type}; restore the folder from a copy")
        return found

    def first_root(self) -> bytes:
        """The root that Spores join; InputError if there is none."""
        try:
            return (self.folder / "1.root.json").read_bytes()
        except OSError:
            raise InputError(
                f"there is no repository at {self.folder.parent.parent}; make one: venom ota init"
            ) from None

    def renewed(self, signed: Kind) -> Metadata[Kind]:
        """The same content as the next version, with its time to live begun anew; not signed yet."""
        now = to_utc(self._clock.now_ms()).replace(microsecond=0)
        signed.version += 1
        return self.dated(signed, now)

    def dated(self, signed: Kind, now: datetime | None = None) -> Metadata[Kind]:
        """The same version with its dates set; not signed yet."""
        moment = now or to_utc(self._clock.now_ms()).replace(microsecond=0)
        signed.expires = moment.astimezone(UTC) + timedelta(seconds=self._lifetimes.of(signed.type))
        signed.unrecognized_fields[ISSUED] = moment.isoformat()
        return Metadata(signed)

    def write(self, metadata: Metadata[Kind]) -> None:
        """Put a signed file where it is served."""
        signed = metadata.signed
        name = "timestamp.json" if isinstance(signed, Timestamp) else f"{signed.version}.{signed.type}.json"
        write_whole(self.folder / name, self.bytes_of(metadata), PUBLIC)

    @staticmethod
    def bytes_of(metadata: Metadata[Kind]) -> bytes:
        """The bytes of a signed file: always the same for the same content."""
        data: bytes = metadata.to_bytes(JSONSerializer(compact=True))
        return data

    def has(self, kind: type[Kind]) -> bool:
        """Whether there is any of a role."""
        return bool(list(self.folder.glob("timestamp.json" if kind is Timestamp else f"*.{kind.type}.json")))

    def _newest(self, role: str) -> Path:
        found = [match for path in self.folder.glob("*.json") if (match := _NUMBERED.fullmatch(path.name))]
        versions = [int(match[1]) for match in found if match[2] == role]
        if not versions:
            self.first_root()
            raise InputError(f"{self.folder} holds no {role}; restore the folder from a copy")
        return self.folder / f"{max(versions)}.{role}.json"
