from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import SERVER_BINARY, bare_server, free_port
from venom_core.config import Settings
from venom_core.errors import StoreRefused, StoreUnavailable
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.server_binary import find_server_binary

LIFE = dt.timedelta(days=1)


@dataclass
class Service:
    """A master, a replica and a Sentinel that watches both."""

    master_pid: int
    sentinel_port: int
    stop_master: ExitStack

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel_port}/mymaster"


@pytest.fixture
def service(short_dir: Path) -> Iterator[Service]:
    binary = find_server_binary(SERVER_BINARY)
    master, replica, sentinel = free_port(), free_port(), free_port()
    common = ["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0", "--dir", str(short_dir)]
    config = short_dir / "sentinel.conf"
    config.write_text(
        f"port {sentinel}\nbind 127.0.0.1\ndir {short_dir}\nsentinel monitor mymaster 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds mymaster 300\nsentinel failover-timeout mymaster 3000\n"
    )
    with ExitStack() as others, ExitStack() as first:
        process = first.enter_context(
            bare_server(binary, f"redis://127.0.0.1:{master}", "--port", str(master), *common)
        )
        others.enter_context(
            bare_server(
                binary,
                f"redis://127.0.0.1:{replica}",
                "--port",
                str(replica),
                *common,
                "--replicaof",
                f"127.0.0.1 {master}",
            )
        )
        others.enter_context(bare_server(binary, f"redis://127.0.0.1:{sentinel}", str(config), "--sentinel"))
        yield Service(process.pid, sentinel, first.pop_all())


async def sentinel_says(service: Service, *wanted: bytes) -> None:
    """Wait until the Sentinel's own words about the master hold all of `wanted`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.sentinel_port)
    async with asyncio.timeout(20):
        told = b""
        while not all(word in told for word in wanted):
            writer.write(b"INFO sentinel\r\nPING\r\n")
            told = await reader.readuntil(b"+PONG\r\n")
            await asyncio.sleep(0.02)
    writer.close()
    await writer.wait_closed()


async def test_a_link_finds_the_master_by_its_sentinel_and_again_after_a_failover(service: Service) -> None:
    await sentinel_says(service, b"slaves=1", b"status=ok")
    async with RedisLink(Settings.load(redis_url=service.url), command_timeout_s=2) as link:
        await link.command("SET", "before", 1, "EX", 60)
        assert await link.command("WAIT", 1, 5000) == 1
        assert await link.client.get("before") == b"1"
        thread_client = link.sync_client(1.0)
        assert thread_client.get("before") == b"1"
        thread_client.close()
        service.stop_master.close()
        with pytest.raises(StoreUnavailable, match=f"service mymaster of Sentinel 127.0.0.1:{service.sentinel_port}"):
            await link.command("SET", "after", 1, "EX", 60)
        async with asyncio.timeout(30):
            while not await written(link):  # noqa: ASYNC110 - asks the store itself
                await asyncio.sleep(0.05)
        assert await link.command("GET", "after") == b"1"


async def written(link: RedisLink) -> bool:
    try:
        await link.command("SET", "after", 1, "EX", 60)
    except (StoreUnavailable, StoreRefused):
        return False
    return True


async def test_a_sentinel_is_refused_as_a_store_and_an_unknown_service_is_named(service: Service) -> None:
    with pytest.raises(StoreRefused, match="is a Sentinel, not a store"):
        await RedisLink(Settings.load(redis_url=f"redis://127.0.0.1:{service.sentinel_port}")).connect()
    with pytest.raises(StoreUnavailable, match="Redis service other of Sentinel"):
        await RedisLink(Settings.load(redis_url=service.url.replace("mymaster", "other"))).connect()
    service.stop_master.close()


def certify(folder: Path) -> None:
    """ca.pem, and srv.pem with srv.key for the name `localhost` only."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
    now = dt.datetime.now(dt.UTC)
    base = x509.CertificateBuilder().issuer_name(issuer).not_valid_before(now - LIFE).not_valid_after(now + LIFE)
    ca_usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    ca = (
        base.subject_name(issuer)
        .public_key(ca_key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(ca_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))])
    certificate = (
        base.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]))
        .public_key(key.public_key())
        .serial_number(2)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "srv.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "srv.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def test_tls_checks_the_servers_name_and_issuer(debian_redis: str, short_dir: Path) -> None:
    certify(short_dir)
    port = free_port()
    trusted = f"?ssl_ca_certs={short_dir}/ca.pem"
    tls = ["--tls-port", str(port), "--tls-cert-file", f"{short_dir}/srv.pem", "--tls-key-file", f"{short_dir}/srv.key"]
    args = ["--port", "0", *tls, "--tls-auth-clients", "no", "--bind", "127.0.0.1", "--save", ""]
    with bare_server(debian_redis, f"rediss://localhost:{port}{trusted}", *args):
        async with RedisLink(Settings.load(redis_url=f"rediss://localhost:{port}{trusted}")) as link:
            assert await link.command("PING") == b"PONG"
            assert await link.client.ping()
            thread_client = link.sync_client()
            assert thread_client.ping()
            thread_client.close()
        for url in (f"rediss://127.0.0.1:{port}{trusted}", f"rediss://localhost:{port}"):
            with pytest.raises(StoreUnavailable, match="certificate verify failed"):
                await RedisLink(Settings.load(redis_url=url)).connect()
        unchecked = f"rediss://127.0.0.1:{port}{trusted}&ssl_check_hostname=false"
        async with RedisLink(Settings.load(redis_url=unchecked)) as link:
            assert await link.command("PING") == b"PONG"
