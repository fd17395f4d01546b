from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.hives import until
from tests.servers import SERVER_BINARY, free_port, sync_client
from venom_core.errors import InvalidSetting, StoreRefused, StoreUnavailable
from venom_core.infrastructure import embedded
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server, find_server

Ensure = Callable[..., EmbeddedServer]


@pytest.fixture
def ensure(short_dir: Path) -> Iterator[Ensure]:
    """`ensure_server` in a directory of its own; whatever it started ends with the test."""
    found: list[EmbeddedServer] = []

    def call(**options: object) -> EmbeddedServer:
        made = ServerOptions(**options) if options else None  # type: ignore[arg-type]  # the tests pass what fits
        found.append(ensure_server(short_dir, url=None, server_binary=SERVER_BINARY, options=made))
        return found[-1]

    yield call
    for server in found:
        server.stop(timeout_s=1.0)


def config(server: EmbeddedServer, name: str) -> str:
    client = sync_client(server.url)
    value = client.config_get(name)
    client.close()
    assert isinstance(value, dict)
    return str(value[name])


def put(server: EmbeddedServer, value: str) -> None:
    client = sync_client(server.url)
    client.set("kept", value)
    client.close()


def get(server: EmbeddedServer) -> object:
    client = sync_client(server.url)
    value = client.get("kept")
    client.close()
    return value


def script(path: Path, does: str) -> None:
    """A program that passes for a server when asked for its version, and then does something else."""
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'Redis server v=7.0.0' && exit\n{does}\n")
    path.chmod(0o755)


def test_a_named_address_is_used_as_it_is_and_never_stopped() -> None:
    server = ensure_server(Path("/nowhere/at/all"), url="redis://elsewhere:1", server_binary="/no/such/binary")
    assert (server.url, server.pid, server.started_here, server.alive) == ("redis://elsewhere:1", None, False, False)
    server.stop()


def test_a_server_starts_on_a_private_socket_only(ensure: Ensure, short_dir: Path) -> None:
    server = ensure()
    assert server.started_here
    assert server.alive
    assert server.url == f"unix://{short_dir}/r.sock"
    assert config(server, "port") == "0"
    assert stat.S_IMODE((short_dir / "r.sock").stat().st_mode) == 0o700
    assert stat.S_IMODE(short_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((short_dir / "server.json").stat().st_mode) == 0o600


def test_it_keeps_what_a_hive_needs(ensure: Ensure) -> None:
    server = ensure()
    assert [config(server, name) for name in ("appendonly", "appendfsync", "maxmemory-policy", "save")] == [
        "yes", "everysec", "noeviction", "",
    ]  # fmt: skip


def test_how_it_keeps_can_be_chosen(ensure: Ensure) -> None:
    server = ensure(appendfsync="always", extra=("--maxclients", "33"))
    assert (config(server, "appendfsync"), config(server, "maxclients")) == ("always", "33")


def test_it_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(ensure: Ensure) -> None:
    server = ensure()
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid
    assert os.getpgid(server.pid) == server.pid


def test_a_running_server_is_found_again_and_keeps_what_it_holds(ensure: Ensure) -> None:
    first = ensure()
    put(first, "x")
    second = ensure()
    assert (second.pid, second.url, second.started_here) == (first.pid, first.url, False)
    assert get(second) == b"x"


def test_looking_for_a_server_finds_the_running_one_and_starts_none(ensure: Ensure, short_dir: Path) -> None:
    assert find_server(short_dir) is None
    assert list(short_dir.iterdir()) == []
    first = ensure()
    found = find_server(short_dir)
    assert found is not None
    assert (found.pid, found.url) == (first.pid, first.url)
    first.stop()
    assert find_server(short_dir) is None


def test_stopping_ends_it_and_what_was_written_is_there_after_the_next_start(ensure: Ensure, short_dir: Path) -> None:
    first = ensure()
    put(first, "x")
    ensure().stop()
    assert not first.alive
    assert not (short_dir / "server.json").exists()
    first.stop()
    second = ensure()
    assert second.started_here
    assert get(second) == b"x"


def test_after_a_kill_a_new_one_starts_with_what_was_written(ensure: Ensure) -> None:
    first = ensure(appendfsync="always")
    put(first, "x")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    psutil.Process(first.pid).wait(10)
    second = ensure()
    assert second.started_here
    assert get(second) == b"x"
    first.stop()
    assert second.alive


def test_a_stalled_server_is_stopped_by_force(ensure: Ensure) -> None:
    server = ensure()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    server.stop(timeout_s=0.1)
    assert not server.alive


@pytest.mark.parametrize("state", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "created": 0, "url": "unix:///none"}'])
def test_a_stale_or_broken_record_is_passed_over(ensure: Ensure, short_dir: Path, state: str) -> None:
    (short_dir / "server.json").write_text(state)
    server = ensure()
    assert server.started_here
    assert json.loads((short_dir / "server.json").read_text())["pid"] == server.pid


def test_a_process_that_got_the_old_number_is_not_taken_for_the_server(ensure: Ensure, short_dir: Path) -> None:
    own = {"pid": os.getpid(), "created": 1.0, "url": f"unix://{short_dir}/r.sock"}
    (short_dir / "server.json").write_text(json.dumps(own))
    stranger = EmbeddedServer(own["url"], os.getpid(), 1.0, data_dir=short_dir)  # type: ignore[arg-type]  # it is a str
    assert not stranger.alive
    stranger.stop()
    assert ensure().started_here


@pytest.mark.parametrize("lost", ["record", "clock"])
def test_a_running_server_is_found_without_its_record_and_after_the_clock_was_set(
    ensure: Ensure, short_dir: Path, lost: str
) -> None:
    first = ensure()
    record = short_dir / "server.json"
    if lost == "record":
        record.unlink()
    else:
        record.write_text(json.dumps(json.loads(record.read_text()) | {"created": first.created - 3600}))
    second = ensure()
    assert (second.pid, second.created, second.started_here) == (first.pid, first.created, False)
    assert json.loads(record.read_text())["pid"] == first.pid


def test_a_recorded_address_that_another_process_answers_is_not_ours(
    ensure: Ensure, short_dir: Path, server: EmbeddedServer
) -> None:
    (short_dir / "server.json").write_text(json.dumps({"pid": 1, "created": 0.0, "url": server.url}))
    assert ensure().pid != server.pid


def test_many_at_once_get_one_server(short_dir: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from venom_core.infrastructure.embedded import ensure_server;"
        "s = ensure_server(Path(sys.argv[1]), url=None, server_binary=sys.argv[2] or None);"
        "print(s.pid, s.started_here)"
    )
    command = [sys.executable, "-c", code, str(short_dir), SERVER_BINARY or ""]
    try:
        with ThreadPoolExecutor(5) as threads:
            outputs = list(threads.map(lambda _: subprocess.check_output(command, text=True).split(), range(5)))
        assert len({pid for pid, _ in outputs}) == 1
        assert [started for _, started in outputs].count("True") == 1
    finally:
        ensure_server(short_dir, url=None, server_binary=SERVER_BINARY).stop()


def test_a_port_can_be_chosen_and_one_that_is_taken_is_said_to_be(ensure: Ensure, short_dir: Path) -> None:
    port = free_port()
    assert f"@127.0.0.1:{port}/" in ensure(loopback=True, port=port).url
    options = ServerOptions(loopback=True, port=port)
    with pytest.raises(StoreUnavailable, match=r"in use|not come up"):
        ensure_server(short_dir / "other", url=None, server_binary=SERVER_BINARY, options=options)


async def test_a_loopback_port_is_closed_to_who_lacks_its_password(ensure: Ensure) -> None:
    server = ensure(loopback=True)
    assert server.url.startswith("redis://:")
    assert server.url not in repr(server)
    assert server.pid is not None
    assert server.url.split(":")[2].split("@")[0] not in " ".join(psutil.Process(server.pid).cmdline())
    client = sync_client("redis://" + server.url.rpartition("@")[2])
    with pytest.raises(Exception, match="Authentication required"):
        client.ping()
    client.close()
    put(server, "x")
    assert get(server) == b"x"


def test_a_taken_port_is_tried_around(ensure: Ensure, monkeypatch: pytest.MonkeyPatch, short_dir: Path) -> None:
    taken = free_port()
    offsets = iter([taken - 20_000, taken - 20_000, free_port() - 20_000])
    monkeypatch.setattr(secrets, "randbelow", lambda _most: next(offsets))
    first = ensure(loopback=True)
    assert f":{taken}/" in first.url
    other = ensure_server(
        short_dir / "other", url=None, server_binary=SERVER_BINARY, options=ServerOptions(loopback=True)
    )
    assert f":{taken}/" not in other.url
    other.stop()


def test_a_long_path_puts_the_socket_into_a_short_private_directory(short_dir: Path) -> None:
    deep = short_dir / ("x" * 120)
    server = ensure_server(deep, url=None, server_binary=SERVER_BINARY)
    socket_path = Path(server.url.removeprefix("unix://"))
    try:
        assert len(os.fsencode(socket_path)) < 104
        assert socket_path.parent.parent == Path(tempfile.gettempdir())
        assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
        assert ensure_server(deep, url=None, server_binary=SERVER_BINARY).pid == server.pid
    finally:
        server.stop()
        socket_path.parent.rmdir()


def test_a_directory_open_to_others_is_closed(ensure: Ensure, short_dir: Path) -> None:
    short_dir.chmod(0o755)
    ensure()
    assert stat.S_IMODE(short_dir.stat().st_mode) == 0o700


def test_a_directory_that_is_a_link_or_a_file_is_refused(short_dir: Path) -> None:
    (short_dir / "file").touch()
    (short_dir / "link").symlink_to(short_dir)
    with pytest.raises(StoreRefused, match=r"cannot hold the store \(File exists\); choose another"):
        ensure_server(short_dir / "file", url=None, server_binary=SERVER_BINARY)
    with pytest.raises(StoreRefused, match="belongs to somebody else or is a link"):
        ensure_server(short_dir / "link", url=None, server_binary=SERVER_BINARY)


def test_a_server_that_does_not_come_up_says_why_and_leaves_no_process(short_dir: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(StoreUnavailable, match=r"does not come up: .*nonsense.* \(log: .*server\.log\)"):
        ensure_server(
            short_dir, url=None, server_binary=SERVER_BINARY, options=ServerOptions(extra=("--nonsense", "1"))
        )
    assert {child.pid for child in psutil.Process().children()} == before
    assert not (short_dir / "server.json").exists()


def test_a_server_that_never_answers_is_given_up_and_ended(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.1)
    mute = short_dir / "mute"
    script(mute, "exec sleep 60")
    with pytest.raises(StoreUnavailable, match="does not come up: it said nothing"):
        ensure_server(short_dir / "data", url=None, server_binary=str(mute))
    assert not any("sleep" in child.name() for child in psutil.Process().children())


async def test_a_server_that_does_not_answer_is_ended_when_it_is_given_up(short_dir: Path) -> None:
    mute, data, given_up = short_dir / "mute", short_dir / "data", threading.Event()
    script(mute, "exec sleep 60")
    starting = asyncio.create_task(
        asyncio.to_thread(ensure_server, data, url=None, server_binary=str(mute), given_up=given_up)
    )
    await until((data / "server.json").exists)
    given_up.set()
    with pytest.raises(StoreUnavailable, match="does not come up"):
        await asyncio.wait_for(starting, 10)
    assert find_server(data) is None


def test_a_binary_that_ends_at_once_is_reported_with_its_words(short_dir: Path) -> None:
    rude = short_dir / "rude"
    script(rude, "exec 0<&-; echo no way")
    with pytest.raises(StoreUnavailable, match="does not come up: no way"):
        ensure_server(short_dir / "data", url=None, server_binary=str(rude), options=ServerOptions(loopback=True))


def test_a_wrong_binary_is_a_wrong_setting(short_dir: Path) -> None:
    with pytest.raises(InvalidSetting, match="VENOM_REDIS_SERVER"):
        ensure_server(short_dir, url=None, server_binary="/no/such/binary")


def test_a_lock_that_is_never_freed_is_given_up(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOCK_TIMEOUT_S", 0.05)
    with embedded._locked(short_dir), pytest.raises(StoreUnavailable, match="Another process has been starting"):
        ensure_server(short_dir, url=None, server_binary=SERVER_BINARY)


def test_there_is_no_embedded_server_for_windows(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(StoreUnavailable, match="set REDIS_URL"):
        ensure_server(short_dir, url=None, server_binary=None)


def test_a_server_listens_on_the_address_it_is_given_with_the_password_it_is_given(short_dir: Path) -> None:
    password, port = 'p@ss/"word" of\\more than thirty-two characters', free_port()
    options = ServerOptions(appendonly=False, bind="127.0.0.1", port=port, password=password)
    server = ensure_server(short_dir / "data", url=None, server_binary=SERVER_BINARY, options=options)
    try:
        assert server.url.endswith(f"@127.0.0.1:{port}/0")
        assert password not in repr(server) + repr(options)
        client = sync_client(server.url)
        assert client.ping()
        assert "127.0.0.1" in str(client.config_get("bind"))
        client.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("bind", "host"), [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("fd00::5", "[fd00::5]")]
)
def test_what_is_bound_everywhere_is_reached_at_the_loopback(bind: str, host: str) -> None:
    assert embedded._tcp_url(bind, "p@ss", 7000) == f"redis://:p%40ss@{host}:7000/0"
