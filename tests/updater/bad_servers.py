"""HTTP servers that answer as a test says, byte by byte: what no well-behaved library would send."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Answer = Callable[[str], Iterable[bytes]]
"""From the head of a request to the bytes to send; the connection is closed after the last."""


@dataclass
class Asked:
    """Where the server is, and the head of each request that it got."""

    url: str
    requests: list[str] = field(default_factory=list)


@contextmanager
def answering(*answers: Answer) -> Iterator[Asked]:
    """A server that gives the first answer to the first request and so on; the last is given to all that follow."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = Asked(f"http://127.0.0.1:{listener.getsockname()[1]}")
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                _answer(connection, answers, asked, ended)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _answer(connection: socket.socket, answers: tuple[Answer, ...], asked: Asked, ended: threading.Event) -> None:
    head = b""
    while b"\r\n\r\n" not in head and not head.startswith(b"\x16"):  # TLS' first byte
        piece = connection.recv(65_536)
        if not piece:
            return
        head += piece
    asked.requests.append(head.decode("latin-1"))
    answer = answers[min(len(asked.requests), len(answers)) - 1]
    try:
        for piece in answer(asked.requests[-1]):
            connection.sendall(piece)
            if ended.is_set():
                return
    except OSError:
        return  # whoever asked has had enough


def ok(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> Answer:
    """An ordinary answer; `length` is what it claims to be long."""
    told = [f"HTTP/1.1 {status}", f"content-length: {len(body) if length is None else length}", *headers, "", ""]

    def answer(_: str) -> Iterable[bytes]:
        return ["\r\n".join(told).encode() + body]

    return answer


def ranged(body: bytes, start: int, told: str = "") -> Answer:
    """The rest of `body`, told as `told` or truly."""
    told = told or f"bytes {start}-{len(body) - 1}/{len(body)}"
    return ok(body[start:], f"content-range: {told}", status="206 Partial Content")


def dripping(head: bytes, drop: bytes, pause_s: float) -> Answer:
    """`head` at once, then a drop for ever, with a pause before each."""
    resting = threading.Event()

    def answer(_: str) -> Iterator[bytes]:
        yield head
        while True:
            resting.wait(pause_s)
            yield drop

    return answer
