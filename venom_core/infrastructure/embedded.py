"""The store for people who have none: a real server of our own, kept in a data directory.

The directory holds the server's files, `server.json` (pid, its start time, its address) and a lock, so
that any number of processes find the one server and only one starts it. It outlives who started it.
Nothing that merely listens somewhere is ever taken for ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil

from venom_core.clock import Clock
from venom_core.errors import StoreError, StoreRefused, StoreUnavailable
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.redis_errors import foreign_errors
from venom_core.infrastructure.redis_pools import Pools
from venom_core.infrastructure.server_binary import find_server_binary

if sys.platform != "win32":
    import fcntl

START_TIMEOUT_S = 30.0
LOADING_TIMEOUT_S = 300.0
REFUSED_TIMEOUT_S = 3.0
STOP_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = START_TIMEOUT_S + LOADING_TIMEOUT_S
SOCKET_PATH_BYTES_MAX = 103
PORT_TRIES = 5
LOOPBACK = "127.0.0.1"
_PAUSE_S = 0.005
_SAME_START_S = 0.5
_PORT_TAKEN = re.compile(r"in use|listening", re.IGNORECASE)
_CLOCK = Clock()
_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server is started; `extra` is appended to its arguments as it is.

    With `loopback` it listens on 127.0.0.1 at `port` (0 = one that is free), with `bind` on that address of this
    machine; in either case with `password`, or a new one.
    """

    appendonly: bool = True
    appendfsync: str = "everysec"
    loopback: bool = False
    port: int = 0
    bind: str = ""
    password: str = field(default="", repr=False)
    extra: tuple[str, ...] = ()

    @property
    def listens(self) -> bool:
        """Whether it has a port, not a socket."""
        return self.loopback or bool(self.bind)


@dataclass
class EmbeddedServer:
    """A server to connect to. `pid` is None for one that the caller named by its address: it is not ours to stop."""

    url: str = field(repr=False)
    pid: int | None = None
    created: float = 0.0
    started_here: bool = False
    data_dir: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def alive(self) -> bool:
        """Whether its process runs, and is not another one under the same number."""
        return self.pid is not None and _is_same(self.pid, self.created)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it by its pid, politely for `timeout_s` seconds, then by force; no-op for a foreign or dead one."""
        if self.pid is None:
            return
        if self.alive:
            _end(psutil.Process(self.pid), timeout_s)
        if self.process is not None:
            self.process.wait()
        if self.data_dir is not None and (recorded := _recorded(self.data_dir)) and recorded.pid == self.pid:
            _state_file(self.data_dir).unlink(missing_ok=True)


def ensure_server(
    data_dir: Path,
    *,
    url: str | None,
    server_binary: str | None,
    options: ServerOptions | None = None,
    given_up: threading.Event = _NEVER,
) -> EmbeddedServer:
    """The server at `url` if given; else the one that runs in `data_dir`; else a new one there.

    Blocks until the server answers, at most 30 s, or 300 s while it loads a large file; call it in a thread from
    a running loop. `options` count only when it starts one: on a socket in `data_dir`, or on a loopback port with
    a generated password. Once `given_up` is set by another thread, a server that does not answer yet is ended.

    Raises:
        InvalidSetting: `server_binary` is no usable server.
        StoreUnavailable: no binary was found, the server does not come up, or it was given up; the message says why.
        StoreRefused: the directory cannot be made private to this user.
    """
    if url:
        return EmbeddedServer(url=url)
    if sys.platform == "win32":
        raise StoreUnavailable("There is no embedded server for Windows; set REDIS_URL.")
    data_dir = data_dir.absolute()
    _make_private(data_dir)
    with _locked(data_dir, given_up):
        if found := _running(data_dir):
            _await_ready(found, given_up)
            return found
        return _start(data_dir, find_server_binary(server_binary), options or ServerOptions(), given_up)


def find_server(data_dir: Path) -> EmbeddedServer | None:
    """The server that runs in `data_dir`, or None. Starts nothing; blocks while another process starts one there."""
    data_dir = data_dir.absolute()
    if sys.platform == "win32" or not (data_dir / "server.lock").exists():
        return None
    with _locked(data_dir):
        return _running(data_dir)


def holds_data(data_dir: Path) -> bool:
    """Whether a server that keeps every write has been there, and its files still are."""
    return (data_dir / "appendonlydir").is_dir()


def _running(data_dir: Path) -> EmbeddedServer | None:
    """The server that runs in this directory: the recorded one, or who answers at its private address.

    The second way finds it when its record was lost, or when this machine's clock was set meanwhile.
    """
    recorded = _recorded(data_dir)
    if recorded is not None and recorded.alive:
        return recorded
    url = recorded.url if recorded is not None else _socket_url(_socket_path(data_dir))
    client = Pools(parse_address(url)).sync_client(1.0)
    try:
        with foreign_errors():
            pid = int(client.info("server")["process_id"])
    except (StoreUnavailable, StoreRefused):
        return None
    finally:
        client.close()
    if recorded is not None and recorded.pid != pid:
        return None
    found = EmbeddedServer(url, pid, _start_time(pid), data_dir=data_dir)
    _record(found)
    return found


def _start(data_dir: Path, binary: Path, options: ServerOptions, given_up: threading.Event) -> EmbeddedServer:
    tries_left = PORT_TRIES if options.listens and not options.port else 1
    while True:
        tries_left -= 1
        server = _spawn(data_dir, binary, options)
        try:
            _await_ready(server, given_up)
        except BaseException as error:
            server.stop(timeout_s=1.0)
            if not (tries_left and isinstance(error, StoreUnavailable) and _PORT_TAKEN.search(str(error))):
                raise
        else:
            return server


def _spawn(data_dir: Path, binary: Path, options: ServerOptions) -> EmbeddedServer:
    password = ""
    if options.listens:
        port = options.port or 20_000 + secrets.randbelow(12_000)
        password = options.password or secrets.token_urlsafe(32)
        url, listen = _tcp_url(options.bind, password, port), ["--bind", options.bind or LOOPBACK, "--port", str(port)]
    else:
        path = _socket_path(data_dir)
        url, listen = _socket_url(path), ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]
    aof = ["--appendonly", "yes" if options.appendonly else "no", "--appendfsync", options.appendfsync]
    kept = ["--dir", str(data_dir), "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
    with _log_file(data_dir).open("wb") as output:
        # Its own session: Ctrl-C in the terminal is for us, the server goes when we have drained.
        process = subprocess.Popen(  # noqa: S603 - the binary passed find_server_binary, no shell is involved
            [str(binary), "-", *listen, *kept, *aof, *options.extra],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _hand_over(process, f"requirepass {json.dumps(password, ensure_ascii=False)}\n" if password else "")
    server = EmbeddedServer(url, process.pid, _start_time(process.pid), True, data_dir, process)
    _record(server)
    return server


def _hand_over(process: subprocess.Popen[bytes], config: str) -> None:
    """The password goes through standard input, where no list of processes shows it."""
    assert process.stdin is not None
    # A broken pipe means that it died at once; waiting for it says why.
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(config.encode())


def _await_ready(server: EmbeddedServer, given_up: threading.Event) -> None:
    """Try to connect until it answers; every other outcome is an error with the last line of its log."""
    begun = _CLOCK.monotonic_s()
    client = Pools(parse_address(server.url)).sync_client(1.0)
    try:
        while True:
            try:
                with foreign_errors():
                    client.ping()
            except StoreError as fault:
                waited_s = _CLOCK.monotonic_s() - begun
                if not server.alive or given_up.is_set() or waited_s > _patience(fault):
                    raise StoreUnavailable(f"The embedded server does not come up: {_last_words(server)}.") from fault
                time.sleep(_PAUSE_S)
            else:
                return
    finally:
        client.close()


def _patience(fault: StoreError) -> float:
    """Seconds to go on trying: who refuses our password is another one at a port that ours will not get."""
    if isinstance(fault, StoreRefused):
        return REFUSED_TIMEOUT_S
    return LOADING_TIMEOUT_S if "loading" in str(fault) else START_TIMEOUT_S


def _last_words(server: EmbeddedServer) -> str:
    assert server.data_dir is not None
    path = _log_file(server.data_dir)
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    # A server that cannot read its configuration repeats the line, with the password in it.
    said = [line.strip() for line in lines if line.strip() and "requirepass" not in line]
    telling = [line for line in said if " # " in line or line.startswith(("***", ">>>")) or "rror" in line]
    return (telling or said or ["it said nothing"])[-1].rstrip(".") + f" (log: {path})"


def _tcp_url(bind: str, password: str, port: int) -> str:
    """Where this machine reaches it: what is bound to every address is at the loopback one too."""
    host = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}.get(bind, bind)  # noqa: S104 - looked at, not bound here
    return f"redis://:{quote(password, safe='')}@{f'[{host}]' if ':' in host else host}:{port}/0"


def _socket_url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _socket_path(data_dir: Path) -> Path:
    """In the data directory, or in a short private one if the kernel's limit of a socket path is exceeded."""
    path = data_dir / "r.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX:
        return path
    mark = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    short = Path(tempfile.gettempdir(), f"venom-{os.getuid()}-{mark}")
    _make_private(short)
    return short / "r.sock"


def _make_private(directory: Path) -> None:
    """Make a directory only this user may enter; somebody else's is refused, ours is closed to others."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise StoreRefused(f"{directory} belongs to somebody else or is a link; choose another data directory.")
        if stat.S_IMODE(found.st_mode) & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        reason = error.strerror or "it cannot be made"
        raise StoreRefused(f"{directory} cannot hold the store ({reason}); choose another data directory.") from error


@contextmanager
def _locked(data_dir: Path, given_up: threading.Event = _NEVER) -> Iterator[None]:
    """One process at a time looks for or starts a server; the lock dies with its holder."""
    deadline = _CLOCK.monotonic_s() + LOCK_TIMEOUT_S
    with (data_dir / "server.lock").open("wb") as lock:
        while not _try_lock(lock):
            if given_up.is_set() or _CLOCK.monotonic_s() > deadline:
                raise StoreUnavailable(
                    f"Another process has been starting the server in {data_dir} for too long; end it."
                )
            time.sleep(_PAUSE_S)
        yield


def _try_lock(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _state_file(data_dir: Path) -> Path:
    return data_dir / "server.json"


def _log_file(data_dir: Path) -> Path:
    return data_dir / "server.log"


def _record(server: EmbeddedServer) -> None:
    """Write whole or not at all; readable by this user only, because the address may hold a password."""
    assert server.data_dir is not None
    path = _state_file(server.data_dir)
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({"pid": server.pid, "created": server.created, "url": server.url}))
    fresh.replace(path)


def _recorded(data_dir: Path) -> EmbeddedServer | None:
    """What `server.json` says; None if there is none or it is not whole."""
    try:
        state = json.loads(_state_file(data_dir).read_text())
        return EmbeddedServer(str(state["url"]), int(state["pid"]), float(state["created"]), data_dir=data_dir)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _start_time(pid: int) -> float:
    """When a process began, in seconds since the epoch; with its number that makes it unmistakable."""
    return psutil.Process(pid).create_time()


def _is_same(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - created) < _SAME_START_S
    except psutil.NoSuchProcess:
        return False


def _end(process: psutil.Process, timeout_s: float) -> None:
    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(timeout_s)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(timeout_s)
