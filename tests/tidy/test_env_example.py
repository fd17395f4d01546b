""".env.example shows every setting with its default, so that it can neither lag behind nor mislead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.source import ROOT
from venom_core.config import Settings

TEXT = (ROOT / ".env.example").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", TEXT, re.MULTILINE))


def test_it_shows_every_setting_and_no_other() -> None:
    assert {name.lower() for name in SHOWN} == set(Settings.model_fields)


def test_what_it_shows_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SHOWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    bare = Settings.load()
    (tmp_path / ".env").write_text(re.sub(r"^#([A-Z_]+=)", r"\1", TEXT, flags=re.MULTILINE), encoding="utf-8")
    assert Settings.load() == bare
