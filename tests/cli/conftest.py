"""The command line, called in this process against a hive of its own."""

from __future__ import annotations

from collections.abc import Callable

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
