"""The application of a Nexus, really served, over a repository that the test fills."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from venom_core.api.app import make_app
from venom_core.api.serving import HttpServer
from venom_core.config import Settings

HASH = "ab" * 32
PACKAGE = f"packages/{HASH}.tasks-1.2.0.zip"
BODY = bytes(range(256)) * 40


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one file of metadata, one package and one wheel."""
    folder = tmp_path / "ota" / "repository"
    (folder / "metadata").mkdir(parents=True)
    for kind in ("packages", "wheels"):
        (folder / "targets" / kind).mkdir(parents=True)
    (folder / "metadata" / "1.root.json").write_text('{"root": 1}')
    (folder / "metadata" / "timestamp.json").write_text("{}")
    (folder / "targets" / PACKAGE).write_bytes(BODY)
    (folder / "targets" / "wheels" / f"{HASH}.a_b-1!2.0+local-py3-none-any.whl").write_bytes(b"wheel")
    return folder


@pytest.fixture
async def http(repository: Path) -> AsyncIterator[HttpServer]:
    """uvicorn in the loop of the test, on a free port."""
    settings = Settings.load(hive_ota_home=str(repository.parent))
    async with HttpServer(make_app(settings), "127.0.0.1", 0) as running:
        yield running


@pytest.fixture
async def client(http: HttpServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http.port}", trust_env=False) as opened:
        yield opened
