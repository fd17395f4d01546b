"""A repository of TUF written by hand, for what our own tools never make: delegations, thresholds, names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import new
from pathlib import Path
from typing import Any
from urllib.parse import quote

from securesystemslib.signer import CryptoSigner

from tests.ota.forge import payload_of

EXPIRES = "2099-01-01T00:00:00Z"
TOP = ("root", "targets", "snapshot", "timestamp")


@dataclass(frozen=True)
class Signers:
    """Which keys may sign for a role, by number, how many must, and which do."""

    keys: Sequence[int] = (0,)
    threshold: int = 1
    sign: Sequence[int] | None = None

    @property
    def signing(self) -> Sequence[int]:
        return self.keys if self.sign is None else self.sign


@dataclass
class SmallWorld:
    """Below `folder`: `metadata` and `targets`, as a server gives them out."""

    folder: Path
    keys: dict[int, CryptoSigner] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    signers: dict[str, Signers] = field(default_factory=lambda: dict.fromkeys(TOP, Signers()))
    roles: dict[str, dict[str, Any]] = field(default_factory=lambda: {"targets": {"targets": {}}})

    def __post_init__(self) -> None:
        for name in ("metadata", "targets"):
            (self.folder / name).mkdir(parents=True)
        self.root()
        self.publish()

    def key(self, number: int) -> CryptoSigner:
        """The key of a number, made when it is first wanted."""
        return self.keys.setdefault(number, CryptoSigner.generate_ed25519())

    def root(self, *, also_by: Iterable[int] = ()) -> Path:
        """The next root, which says who signs for each role; signed by its own, and by others where that is wanted."""
        used = {number for each in TOP for number in self.signers[each].keys}
        content = {
            "consistent_snapshot": True,
            "keys": {self.key(number).public_key.keyid: self.key(number).public_key.to_dict() for number in used},
            "roles": {each: self._role(self.signers[each]) for each in TOP},
        }
        return self._write("root", content, sorted({*self.signers["root"].signing, *also_by}))

    def publish(self) -> None:
        """Every role of targets, the snapshot and the timestamp anew, each naming what is below it."""
        meta = {}
        for name, content in self.roles.items():
            path = self._write(name, dict(content), self.signers[name].signing)
            meta[f"{name}.json"] = _named(path, self.versions[name])
        snapshot = self._write("snapshot", {"meta": meta}, self.signers["snapshot"].signing)
        named = {"snapshot.json": _named(snapshot, self.versions["snapshot"])}
        self._write("timestamp", {"meta": named}, self.signers["timestamp"].signing)

    def delegate(
        self,
        parent: str,
        child: str,
        paths: Sequence[str],
        *,
        terminating: bool = False,
        signers: Signers | None = None,
    ) -> None:
        """Let a role answer for some paths of another; what is given first is asked first."""
        wanted = signers or Signers()
        role = {"name": child, "paths": list(paths), "terminating": terminating, **self._role(wanted)}
        delegations = self.roles[parent].setdefault("delegations", {"keys": {}, "roles": []})
        for number in wanted.keys:
            delegations["keys"][self.key(number).public_key.keyid] = self.key(number).public_key.to_dict()
        delegations["roles"].append(role)
        self.signers.setdefault(child, wanted)
        self.roles.setdefault(child, {"targets": {}})

    def target(self, name: str, data: bytes, role: str = "targets", hashes: Sequence[str] = ("sha256",)) -> Path:
        """Sign a file and lay it where it is served."""
        found = {algorithm: new(algorithm, data).hexdigest() for algorithm in hashes}
        self.roles[role]["targets"][name] = {"length": len(data), "hashes": found}
        folder, _, file = name.rpartition("/")
        path = self.folder / "targets" / folder / f"{found[hashes[0]]}.{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def _role(self, signers: Signers) -> dict[str, Any]:
        return {
            "keyids": [self.key(number).public_key.keyid for number in signers.keys],
            "threshold": signers.threshold,
        }

    def _write(self, name: str, content: Mapping[str, Any], numbers: Iterable[int]) -> Path:
        version = self.versions[name] = self.versions.get(name, 0) + 1
        kind = name if name in TOP else "targets"
        signed = {"_type": kind, "spec_version": "1.0.31", "version": version, "expires": EXPIRES, **content}
        text = payload_of(signed)
        keys = [self.key(number) for number in numbers]
        signatures = [{"keyid": key.public_key.keyid, "sig": key.sign(text).signature} for key in keys]
        file = "timestamp.json" if name == "timestamp" else f"{version}.{quote(name, safe='')}.json"
        path = self.folder / "metadata" / file
        path.write_text(json.dumps({"signed": signed, "signatures": signatures}))
        return path


def _named(path: Path, version: int) -> dict[str, Any]:
    data = path.read_bytes()
    return {"version": version, "length": len(data), "hashes": {"sha256": new("sha256", data).hexdigest()}}
