"""Fixtures for the built-in skills: a web of our own on 127.0.0.1, and settings that let it be reached."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.builtin.loopback import Loopback, loopback
from tests.builtin.scripted_model import ScriptedModel, scripted_model
from tests.hives import altered
from venom_core.config import Settings


@pytest.fixture
async def web() -> AsyncIterator[Loopback]:
    async with loopback() as running:
        yield running


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """What the skills' settings are in these tests."""
    return {
        "hive_workspace": str(tmp_path / "workspace"),
        "hive_fetch_private": "127.0.0.0/8",
        "hive_fetch_timeout": 20,
    }


@pytest.fixture
def own(given: dict[str, Any]) -> Settings:
    """Settings for skills that are called without a hive."""
    return Settings.load(**given)


@pytest.fixture
def joined(settings: Settings, given: dict[str, Any]) -> Settings:
    """The same for a Spore of the test's hive."""
    return altered(settings, **given)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    async with scripted_model() as running:
        yield running


@pytest.fixture
def asking(own: Settings, model: ScriptedModel) -> Settings:
    """Settings that know the scripted model."""
    return altered(own, **model.settings)
