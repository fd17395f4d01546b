"""What is served, and everything that is not, by a real server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.api.conftest import BODY, HASH, PACKAGE
from tests.hives import until
from venom_core.api import served_file
from venom_core.api.serving import HttpServer

TARGET = f"/ota/targets/{PACKAGE}"


async def test_metadata_and_targets_are_served_by_their_names(client: httpx.AsyncClient) -> None:
    root = await client.get("/ota/metadata/1.root.json")
    assert (root.status_code, root.json()) == (200, {"root": 1})
    assert root.headers["cache-control"] == "public, max-age=31536000, immutable"
    timestamp = await client.get("/ota/metadata/timestamp.json")
    assert (timestamp.status_code, timestamp.headers["cache-control"]) == (200, "no-cache")
    package = await client.get(TARGET)
    assert (package.status_code, package.content) == (200, BODY)
    assert package.headers["content-type"] == "application/octet-stream"
    assert package.headers["x-content-type-options"] == "nosniff"
    assert "server" not in package.headers
    wheel = await client.get(f"/ota/targets/wheels/{HASH}.a_b-1!2.0+local-py3-none-any.whl")
    assert wheel.content == b"wheel"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/ota", "/ota/", "/ota/metadata", "/ota/metadata/", "/ota/targets/", "/ota/targets/packages/",
        "/ota/metadata/2.root.json", "/ota/metadata/01.root.json", "/ota/metadata/root.json",
        "/ota/metadata/1.root.json/", "/ota/metadata/1.ROOT.json", "/ota/metadata/..%2f1.root.json",
        "/ota/metadata/%2e%2e/1.root.json", "/ota/metadata/1.root.json%00", "/ota/metadata/1.root.json%0a",
        "/ota/metadata/1.keys.json", "/ota/metadata/.timestamp.json.tmp",
        "/ota/targets/../metadata/1.root.json", "/ota/targets/packages/../../metadata/1.root.json",
        "/ota/targets/packages/%2e%2e/%2e%2e/metadata/1.root.json", f"/ota/targets//{PACKAGE}",
        f"/ota/targets/packages/{HASH}./etc", f"/ota/targets/packages/{HASH}.a%2f..%2fb",
        f"/ota/targets/packages/{HASH.upper()}.tasks-1.2.0.zip", "/ota/targets/packages/tasks-1.2.0.zip",
        f"/ota/targets/keys/{HASH}.a.pem", f"/ota/targets/packages/{HASH}.folder", "/ota/metadata/١.root.json",
    ],
)  # fmt: skip
async def test_everything_else_is_404_and_says_nothing(path: str, http: HttpServer, repository: Path) -> None:
    """Asked over a bare connection: every library for HTTP tidies a path up first."""
    (repository / "metadata" / ".timestamp.json.tmp").write_text("{}")
    (repository / "targets" / "packages" / f"{HASH}.folder").mkdir()
    (repository / "targets" / "keys").mkdir()
    (repository / "targets" / "keys" / f"{HASH}.a.pem").write_text("secret")
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % quote(path, safe="/%!+").encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert len(answer) < 400


async def test_no_link_is_followed_and_nothing_but_a_file_is_read(client: httpx.AsyncClient, repository: Path) -> None:
    outside = repository.parent / "online.pem"
    outside.write_text("secret")
    (repository / "metadata" / "2.root.json").symlink_to(outside)
    os.mkfifo(repository / "metadata" / "3.root.json")
    (repository / "metadata" / "4.root.json").mkdir()
    for number in (2, 3, 4):
        assert (await client.get(f"/ota/metadata/{number}.root.json")).status_code == 404
    (repository / "targets" / "packages").rename(repository / "elsewhere")
    (repository / "targets" / "packages").symlink_to(repository / "elsewhere")
    assert (await client.get(TARGET)).status_code == 404


async def test_before_there_is_a_repository_there_is_nothing(client: httpx.AsyncClient, repository: Path) -> None:
    os.rename(repository, repository.parent / "gone")  # noqa: PTH104 - a test that waits for one rename blocks nobody
    assert (await client.get("/ota/metadata/timestamp.json")).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_changed(method: str, client: httpx.AsyncClient) -> None:
    assert (await client.request(method, TARGET, content=b"x")).status_code == 405


async def test_head_tells_what_get_would_and_sends_no_body(client: httpx.AsyncClient) -> None:
    whole, head = await client.get(TARGET), await client.head(TARGET)
    assert head.content == b""
    assert head.status_code == 200
    for name in ("content-length", "etag", "accept-ranges", "content-type"):
        assert head.headers[name] == whole.headers[name]


async def test_a_download_goes_on_where_it_stopped(client: httpx.AsyncClient) -> None:
    tag = (await client.head(TARGET)).headers["etag"]
    part = await client.get(TARGET, headers={"range": "bytes=1000-", "if-range": tag})
    assert (part.status_code, part.content) == (206, BODY[1000:])
    assert part.headers["content-range"] == f"bytes 1000-{len(BODY) - 1}/{len(BODY)}"
    assert part.headers["content-length"] == str(len(BODY) - 1000)


async def test_a_file_that_was_replaced_is_sent_whole(client: httpx.AsyncClient, repository: Path) -> None:
    tag = (await client.head(TARGET)).headers["etag"]
    fresh = repository / "fresh"
    fresh.write_bytes(BODY[::-1])
    fresh.replace(repository / "targets" / PACKAGE)
    part = await client.get(TARGET, headers={"range": "bytes=1000-", "if-range": tag})
    assert (part.status_code, part.content) == (200, BODY[::-1])


async def test_a_range_beyond_the_end_is_416_and_names_the_length(client: httpx.AsyncClient) -> None:
    part = await client.get(TARGET, headers={"range": f"bytes={len(BODY)}-"})
    assert (part.status_code, part.content) == (416, b"")
    assert part.headers["content-range"] == f"bytes */{len(BODY)}"


async def test_who_has_it_already_is_sent_nothing(client: httpx.AsyncClient) -> None:
    tag = (await client.head(TARGET)).headers["etag"]
    again = await client.get(TARGET, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_file_that_is_cut_while_it_is_sent_is_an_incomplete_answer(
    client: httpx.AsyncClient, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_file, "CHUNK_BYTES", 1024)
    big = repository / "targets" / "packages" / f"{HASH}.big.zip"
    big.write_bytes(bytes(30_000_000))
    async with client.stream("GET", f"/ota/targets/packages/{HASH}.big.zip") as answer:
        arriving = answer.aiter_raw()
        await anext(arriving)
        os.truncate(big, 1024)
        with pytest.raises(httpx.RemoteProtocolError):
            async for _ in arriving:
                pass


def _open_files() -> set[str]:
    return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed by Linux only")
async def test_the_file_is_closed_when_nobody_reads_any_more(
    client: httpx.AsyncClient, http: HttpServer, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = repository / "targets" / "packages" / f"{HASH}.big.zip"
    big.write_bytes(bytes(30_000_000))
    path = f"/ota/targets/packages/{HASH}.big.zip"
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await reader.readline()
    await until(lambda: str(big) in _open_files())
    writer.transport.abort()
    await until(lambda: str(big) not in _open_files())
    # One who stays and reads nothing has its time.
    monkeypatch.setattr(served_file, "TRANSFER_S_MAX", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await until(lambda: str(big) in _open_files())
    await until(lambda: str(big) not in _open_files())
    writer.transport.abort()
    assert (await client.get(TARGET)).content == BODY
