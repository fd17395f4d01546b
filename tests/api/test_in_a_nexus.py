"""HTTP as a part of a Nexus: there while it runs, gone with it, one sentence when it cannot be."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Self

import httpx
import pytest

from tests.api.conftest import BODY, PACKAGE
from tests.api.test_serving import free_port
from tests.hives import altered
from tests.processes import nexus
from venom_core.api.serving import HttpServer
from venom_core.config import Settings
from venom_core.errors import MissingExtra
from venom_core.nexus import Nexus


async def test_a_nexus_serves_updates_and_ends_cleanly(fast: Settings, repository: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = altered(fast, hive_api_port=port, hive_ota_home=str(repository.parent))
    with nexus("first", settings, tmp_path) as running:
        await running.said("first is up")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/ota/targets/{PACKAGE}")).content == BODY
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        assert f"serving HTTP on 127.0.0.1 port {port}" in running.text
        assert "Traceback" not in running.text


async def test_a_port_that_is_taken_ends_a_nexus_with_one_sentence(
    fast: Settings, http: HttpServer, tmp_path: Path
) -> None:
    with nexus("first", altered(fast, hive_api_port=http.port), tmp_path) as running:
        assert await running.ended() == 1
        assert "HIVE_API_PORT to a port that is free" in running.text
        assert "Traceback" not in running.text


async def test_without_the_extra_a_nexus_names_it(fast: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "venom_core.api.serving", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[ota\]'"):
        await Nexus(altered(fast, hive_api_port=free_port())).run()


async def test_when_http_fails_the_nexus_ends_loudly(fast: Settings, repository: Path) -> None:
    settings = altered(fast, hive_api_port=free_port(), hive_ota_home=str(repository.parent))
    seen: list[HttpServer] = []

    class Failing(HttpServer):
        """Its server breaks down as soon as it runs."""

        async def __aenter__(self) -> Self:
            await super().__aenter__()
            seen.append(self)
            self._server.main_loop = self._broken  # type: ignore[method-assign]  # what no test can bring about
            return self

        async def _broken(self) -> None:
            raise RuntimeError("broken down")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("venom_core.api.serving.HttpServer", Failing)
        with pytest.raises(RuntimeError, match="broken down"):
            await Nexus(settings, name="first").run()
    assert seen
