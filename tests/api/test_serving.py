from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import BODY, HASH, PACKAGE
from venom_core.api import serving
from venom_core.api.app import make_app
from venom_core.api.serving import HttpServer, nexus_http
from venom_core.config import Settings
from venom_core.errors import InvalidSetting
from venom_core.event_loop import end_tasks


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


async def test_what_settings_name_is_served_and_ended_cleanly(repository: Path) -> None:
    port = free_port()
    settings = Settings.load(hive_ota_home=str(repository.parent), hive_api_port=port)
    before = signal.getsignal(signal.SIGTERM)
    async with nexus_http(settings) as tasks, httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/ota/targets/{PACKAGE}")).content == BODY
        assert signal.getsignal(signal.SIGTERM) is before
    assert all(task.done() for task in tasks)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("host", ["::1", "localhost"])
async def test_other_kinds_of_addresses(host: str, repository: Path) -> None:
    try:
        async with HttpServer(make_app(Settings.load(hive_ota_home=str(repository.parent))), host, 0) as running:
            _, writer = await asyncio.open_connection(host, running.port)
            writer.close()
            await writer.wait_closed()
    except InvalidSetting as fault:
        if host != "::1":
            raise
        pytest.skip(f"no IPv6 here: {fault}")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a" * 70])
async def test_an_address_that_is_not_ours_is_one_sentence(host: str) -> None:
    with pytest.raises(InvalidSetting, match="set HIVE_API_HOST to an address of this machine"):
        await HttpServer(make_app(Settings.load()), host, 0).__aenter__()


async def test_a_port_that_is_taken_is_one_sentence(http: HttpServer) -> None:
    with pytest.raises(InvalidSetting, match="HIVE_API_PORT to a port that is free"):
        await HttpServer(make_app(Settings.load()), "127.0.0.1", http.port).__aenter__()


async def test_it_ends_while_a_client_reads_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "LEAVE_S", 0.1)
    (repository / "targets" / "packages" / f"{HASH}.big.zip").write_bytes(bytes(30_000_000))
    async with HttpServer(make_app(Settings.load(hive_ota_home=str(repository.parent))), "127.0.0.1", 0) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f"GET /ota/targets/packages/{HASH}.big.zip HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        await reader.readline()
    assert running.ended is not None
    assert running.ended.done()
    writer.transport.abort()


async def test_a_head_of_a_request_that_never_ends_is_cut_off(http: HttpServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000)
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 400")
    writer.close()


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_who_never_ends_the_head_of_a_request_is_not_waited_for(
    first: bytes, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "REQUEST_HEAD_S", 0.3)
    settings = Settings.load(hive_ota_home=str(repository.parent))
    async with HttpServer(make_app(settings), "127.0.0.1", 0) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(first)

        async def drip() -> None:
            while True:
                writer.write(b"G")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        try:
            with contextlib.suppress(ConnectionError):
                while await asyncio.wait_for(reader.read(1000), 20):
                    pass
        finally:
            await end_tasks(dripping)
            writer.transport.abort()


async def test_an_answer_that_takes_long_is_not_cut_off(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REQUEST_HEAD_S", 0.05)
    body = bytes(20_000_000)
    (repository / "targets" / "packages" / f"{HASH}.big.zip").write_bytes(body)
    async with HttpServer(make_app(Settings.load(hive_ota_home=str(repository.parent))), "127.0.0.1", 0) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=4096)
        writer.write(f"GET /ota/targets/packages/{HASH}.big.zip HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        got = len(await reader.readuntil(b"\r\n\r\n")) * 0
        while got < len(body):
            if got < 1_000_000:
                await asyncio.sleep(0.01)
            got += len(await reader.read(65_536))
        assert got == len(body)
        writer.close()
