"""arq beside the hive: its jobs on the same Redis, by the same connection settings, and without pickle.

arq is an extra and most processes never ask for it, so it is imported when it first is. Its own default for
jobs and results is pickle, with which whoever can write to Redis runs code wherever they are read; here both
are msgpack. A worker that serves these jobs takes the two functions along:

    Worker(functions, redis_settings=broker.redis_settings,
           job_serializer=broker.arq_pool.job_serializer, job_deserializer=broker.arq_pool.job_deserializer)
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from venom_core.config import Settings
from venom_core.domain import payload
from venom_core.errors import InvalidSetting, MissingExtra, TaskFailure
from venom_core.infrastructure.redis_address import RedisAddress, parse_address
from venom_core.infrastructure.redis_link import COMMAND_TIMEOUT_S
from venom_core.infrastructure.redis_pools import CONNECT_TIMEOUT_S, Pools

if TYPE_CHECKING:
    from arq.connections import ArqRedis, RedisSettings

CONNECTIONS_MAX = 8
JOB_BYTES_MAX = 2 * 1_048_576


class ArqBridge:
    """An `ArqRedis` on the connections of this project; nothing is sent before it is first used."""

    def __init__(self, settings: Settings) -> None:
        """Raises `MissingExtra` without arq, `InvalidSetting` for an address that is none."""
        arq = _connections()
        self._pools = Pools(parse_address(settings.store_url()))
        self._client = self._pools.client(COMMAND_TIMEOUT_S, CONNECTIONS_MAX)
        self.redis: ArqRedis = arq.ArqRedis(
            self._client.connection_pool, job_serializer=pack_job, job_deserializer=unpack_job
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()
        await self._pools.close()


def arq_settings(settings: Settings) -> RedisSettings:
    """The address of the hive's store as arq wants it.

    Raises:
        MissingExtra: arq is not installed.
        InvalidSetting: arq cannot reach such an address: TLS or a login at the Sentinels.
    """
    arq = _connections()
    address = parse_address(settings.store_url())
    found: RedisSettings = arq.RedisSettings(
        database=address.db,
        username=address.username,
        password=address.password,
        conn_timeout=round(CONNECT_TIMEOUT_S),
        **_place(address),
    )
    return found


def _place(address: RedisAddress) -> dict[str, Any]:
    if address.service:
        if address.tls or address.sentinel_password or address.sentinel_username:
            raise InvalidSetting("arq knows neither TLS nor a login at Sentinels; use broker.arq_pool, which does.")
        return {"host": list(address.hosts), "sentinel": True, "sentinel_master": address.service}
    if address.path:
        return {"unix_socket_path": address.path}
    host, port = address.hosts[0]
    place: dict[str, Any] = {"host": host, "port": port}
    if tls := address.tls:
        place |= {
            "ssl": True,
            "ssl_ca_certs": tls.ca_certs,
            "ssl_certfile": tls.certfile,
            "ssl_keyfile": tls.keyfile,
            "ssl_cert_reqs": tls.cert_reqs,
            "ssl_check_hostname": tls.check_hostname,
        }
    return place


def pack_job(job: dict[str, Any]) -> bytes:
    """A job or its result as msgpack; an exception by its kind and text. `InvalidTask` for what JSON cannot say."""
    result = job.get("r")
    if isinstance(result, BaseException):
        job = job | {"r": None, "error": f"{type(result).__name__}: {result}"}
    return payload.encode(job, "job", JOB_BYTES_MAX)


def unpack_job(data: bytes) -> dict[str, Any]:
    """The job or result again; what failed has a `TaskFailure` for its result, which arq raises."""
    job: dict[str, Any] = payload.decode(data)
    if "error" in job:
        job["r"] = TaskFailure(job.pop("error"))
    return job


def _connections() -> ModuleType:
    """The module of arq; here instead of at the top because it takes 0.1 s and click with it, and is often absent."""
    try:
        return importlib.import_module("arq.connections")
    except ImportError:
        raise MissingExtra("arq is not installed; in the clone, run: pip install '.[arq]'") from None
