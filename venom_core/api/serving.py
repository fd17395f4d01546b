"""uvicorn inside a process that has an event loop, signals and logs of its own: it takes none of the three."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from venom_core.api.app import make_app
from venom_core.api.renewal import Renewal
from venom_core.config import Settings
from venom_core.errors import InvalidSetting
from venom_core.event_loop import end_tasks

log = logging.getLogger("venom.api")

CONNECTIONS_MAX = 512
"""Connections at once; one more is answered 503."""
REQUEST_HEAD_BYTES_MAX = 16_384
REQUEST_HEAD_S = 20.0
"""Seconds after which a connection is closed on which no request is made, give or take as many."""
KEEP_OPEN_S = 15
LEAVE_S = 2
"""Seconds that answers under way have when it stops."""


class _Protocol(H11Protocol):
    """uvicorn's own would wait for ever for the end of a request's head."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.loop.call_later(REQUEST_HEAD_S, self._look, None)

    def _look(self, before: RequestResponseCycle | None) -> None:
        """Close it if in all that time no request was made and none answered."""
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is before:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.loop.call_later(REQUEST_HEAD_S, self._look, self.cycle)


class _Server(uvicorn.Server):
    """uvicorn's own would take the signals that stop a Nexus."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpServer:
    """An application served on one address while the block lasts; `ended` is done if it fails before."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app, http=_Protocol, ws="none", lifespan="off", loop="none", log_config=None, access_log=False,
            server_header=False, proxy_headers=False, limit_concurrency=CONNECTIONS_MAX, timeout_keep_alive=KEEP_OPEN_S,
            timeout_graceful_shutdown=LEAVE_S, h11_max_incomplete_event_size=REQUEST_HEAD_BYTES_MAX,
        )  # fmt: skip
        self._server = _Server(config)
        self._socket: socket.socket | None = None
        self.ended: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on; with 0 asked for, the one that was free."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else self._port

    async def __aenter__(self) -> Self:
        """Listen; `InvalidSetting` if the address cannot be listened on."""
        self._socket = await asyncio.to_thread(_listen, self._host, self._port)
        self.ended = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        log.info("serving HTTP on %s port %d", self._host, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, let answers under way end for `LEAVE_S`, then cut them off."""
        assert self.ended is not None
        assert self._socket is not None
        self._server.should_exit = True
        try:
            await self.ended
        finally:
            self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS_MAX)
    except (OSError, UnicodeError) as fault:
        raise InvalidSetting(
            f"HTTP cannot be served on {host} port {port} ({fault}); set HIVE_API_HOST to an address of this machine "
            "and HIVE_API_PORT to a port that is free"
        ) from None


@contextlib.asynccontextmanager
async def nexus_http(settings: Settings) -> AsyncIterator[list[asyncio.Task[None]]]:
    """What a Nexus serves, and keeps fresh, on its HIVE_API_HOST and HIVE_API_PORT; the tasks of it."""
    async with HttpServer(make_app(settings), settings.hive_api_host, settings.hive_api_port) as server:
        assert server.ended is not None
        renewing = asyncio.create_task(Renewal(Path(settings.hive_ota_home)).run(), name="renewal")
        try:
            yield [server.ended, renewing]
        finally:
            await end_tasks(renewing)
        if not renewing.cancelled():
            renewing.result()
