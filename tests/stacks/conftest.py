"""A machine whose docker is scripted, and a StackManager on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.containers import ScriptedDocker
from tests.stacks.shop import FILE, PASSWORD, file_of
from venom_core.config import Settings
from venom_core.infrastructure.stack_manager import StackManager


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedDocker:
    """A docker that does all it is asked to and says nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripted = ScriptedDocker(folder)
    scripted.behave("exit 0")
    monkeypatch.setenv("PATH", scripted.path)
    return scripted


@pytest.fixture
def manager(tmp_path: Path, docker: ScriptedDocker) -> StackManager:
    return StackManager(tmp_path / "work", settings=Settings.load(redis_password=PASSWORD))


@pytest.fixture
def shop(manager: StackManager) -> StackManager:
    """The same with a deployed stack `shop`."""
    assert manager.deploy_stack(FILE, "shop") == (True, f"Stack shop is deployed (project shop, {file_of(manager)}).")
    return manager
