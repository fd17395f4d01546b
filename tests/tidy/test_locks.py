"""The lock files pin everything by hash and name no machine and no registry."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import venom_core
from tests.tidy.source import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,]+\])?==([^ ;\\]+)")


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return {found[1]: found[2] for line in text.splitlines() if (found := _PINNED.match(line))}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_line_is_a_pin_a_hash_or_a_comment(lock: Path) -> None:
    lines = lock.read_text(encoding="utf-8").splitlines()
    pins = [number for number, line in enumerate(lines) if _PINNED.match(line)]
    assert pins
    assert all("--hash=sha256:" in lines[number + 1] for number in pins)
    allowed = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?$|\s*#")
    assert [line for line in lines if not _PINNED.match(line) and not allowed.match(line)] == []


@pytest.mark.parametrize("name", ["runtime.txt", "demo.txt", "test.txt", "test-arq.txt"])
def test_a_lock_holds_every_dependency_of_the_project(name: str) -> None:
    wanted = {re.split(r"[\[<>=;, ]", need)[0] for need in PROJECT["dependencies"]}
    assert wanted - _pins(name).keys() == set()


def test_the_suite_is_locked_on_the_newest_redis_client_and_on_the_one_that_arq_allows() -> None:
    assert int(_pins("test.txt")["redis"].split(".")[0]) >= 8
    assert _pins("test-arq.txt")["redis"].startswith("5.3")
    assert "arq" in _pins("test-arq.txt")


@pytest.mark.parametrize("name", ["runtime.txt", "demo.txt"])
def test_the_smaller_sets_agree_with_the_tests_set(name: str) -> None:
    assert _pins(name).items() <= _pins("test.txt").items()


def test_the_installed_version_is_the_packages_own() -> None:
    assert version("venom-hive") == venom_core.__version__
