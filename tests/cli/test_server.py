from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Venom
from tests.servers import SERVER_BINARY, free_port, sync_client
from venom_core.config import Settings
from venom_core.infrastructure.embedded import find_server


@pytest.fixture
def home(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own; a server that still runs in it is stopped."""
    monkeypatch.setenv("HOME", str(short_dir))
    if SERVER_BINARY:
        monkeypatch.setenv("VENOM_REDIS_SERVER", SERVER_BINARY)
    yield short_dir
    for folder in (short_dir / ".local/share/venom-hive", short_dir / "data"):
        if server := find_server(folder):
            server.stop()


def up(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`venom server start` as a process of its own, because the server is to outlive it."""
    command = [sys.executable, "-m", "venom_core.cli", "server", "start", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def address(result: Result | subprocess.CompletedProcess[str]) -> str:
    """The address in the one line a shell is to run."""
    found = re.fullmatch(r"export REDIS_URL=(.*)\n", result.stdout)
    assert found, result.stderr
    return shlex.split(found[1])[0]


def test_a_server_is_started_once_found_again_and_stopped(
    venom: Venom, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL")
    first, again = up(), up()
    assert address(first) == address(again) == f"unix://{home}/.local/share/venom-hive/r.sock"
    assert first.stderr.startswith("# The server started: process ")
    assert again.stderr.startswith("# The server runs already: process ")
    monkeypatch.setenv("REDIS_URL", address(first))
    assert venom("status").exit_code == 0
    assert venom("server", "stop").stdout.startswith("Stopped the server in ")
    assert venom("server", "stop").stdout.startswith("No server runs in ")
    # The line of the first start is still in this shell's environment.
    third = up()
    assert third.stderr.startswith("# The server started: process ")
    assert address(third) == address(first)
    assert venom("server", "stop").exit_code == 0


def test_a_port_is_closed_to_who_lacks_the_password(venom: Venom, home: Path) -> None:
    port = free_port()
    folder = str(home / "data")
    url = address(up("--data", folder, "--port", str(port)))
    assert re.fullmatch(rf"redis://:[\w-]{{40,}}@127\.0\.0\.1:{port}/0", url)
    client = sync_client(url)
    assert client.ping()
    client.close()
    elsewhere = venom("server", "start", "--data", folder, "--port", str(free_port()))
    assert elsewhere.exit_code == 1
    assert "elsewhere than at port" in elsewhere.stderr
    assert venom("server", "stop", "--data", folder).exit_code == 0


def test_a_named_server_is_used_and_nothing_is_started(venom: Venom, home: Path, settings: Settings) -> None:
    assert settings.redis_url is not None
    result = venom("server", "start")
    assert address(result) == settings.redis_url.get_secret_value()
    assert "nothing was started" in result.stderr
    assert list(home.iterdir()) == []


def test_a_named_server_that_does_not_answer_is_one_sentence(venom: Venom, home: Path) -> None:
    result = venom("server", "start", "--redis-url", f"redis://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert result.stderr.startswith("venom: Redis at ")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENABLE_HIVE", "false", "set ENABLE_HIVE=true"),
        ("HIVE_LEASE", "x", "HIVE_LEASE is 'x'"),
        ("REDIS_URL", "ftp://x", "must begin with redis://"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    venom: Venom, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    result = venom("status")
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
