"""Saying what is the newest: the snapshot names the targets, the timestamp names the snapshot, each by its hash.

Done again whenever something was signed, and every hour by a Nexus, so that a Spore notices when somebody keeps the
newest from it. What no longer fits the newest root, after a rotation or after a step that was cut off, is signed anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from venom_core.clock import Clock, from_datetime
from venom_core.ota.key_store import KeyStore
from venom_core.ota.metadata_files import Kind, MetadataFiles
from venom_core.ota.roles import Lifetimes, shown
from venom_core.ota.signing import counts, sign
from venom_core.ota.tuf_names import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp


@dataclass(frozen=True, slots=True)
class Published:
    """The roles that were signed anew, in order; and what will expire and needs an offline key, in words."""

    renewed: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publisher:
    """Signs what follows from the newest root and targets."""

    files: MetadataFiles
    keys: KeyStore
    lifetimes: Lifetimes
    clock: Clock

    def publish(self, *, due_only: bool) -> Published:
        """Make snapshot and timestamp fit; with `due_only` none that is not half through its life or unfit.

        Raises InputError if a key is missing.
        """
        root = self.files.read(Root)
        targets, new_targets = self._fitting(Targets, root.signed, make=False)
        names = MetaFile.from_data(targets.signed.version, self.files.bytes_of(targets), ["sha256"])
        snapshot, new_snapshot = self._fitting(Snapshot, root.signed, {"targets.json": names})
        meta = MetaFile.from_data(snapshot.signed.version, self.files.bytes_of(snapshot), ["sha256"])
        _, new_timestamp = self._fitting(Timestamp, root.signed, {"snapshot.json": meta}, always=not due_only)
        renewed = ((Targets, new_targets), (Snapshot, new_snapshot), (Timestamp, new_timestamp))
        return Published(
            tuple(kind.type for kind, is_new in renewed if is_new),
            tuple(text for text in (self._warning(root), self._warning(targets)) if text),
        )

    def _fitting(
        self,
        kind: type[Kind],
        root: Root,
        meta: dict[str, MetaFile] | None = None,
        *,
        make: bool = True,
        always: bool = False,
    ) -> tuple[Metadata[Kind], bool]:
        """The newest of a role, signed anew if it does not fit; and whether it was."""
        if not make or self.files.has(kind):
            found = self.files.read(kind)
            stale = always or not counts(found, root) or (make and self._is_due(found))
            if not stale and (meta is None or _meta(found) == meta):
                return found, False
            metadata = self.files.renewed(found.signed)
        else:
            metadata = self.files.dated(kind())
        if meta is not None:
            _put(metadata, meta)
        sign(metadata, self.keys, root)
        self.files.write(metadata)
        return metadata, True

    def _left_ms(self, metadata: Metadata[Kind]) -> int:
        return from_datetime(metadata.signed.expires) - self.clock.now_ms()

    def _is_due(self, metadata: Metadata[Kind]) -> bool:
        return self._left_ms(metadata) < self.lifetimes.of(metadata.signed.type) * 1000 // 2

    def _warning(self, metadata: Metadata[Kind]) -> str:
        role = metadata.signed.type
        if not self._is_due(metadata):
            return ""
        days = self._left_ms(metadata) / 86_400_000
        when = f"expires in {days:.0f} days" if days > 0 else "has expired: no Spore takes an update"
        return f"{shown(role)} {when}; renew it with: venom ota sign --renew {shown(role)}"


def _meta(metadata: Metadata[Kind]) -> dict[str, MetaFile]:
    signed = metadata.signed
    if isinstance(signed, Timestamp):
        return {"snapshot.json": signed.snapshot_meta}
    assert isinstance(signed, Snapshot)
    return signed.meta


def _put(metadata: Metadata[Kind], meta: dict[str, MetaFile]) -> None:
    signed = metadata.signed
    if isinstance(signed, Timestamp):
        signed.snapshot_meta = meta["snapshot.json"]
    else:
        assert isinstance(signed, Snapshot)
        signed.meta = meta
