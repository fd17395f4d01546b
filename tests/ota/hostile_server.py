"""A real HTTP server over a folder that answers what a test tells it to, as slowly and as wrongly as that may be."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LINE = 65_536


class Answer(BaseHTTPRequestHandler):
    """One request: what a test planned for its path, else the file of that name."""

    server: HostileServer  # narrower than the base class, which knows no plans
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers.items())))
        plan = self.server.plans.get(self.path, HostileServer.plan_for_the_rest)
        try:
            plan(self)
        except OSError:
            self.close_connection = True  # whoever asked has had enough, as it should

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole honest answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Bytes as they are; then the connection is closed."""
        self.wfile.write(data)
        self.wfile.flush()
        self.close_connection = True

    def drip(self, data: bytes, every_s: float) -> None:
        """Byte after byte, until all is said or the test is over."""
        for each in data:
            self.raw(bytes([each]))
            if self.server.over.wait(every_s):
                return

    def file(self) -> None:
        """The file of that name in the folder."""
        path = self.server.folder / self.path.removeprefix("/ota/")
        if path.is_file():
            self.say(200, path.read_bytes())
        else:
            self.say(404)

    def log_message(self, *_: object) -> None:
        """Quiet: `asked` has it."""


Plan = Callable[[Answer], None]


class HostileServer(ThreadingHTTPServer):
    """Serves a repository's folder below /ota/; `plans` answers other than with the file, `asked` is what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder = folder
        self.plans: dict[str, Plan] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()
        self._context = context
        self.secure = context is not None
        self.mute = False

    @property
    def url(self) -> str:
        """Its base address."""
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.server_port}"

    @staticmethod
    def plan_for_the_rest(answer: Answer) -> None:
        """The file of that name."""
        answer.file()

    def plan(self, name: str, plan: Plan) -> None:
        """Answer for a file of the metadata otherwise."""
        self.plans[f"/ota/metadata/{name}"] = plan

    def names(self) -> list[str]:
        """The files of the metadata that were asked for, in order."""
        return [path.rpartition("/")[2] for path, _ in self.asked]

    def get_request(self) -> tuple[socket.socket, Any]:
        """With TLS the handshake is made by the thread of the request, when it first reads."""
        connection, address = super().get_request()
        if self.mute:
            self.over.wait(60)
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is what these tests want."""


@contextmanager
def serving(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """A running server; at the end its thread is done."""
    server = HostileServer(folder, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
