"""Fixtures every room uses: a real server, a hive of its own for each test, and a clean environment."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.hives import FAST, altered
from tests.servers import SERVER_BINARY, SHORT_ROOT, PrivateServer, leaked_keys, sync_client
from venom_core import config
from venom_core.config import Settings
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.redis_link import RedisLink

# A shell's background job ignores Ctrl-C, and what it starts would too: half of the suite is one (scripts/test).
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

OURS = ("HIVE_", "REDIS_", "NEXUS_", "VENOM_", "ENABLE_HIVE")


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of whoever runs the tests gets in, by the environment or by a `.env` in the folder."""
    for name in list(os.environ):
        if name.upper().startswith(OURS):
            monkeypatch.delenv(name)
    if Path(".env").exists():
        monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))
    config._settings.cache_clear()


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """One real server for the whole run, on a socket, keeping nothing on disk."""
    data_dir = Path(tempfile.mkdtemp(prefix="vh", dir=SHORT_ROOT))
    options = ServerOptions(appendonly=False)
    running = ensure_server(data_dir, url=None, server_binary=SERVER_BINARY, options=options)
    yield running
    running.stop()
    shutil.rmtree(data_dir)


@pytest.fixture
def settings(server: EmbeddedServer) -> Iterator[Settings]:
    """A hive of its own on the common server; after the test every key must have a TTL or an owner in KEYS."""
    namespace = f"t{uuid.uuid4().hex[:12]}"
    yield Settings.load(redis_url=server.url, hive_namespace=namespace, nexus_shared_token=None)
    client = sync_client(server.url)
    try:
        assert leaked_keys(client, namespace) == []
    finally:
        client.close()


@pytest.fixture
async def link(settings: Settings) -> AsyncIterator[RedisLink]:
    """An open link to that hive's server."""
    async with RedisLink(settings) as opened:
        yield opened


@pytest.fixture
def fast(settings: Settings) -> Settings:
    """That hive in the fast profile: a heartbeat every 0.3 s, leases of 1.2 s."""
    return altered(settings, **FAST)


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[MessageBroker]:
    """A connected broker of that hive."""
    async with MessageBroker(settings) as connected:
        yield connected


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """A directory whose path is short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="vh", dir=SHORT_ROOT))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def private_server(short_dir: Path) -> Iterator[PrivateServer]:
    """A server that the test may kill, stall and start again; it keeps every write."""
    running = PrivateServer(short_dir)
    yield running
    running.kill()


@pytest.fixture(scope="session")
def debian_redis() -> str:
    """Path of a stock redis-server, for what the bundled one lacks (TLS) or what must hold on Redis 7.0."""
    found = shutil.which("redis-server")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed; CI needs it for the TLS, ACL and Sentinel tests")
        pytest.skip("redis-server is not installed; run `apt-get install redis-server` to run this test")
    return found
