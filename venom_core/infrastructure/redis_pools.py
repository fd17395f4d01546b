"""Clients and connections for one address, with every default of redis-py that matters set explicitly."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import redis
from redis import sentinel as sync_sentinel
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry as SyncRetry

from venom_core.infrastructure.redis_address import RedisAddress

CONNECT_TIMEOUT_S = 5.0
# A peer that vanished without a word is noticed after 30 s + 3 x 5 s, even by a subscriber that only listens.
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class Pools:
    """Makes clients for one address. A Sentinel is asked anew for its master at every connect."""

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self._never = Retry(NoBackoff(), 0)
        self._sync_never = SyncRetry(NoBackoff(), 0)
        self._sentinel: Sentinel | None = None
        if address.service:
            self._sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py says no type
                list(address.hosts), sentinel_kwargs=self._sentinel_options(CONNECT_TIMEOUT_S) | {"retry": self._never}
            )
        # It only makes connections; they are held by whoever asked for them.
        self._source = self._pool(ConnectionPool, None)

    def client(self, timeout_s: float | None, connections: int) -> Redis:
        """A client that waits `timeout_s` seconds for a reply (None: for ever) and opens so many connections."""
        return Redis.from_pool(self._pool(BlockingConnectionPool, timeout_s, max_connections=connections))

    def line(self) -> AbstractConnection:
        """One connection, not yet open, without a timeout of its own."""
        line: AbstractConnection = self._source.make_connection()  # type: ignore[no-untyped-call]  # redis-py says no type
        return line

    def sync_client(self, timeout_s: float, on_connect: Callable[[], None] | None = None) -> redis.Redis:
        """A client for a thread: `timeout_s` seconds to connect and as many for each reply.

        `on_connect` is called there whenever a connection was made.
        """
        options = self._options(timeout_s, timeout_s) | {"retry": self._sync_never}
        if on_connect is not None:
            options["redis_connect_func"] = _then(on_connect)
        address = self.address
        if address.service:
            asked = self._sentinel_options(timeout_s) | {"retry": self._sync_never}
            sentinel = sync_sentinel.Sentinel(  # type: ignore[no-untyped-call]  # redis-py says no type
                list(address.hosts), sentinel_kwargs=asked
            )
            found = sentinel.master_for(  # type: ignore[no-untyped-call]  # redis-py says no type
                address.service, **options, **self._tls(switch=True)
            )
            master: redis.Redis = found
            return master
        if address.path:
            pool = redis.ConnectionPool(redis.UnixDomainSocketConnection, path=address.path, **options)
        else:
            kind = redis.SSLConnection if address.tls else redis.Connection
            pool = redis.ConnectionPool(kind, **self._host(), **options, **self._tls(switch=False))
        return redis.Redis.from_pool(pool)

    async def close(self) -> None:
        """Close the connections to the Sentinels, if there are any."""
        for client in self._sentinel.sentinels if self._sentinel else ():
            await client.aclose()

    def _pool(self, kind: type[ConnectionPool], timeout_s: float | None, **limits: Any) -> ConnectionPool:
        options = self._options(timeout_s, CONNECT_TIMEOUT_S) | {"retry": self._never}
        address = self.address
        if self._sentinel is not None:
            client = self._sentinel.master_for(address.service, **options, **self._tls(switch=True))
            pool: ConnectionPool = client.connection_pool
            return pool
        if address.path:
            return kind(connection_class=UnixDomainSocketConnection, path=address.path, **options, **limits)
        connection = SSLConnection if address.tls else Connection
        return kind(connection_class=connection, **self._host(), **options, **self._tls(switch=False), **limits)

    def _host(self) -> dict[str, Any]:
        host, port = self.address.hosts[0]
        return {"host": host, "port": port}

    def _options(self, timeout_s: float | None, connect_timeout_s: float) -> dict[str, Any]:
        address = self.address
        keepalive = {} if address.path else {"socket_keepalive": True, "socket_keepalive_options": dict(_KEEPALIVE)}
        return {
            "db": address.db,
            "username": address.username,
            "password": address.password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": connect_timeout_s,
            "health_check_interval": 0,
            "decode_responses": False,
            "protocol": 2,
            **keepalive,
        }

    def _sentinel_options(self, timeout_s: float) -> dict[str, Any]:
        address = self.address
        return {
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "protocol": 2,
            **self._tls(switch=True),
        }

    def _tls(self, *, switch: bool) -> dict[str, Any]:
        """The TLS options under redis-py's names; a client wants a switch besides, a connection does not know it."""
        if self.address.tls is None:
            return {}
        named = {f"ssl_{name}": value for name, value in asdict(self.address.tls).items()}
        return named | ({"ssl": True} if switch else {})


def _then(on_connect: Callable[[], None]) -> Callable[[Any], None]:
    """What redis-py calls for a new connection: its own greeting first."""

    def greet(connection: Any) -> None:
        connection.on_connect()
        on_connect()

    return greet
