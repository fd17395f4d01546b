"""The server of `venom up`: started again with its data, at its address, when it dies.

Only one that was started here is looked after. Who is connected to it waits meanwhile and goes on by himself.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from venom_core.clock import Clock
from venom_core.commands.children import Say, ending
from venom_core.errors import StoreUnavailable, VenomError
from venom_core.event_loop import overlook
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server, holds_data
from venom_spore.launcher.backoff import FORGIVEN_S, Backoff

NAME = "server"
TRIES = 5
AGAIN_S = 0.25


class ServerKeeper:
    """Looks after one server, which `options` and `binary` started; `ready` is set while it is thought to run."""

    def __init__(
        self, server: EmbeddedServer, options: ServerOptions, binary: str | None, clock: Clock | None = None
    ) -> None:
        self.server = server
        self.ready = asyncio.Event()
        self.ready.set()
        self._options, self._binary = options, binary
        self._clock = clock or Clock()
        self._tries, self._backoff = 0, Backoff(AGAIN_S)
        self._starting: asyncio.Task[None] | None = None
        self._leave = threading.Event()
        self._waiter = ThreadPoolExecutor(1, "venom-server")

    async def keep(self, say: Say) -> None:
        """Start it again whenever it dies, until cancelled; `say(name, line)` is told of it.

        Raises `StoreUnavailable` once `TRIES` tries in a row, without a life of a minute between, were in vain.
        """
        while self.server.started_here:
            begun_s = self._clock.monotonic_s()
            code = await self._death()
            if code == 0:
                say(NAME, "was stopped, so it is not started again; the rest waits for it until Ctrl-C")
                break
            self.ready.clear()
            await self._revive(f"died ({ending(code)})", self._clock.monotonic_s() - begun_s, say)
            self.ready.set()
        await asyncio.get_running_loop().create_future()  # nothing is left to look after

    async def close(self) -> None:
        """Break off a start that is under way, after `keep` was cancelled."""
        self._leave.set()
        if self._starting is not None:
            await asyncio.wait([self._starting])
            overlook(self._starting)  # told already, or broken off by us
        self._waiter.shutdown(wait=False)

    def stop(self) -> None:
        """End the server if it was started here."""
        if self.server.started_here:
            self.server.stop()

    async def _death(self) -> int:
        """Wait for it in a thread, because it may have been started before there was a loop; its exit code."""
        process = self.server.process
        assert process is not None
        return await asyncio.get_running_loop().run_in_executor(self._waiter, process.wait)

    async def _revive(self, fault: str, lived_s: float, say: Say) -> None:
        """Try until it runs; `fault` is what became of it after a life of so many seconds."""
        if lived_s >= FORGIVEN_S:
            self._tries = 0
        what = "it is started again with its data"
        while fault:
            if self._tries == TRIES:
                raise StoreUnavailable(
                    f"The server is given up, {TRIES} tries to have it again were in vain; the last one: {fault} "
                    f"(files and log: {self.server.data_dir})."
                )
            self._tries += 1
            pause_s = self._backoff.after(lived_s)
            say(NAME, f"{fault}; {what} in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            fault, lived_s, what = await self._start(say), 0.0, "it is tried again"

    async def _start(self, say: Say) -> str:
        """Start it; empty, or why it could not be started."""
        # Shielded: a thread cannot be cancelled, and the server that it starts must not be lost. `close` waits for it.
        self._starting = asyncio.create_task(asyncio.to_thread(self._start_in_thread))
        try:
            await asyncio.shield(self._starting)
        except (VenomError, OSError) as error:
            return str(error).rstrip(".")
        if not self.server.started_here:
            say(NAME, "was started by somebody else meanwhile, so it is not ended with the rest")
        return ""

    def _start_in_thread(self) -> None:
        folder = self.server.data_dir
        assert folder is not None
        # An empty server would be taken for the old one, with everything lost and nobody told.
        if not holds_data(folder):
            raise StoreUnavailable(f"its data are no longer in {folder}")
        found = ensure_server(folder, url=None, server_binary=self._binary, options=self._options, given_up=self._leave)
        if found.url != self.server.url:
            raise StoreUnavailable(f"another one runs in {folder} elsewhere; stop it with: venom server stop")
        self.server = found
