"""Overrides of the compose file that the documents show are accepted by a real Compose, beside the file itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.containers import COMPOSE_PLUGIN
from tests.docs.markdown import Block, blocks, documents
from tests.tidy.source import ROOT

OVERRIDES = [block for document in documents() for block in blocks(document) if block.language == "yaml"]


def config(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMPOSE_PLUGIN), "config"]
    return subprocess.run(
        command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.skipif(not COMPOSE_PLUGIN.exists(), reason="no compose plugin here; .ci/run installs it")
@pytest.mark.parametrize("block", OVERRIDES, ids=lambda block: block.place)
def test_an_override_fits_the_file(block: Block, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_bytes((ROOT / "docker-compose.yml").read_bytes())
    (tmp_path / "docker-compose.override.yml").write_text(block.text, encoding="utf-8")
    bare = config(tmp_path)
    assert bare.returncode != 0
    assert "set REDIS_PASSWORD in .env" in bare.stderr
    merged = config(tmp_path, REDIS_PASSWORD="p" * 40)
    assert merged.returncode == 0, merged.stderr
    assert "published" not in merged.stdout


def test_there_are_overrides() -> None:
    assert len(OVERRIDES) >= 2
