"""Metadata that no honest tool writes: any change, signed by any keys, under any name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner

from venom_core.ota.key_files import signer_of
from venom_core.ota.metadata_files import MetadataFiles
from venom_core.ota.repository import Repository
from venom_core.ota.tuf_names import Root

Change = Callable[[dict[str, Any]], None]
Keys = Iterable[CryptoSigner]


def payload_of(signed: dict[str, Any]) -> bytes:
    """What a signature is over: canonical JSON, where the content has such a form."""
    text = encode_canonical(signed)
    assert text is not None
    return text.encode("utf-8", "surrogatepass")


class Forge:
    """Rewrites the signed files of a repository; the next version each time, unless a change says otherwise."""

    def __init__(self, repository: Repository, passphrase: str) -> None:
        self.folder = repository.files.folder
        self._files: MetadataFiles = repository.files
        self._signers = {
            file.half.keyid: signer_of(file, passphrase if file.half.role in ("root", "targets") else None)
            for file in repository.keys.files()
        }

    def keys_of(self, role: str) -> list[CryptoSigner]:
        """What signs for a role by the newest root; of a key that was made since, nothing is known."""
        return [self._signers[keyid] for keyid in self._files.read(Root).signed.roles[role].keyids]

    def signed(self, role: str) -> dict[str, Any]:
        """The signed part of the newest of a role, to be changed."""
        content: dict[str, Any] = json.loads(self.path_of(role).read_bytes())["signed"]
        return content

    def path_of(self, role: str) -> Path:
        """The newest file of a role."""
        if role == "timestamp":
            return self.folder / "timestamp.json"
        numbers = [int(path.name.partition(".")[0]) for path in self.folder.glob(f"*.{role}.json")]
        return self.folder / f"{max(numbers)}.{role}.json"

    def change(self, role: str, change: Change, keys: Keys | None = None) -> Path:
        """The next version with a change, and whatever names it after that; gives the path of the file."""
        signed = self.signed(role)
        signed["version"] += 1
        change(signed)
        version = signed["version"] if isinstance(signed["version"], int) and signed["version"] > 1 else 2
        path = self.folder / ("timestamp.json" if role == "timestamp" else f"{version}.{role}.json")
        self.write(path, signed, self.keys_of(role) if keys is None else keys)
        self.follow(role, path, version)
        return path

    def write(self, path: Path, signed: dict[str, Any], keys: Keys) -> None:
        """Sign any content by any keys into any file."""
        text = payload_of(signed)
        signatures = [{"keyid": key.public_key.keyid, "sig": key.sign(text).signature} for key in keys]
        path.write_bytes(json.dumps({"signed": signed, "signatures": signatures}).encode())

    def follow(self, role: str, path: Path, version: int) -> None:
        """Have the snapshot name these targets, and the timestamp that snapshot: each by its hash."""
        meta = _meta(path.read_bytes(), version)
        if role == "targets":
            self.change("snapshot", lambda signed: signed["meta"].update({"targets.json": meta}))
        elif role == "snapshot":
            self.change("timestamp", lambda signed: signed["meta"].update({"snapshot.json": meta}))

    def start_anew(self, version: int) -> None:
        """Targets, snapshot and timestamp as this version, each naming the one before, signed by today's keys."""
        meta: dict[str, Any] = {}
        for role in ("targets", "snapshot", "timestamp"):
            path = self.folder / ("timestamp.json" if role == "timestamp" else f"{version}.{role}.json")
            signed = self.signed(role) | {"version": version}
            if role != "targets":
                signed["meta"] = meta
            self.write(path, signed, self.keys_of(role))
            meta = {f"{role}.json": _meta(path.read_bytes(), version)}


def _meta(data: bytes, version: int) -> dict[str, Any]:
    return {"version": version, "length": len(data), "hashes": {"sha256": sha256(data).hexdigest()}}
