"""Fixtures of signed updates: one repository is made a run, and each test has a copy of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ota.hostile_server import HostileServer, serving
from tests.ota.households import CHEAP, PASSPHRASE, Household, package
from venom_core.clock import ManualClock
from venom_core.ota.repository import Repository


@pytest.fixture(scope="session")
def made_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published repository with one package, two of three root keys signing, at the hour of a ManualClock."""
    folder = tmp_path_factory.mktemp("made")
    repository = Repository(folder / "ota", PASSPHRASE, clock=ManualClock(), cost=CHEAP)
    repository.init(root_keys=3, threshold=2)
    repository.add_package(package(folder))
    repository.publish()
    return repository.home


@pytest.fixture
def clock() -> ManualClock:
    """The hour at which everything is signed and judged."""
    return ManualClock()


@pytest.fixture
def repository(made_repository: Path, tmp_path: Path, clock: ManualClock) -> Repository:
    """That repository, this test's own."""
    shutil.copytree(made_repository, tmp_path / "ota")
    return Repository(tmp_path / "ota", PASSPHRASE, clock=clock, cost=CHEAP)


@pytest.fixture
def hostile(repository: Repository) -> Iterator[HostileServer]:
    """It is served on this machine."""
    with serving(repository.home / "repository") as running:
        yield running


@pytest.fixture
def household(repository: Repository, hostile: HostileServer, tmp_path: Path, clock: ManualClock) -> Household:
    """A Spore has joined it and looked once."""
    made = Household(repository, hostile, tmp_path, clock)
    made.join()
    made.refresh()
    hostile.asked.clear()
    return made
