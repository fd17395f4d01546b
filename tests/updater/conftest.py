"""A repository, its server, and a home that joined it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.updater.releasing import Home, Releaser, served


@pytest.fixture
def releaser(tmp_path: Path) -> Releaser:
    return Releaser(tmp_path / "ota")


@pytest.fixture
def url(releaser: Releaser) -> Iterator[str]:
    with served(releaser.folder) as address:
        yield address


@pytest.fixture
def home(tmp_path: Path, url: str, releaser: Releaser) -> Home:
    return Home(tmp_path / "spore", url, releaser.fingerprint)
