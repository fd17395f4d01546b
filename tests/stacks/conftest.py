"""A machine whose docker is scripted, and a StackManager on it; and a real engine, for those who may have one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers import ScriptedDocker, real_engine, why_no_engine
from tests.servers import SHORT_ROOT
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


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """The variables by which `docker` finds a real engine with a stand-in for the store's image."""
    if why_no_engine():
        pytest.skip(why_no_engine())
    folder = Path(tempfile.mkdtemp(prefix="vh", dir=SHORT_ROOT))
    try:
        with real_engine(folder) as variables:
            yield variables
    except subprocess.CalledProcessError as fault:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"podman does not work on this machine: {fault.stderr!r:.300}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
