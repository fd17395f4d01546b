"""The command line, called in this process against a hive of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from venom_core.cli import main
from venom_core.config import Settings

Venom = Callable[..., Result]


@pytest.fixture
def venom(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Venom:
    """Run `venom ARGUMENTS`; async tests call it in a thread. What nobody meant to raise is raised."""
    assert settings.redis_url is not None
    monkeypatch.setenv("REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)

    def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner(catch_exceptions=False).invoke(main, arguments, input=stdin)

    return call


def told(result: Result) -> Any:
    """What a command printed as JSON."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(result: Result) -> str:
    """The one sentence of a command that failed."""
    assert result.exit_code == 1, result.stderr
    assert result.stdout == ""
    [sentence] = result.stderr.splitlines()
    return str(sentence)
