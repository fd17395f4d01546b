"""A signed repository and a Spore that follows it, both in folders of a test."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ota.folders import snapshot
from tests.ota.forge import Forge
from tests.ota.hostile_server import HostileServer
from venom_core.clock import Clock, ManualClock
from venom_core.ota.fetcher import Patience
from venom_core.ota.joining import METADATA, join
from venom_core.ota.manifest import Manifest
from venom_core.ota.package import build_package
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.repository import Repository
from venom_core.ota.trust import Trust
from venom_core.ota.verifying import Signed

PASSPHRASE = "correct horse battery staple"
CHEAP = 2
"""What a guess at a passphrase costs in tests."""
SHORT = Patience(file_s=30)
DAY_S = 86_400


def package(folder: Path, version: str = "1.0.0", app: str = "tasks", text: str = "number = 1\n") -> Path:
    """A package of one module, built into a folder."""
    # Out of the home of a Spore no package is built.
    sources = folder.with_name(f"{folder.name}-sources")
    sources.mkdir(exist_ok=True)
    source = sources / "skills.py"
    source.write_text(text)
    path = folder / f"{app}-{version}.zip"
    path.write_bytes(build_package(Manifest(app=app, version=version), [source]).data)
    return path


@dataclass
class Household:
    """`repository` is served by `server`; a Spore with its home in `folder` joined it."""

    repository: Repository
    server: HostileServer
    folder: Path
    clock: ManualClock

    @property
    def trust_folder(self) -> Path:
        return self.folder / "trust"

    def join(self, **options: object) -> None:
        join(
            self.trust_folder,
            self.server.url,
            self.repository.fingerprint(),
            patience=SHORT,
            clock=self.clock,
            **options,  # type: ignore[arg-type]  # handed through
        )

    def trust(self, clock: Clock | None = None, patience: Patience = SHORT) -> Trust:
        return Trust(self.trust_folder, clock=clock or self.clock, patience=patience)

    def refresh(self) -> tuple[Signed, ...]:
        return self.trust().refresh()

    def forge(self) -> Forge:
        return Forge(self.repository, PASSPHRASE)

    def release(self, version: str, **options: Sequence[str]) -> Signed:
        """Build, sign and publish a version."""
        signed = self.repository.add_package(package(self.folder, version), **options)
        self.repository.publish()
        return signed

    def outside_the_cache(self) -> dict[str, str]:
        """Everything the Spore keeps but python-tuf's own folder."""
        found = snapshot(self.trust_folder)
        return {name: told for name, told in found.items() if name.partition("/")[0] != METADATA}

    def forget(self) -> None:
        """Empty python-tuf's folder, as somebody with a shell might."""
        shutil.rmtree(self.trust_folder / METADATA)


def refused(household: Household, code: Code) -> str:
    """Look, be refused with this code in one sentence, and find everything as it was but the cache."""
    before = household.outside_the_cache()
    with pytest.raises(UpdateRefused) as caught:
        household.refresh()
    assert caught.value.code is code, str(caught.value)
    text = str(caught.value)
    assert text.startswith(f"{code}: ")
    assert "\n" not in text
    assert len(text) < 700
    assert household.outside_the_cache() == before
    return text
