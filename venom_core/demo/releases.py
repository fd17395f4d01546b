"""The signed repository of `quickstart --ota`, which its Nexus serves. Needs the extra `ota`."""

from __future__ import annotations

import secrets
from pathlib import Path

from venom_core.demo.versions import FIRST, MODULE, source
from venom_core.ota.joining import join
from venom_core.ota.manifest import Manifest
from venom_core.ota.package import build_package
from venom_core.ota.repository import Repository

APP = "scanner"


class Releases:
    """The repository of one run, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "ota"
        self._work = folder / "release"
        self._repository = Repository(self.home, secrets.token_urlsafe(24))
        self._fingerprint = ""

    def prepare(self, installed: Path) -> None:
        """Make keys and an empty repository, and put the first release where it is run by hand; blocks."""
        (installed / f"{MODULE}.py").write_text(source(FIRST), encoding="utf-8")
        self._fingerprint = self._repository.init()

    def join(self, spore_home: Path, url: str) -> None:
        """Let a Spore follow the repository that is served at `url`; blocks."""
        join(spore_home / "trust", url, self._fingerprint, APP)

    def publish(self, version: str) -> int:
        """Build, sign and publish one release; bytes of its package. Blocks."""
        self._work.mkdir(exist_ok=True)
        module = self._work / f"{MODULE}.py"
        module.write_text(source(version), encoding="utf-8")
        built = build_package(Manifest(app=APP, version=version, description="the scanner of the quickstart"), [module])
        path = self.home / "packages" / built.package.name
        path.write_bytes(built.data)
        self._repository.add_package(path)
        self._repository.publish()
        return len(built.data)
