"""Machines of a storm: namespaces of this kernel, with real connections between them."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest

from chaos import network
from chaos.network import SERVER, Network
from chaos.relay import Cable
from chaos.server import StormServer
from tests.chaos.conftest import need
from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.redis_errors import foreign_errors
from venom_core.infrastructure.redis_pools import Pools

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0


class Pair:
    """A connection between two machines, and both its ends."""

    def __init__(self, net: Network, name: str = "spore") -> None:
        address = (net.machine(SERVER).address, 0)
        with net.inside(SERVER), socket.create_server(address) as door:
            with net.inside(name):
                self.near = socket.create_connection(door.getsockname(), PATIENCE_S)
            self.far, _ = door.accept()
        self.far.settimeout(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.near.close()
        self.far.close()


def inodes() -> tuple[int, int]:
    return Path("/proc/thread-self/ns/net").stat().st_ino, Path("/proc/self/ns/net").stat().st_ino


@pytest.fixture
def server(net: Network, short_dir: Path) -> Iterator[StormServer]:
    made = StormServer(short_dir, "", net)
    yield made
    made.close()


def test_whoever_starts_something_inside_starts_it_there_and_comes_back(net: Network) -> None:
    home = inodes()
    with net.inside("spore"):
        assert inodes()[0] != home[0]
        listed = subprocess.run(["cat", "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    assert inodes() == home
    assert {line.split(":")[0].strip() for line in listed.splitlines()[2:]} >= {"lo", "cable"}
    assert net.machine("spore") is net.machine("spore")
    assert net.machine("other").address != net.machine("spore").address
    with pytest.raises(RuntimeError, match="comes out again"), net.inside("spore"):
        raise RuntimeError("comes out again")
    assert inodes() == home


def test_machines_hear_one_another_and_nobody_else_hears_them(net: Network) -> None:
    with Pair(net) as pair:
        pair.near.sendall(b"there")
        assert pair.far.recv(10) == b"there"
        pair.far.sendall(b"and back")
        assert pair.near.recv(10) == b"and back"
        address = pair.far.getsockname()
    with net.inside("spore"), pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, PATIENCE_S)
    with pytest.raises(OSError, match=r"timed out|unreachable|refused"):
        socket.create_connection(address, 0.05)


def test_what_vanishes_on_a_cable_that_is_cut_one_way_comes_when_it_is_whole_again(net: Network) -> None:
    with Pair(net) as pair:
        net.treat(["spore"], Cable(deaf=True))
        pair.near.sendall(b"question")
        assert pair.far.recv(10) == b"question"
        pair.far.sendall(b"answer")
        pair.near.settimeout(0.2)
        with pytest.raises(TimeoutError):
            pair.near.recv(10)
        assert net.heal().startswith("packets: ")
        pair.near.settimeout(PATIENCE_S)
        assert pair.near.recv(10) == b"answer"
        assert net.tally.cut > 0


def test_data_come_whole_and_in_order_over_the_worst_of_cables(net: Network) -> None:
    sent = os.urandom(200_000)
    with Pair(net) as pair:
        net.treat(["spore"], Cable(delay_ms=2, jitter_ms=2, loss=0.05, doubled=0.2))
        sender = threading.Thread(target=pair.near.sendall, args=(sent,))
        sender.start()
        got = bytearray()
        while len(got) < len(sent):
            got += pair.far.recv(65_536)
        sender.join()
    assert bytes(got) == sent
    net.heal()
    assert min(net.tally.lost, net.tally.doubled, net.tally.late) > 0


def test_silent_connections_of_one_machine_are_reset_at_both_ends_and_no_others(net: Network) -> None:
    with Pair(net) as pair, Pair(net, "other") as others:
        for one in (pair, others):
            one.near.sendall(b"x")
            assert one.far.recv(1) == b"x"
            one.far.sendall(b"y")
            assert one.near.recv(1) == b"y"
            # Its acknowledgement may be held back a little; with it the connection is at rest.
            one.near.sendall(b"z")
            assert one.far.recv(1) == b"z"
        net.hang_up(["spore"])
        for end in (pair.near, pair.far):
            with pytest.raises(ConnectionResetError):
                ended(end)
        others.near.sendall(b"on")
        assert others.far.recv(2) == b"on"


def ended(end: socket.socket) -> None:
    """Read, and say something if nothing comes: an end that the reset missed is told when it speaks."""
    end.settimeout(0.5)
    try:
        end.recv(1)
    except TimeoutError:
        end.sendall(b"?")
        end.settimeout(PATIENCE_S)
        end.recv(1)


def test_who_is_refused_cannot_connect(net: Network) -> None:
    with net.inside(SERVER), socket.create_server((net.machine(SERVER).address, 0)) as door:
        address = door.getsockname()
        net.machine("spore")
        net.treat(["spore"], Cable(refused=True))
        with net.inside("spore"), pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, PATIENCE_S)
        net.heal()
        with net.inside("spore"):
            socket.create_connection(address, PATIENCE_S).close()


def test_a_server_does_what_it_is_asked_though_its_answers_vanish(net: Network, server: StormServer) -> None:
    outside, inside = server.client(), Pools(parse_address(net.url)).sync_client(1.0)
    with net.inside("spore"):
        inside.set("said", "inside")
        assert outside.get("said") == b"inside"
        net.treat(["spore"], Cable(deaf=True))
        with pytest.raises(StoreUnavailable, match="in time"), foreign_errors():
            inside.incr("counted")
        assert outside.get("counted") == b"1"
        net.heal()
        server.kill()
        server.start_again()
        assert inside.ping()
    inside.close()
    outside.close()


def test_nothing_is_left_of_a_network_that_was_closed(net: Network) -> None:
    relay = psutil.Process(net._relay.pid)
    net.machine("spore")
    net.close()
    assert not relay.is_running()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        net._control.send(b"")
    net.close()


def test_nothing_is_left_of_a_network_whose_owner_was_killed() -> None:
    need(network.missing())
    program = "from chaos.network import Network; n = Network(''); print(n._relay.pid, flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    relay = psutil.Process(int(owner.stdout.readline()))
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    psutil.wait_procs([relay], PATIENCE_S)
    assert not relay.is_running()


def test_a_relay_that_is_gone_is_said_so(net: Network) -> None:
    net._relay.kill()
    with pytest.raises(RuntimeError, match="the relay of the network has ended"):
        net.heal()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_NEW_NETWORK", 1)
    assert "run it as root" in network.missing()
    with pytest.raises(OSError, match="unshare"):
        Network("")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "a thing of Linux" in network.missing()
