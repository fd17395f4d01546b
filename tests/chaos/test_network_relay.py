"""The relay with packets made by hand; a pair of sockets stands where a machine has its TUN device."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from chaos import relay
from chaos.packets import ACK, RST, SYN, Flow, Segment, read, turned, write
from chaos.relay import ORDER_BYTES_MAX, Cable, HangUp, Order, Plug, Relay, Tally, Treat

SERVER, SPORE, OTHER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
UP: Flow = (socket.inet_aton(SPORE), 40_000, socket.inet_aton(SERVER), 6_379)
DOWN = turned(UP)
WITHIN_S = 10.0


class Bench:
    """A relay in a thread of its own, between machines of which this side holds the cables."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.relay = Relay(theirs, "a seed")
        self._thread = threading.Thread(target=self.relay.run, daemon=True)
        self._thread.start()
        self._theirs = theirs
        self.cables = {address: self._plug(address) for address in (SERVER, SPORE, OTHER)}

    def tell(self, order: Order, *devices: int) -> Tally:
        socket.send_fds(self._control, [msgspec.json.encode(order)], devices)
        return msgspec.json.decode(self._control.recv(ORDER_BYTES_MAX), type=Tally)

    def treat(self, address: str, cable: Cable) -> None:
        self.tell(Treat([address], cable))

    def tally(self) -> Tally:
        return self.tell(HangUp([]))

    def send(self, *packets: bytes, by: str = SPORE) -> None:
        for packet in packets:
            self.cables[by].send(packet)

    def get(self, address: str = SERVER) -> bytes:
        self.cables[address].settimeout(WITHIN_S)
        return self.cables[address].recv(70_000)

    def left(self, address: str = SERVER) -> bytes:
        """What has come to a machine by now, if anything; the relay has seen all that was sent before."""
        for _ in range(2):  # the first may be answered before packets that came with it are looked at
            self.tally()
        self.cables[address].setblocking(False)
        try:
            return self.cables[address].recv(70_000)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self._control.close()
        self._thread.join(WITHIN_S)
        assert not self._thread.is_alive()
        for cable in (*self.cables.values(), self._theirs):
            cable.close()

    def _plug(self, address: str) -> socket.socket:
        mine, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        device.setblocking(False)
        with device:
            self.tell(Plug(address), device.fileno())
        return mine


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def packet(number: int, flow: Flow = UP, flags: int = ACK) -> bytes:
    return write(flow, number, 1_000 + number, flags, b"%d" % number)


def segment_at(bench: Bench, address: str) -> Segment | None:
    return read(bench.get(address))


def test_a_packet_goes_to_the_machine_that_it_names(bench: Bench) -> None:
    bench.send(packet(1))
    assert bench.get(SERVER) == packet(1)
    bench.send(packet(2, DOWN), by=SERVER)
    assert bench.get(SPORE) == packet(2, DOWN)
    nobody: Flow = (UP[0], 1, socket.inet_aton("10.77.9.9"), 2)
    bench.send(packet(3, nobody), b"what is no packet")
    assert [bench.left(address) for address in bench.cables] == [b"", b"", b""]
    assert bench.tally().carried == 2


@pytest.mark.parametrize(("cable", "arrives"), [(Cable(mute=True), False), (Cable(deaf=True), True)])
def test_a_cable_may_be_cut_one_way(bench: Bench, cable: Cable, arrives: bool) -> None:
    bench.treat(SPORE, cable)
    bench.send(packet(1))
    assert bench.left(SERVER) == (packet(1) if arrives else b"")
    bench.send(packet(2, DOWN), by=SERVER)
    assert bench.left(SPORE) == (b"" if arrives else packet(2, DOWN))
    assert bench.tally().cut == 1
    bench.treat(SPORE, relay.GOOD)
    bench.send(packet(3))
    assert bench.get(SERVER) == packet(3)


def test_the_cable_of_the_server_is_everybodys(bench: Bench) -> None:
    bench.treat(SERVER, Cable(deaf=True))
    bench.send(packet(1))
    assert bench.left(SERVER) == b""


def test_packets_are_lost_in_the_measure_asked_for(bench: Bench) -> None:
    bench.treat(SPORE, Cable(loss=0.25))
    for number in range(400):
        bench.send(packet(number))
        bench.left(SERVER)
    assert 50 < bench.tally().lost < 150
    bench.treat(SPORE, Cable(loss=1.0))
    bench.send(packet(1))
    assert bench.left(SERVER) == b""


def test_packets_are_doubled(bench: Bench) -> None:
    bench.treat(SPORE, Cable(doubled=1.0))
    bench.send(packet(1))
    assert [bench.get(), bench.get()] == [packet(1)] * 2
    assert bench.tally().doubled == 1


def test_packets_are_late_and_overtake_one_another(bench: Bench) -> None:
    bench.treat(SPORE, Cable(delay_ms=40))
    begun_s = time.monotonic()
    bench.send(packet(1))
    assert bench.get() == packet(1)
    assert time.monotonic() - begun_s >= 0.04
    bench.treat(SPORE, Cable(delay_ms=40, jitter_ms=40))
    sent = [packet(number) for number in range(50)]
    bench.send(*sent)
    came = [bench.get() for _ in sent]
    assert sorted(came) == sorted(sent)
    assert came != sent
    assert bench.tally().late == 51


def test_what_waits_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "QUEUED_MAX", 3)
    bench.treat(SPORE, Cable(delay_ms=100))
    bench.send(*(packet(number) for number in range(5)))
    assert [bench.get() for _ in range(3)] == [packet(number) for number in range(3)]
    assert bench.tally().dropped == 2


def test_silent_connections_are_reset_for_both_ends(bench: Bench) -> None:
    bench.send(write(UP, 100, 500, ACK))
    bench.get(SERVER)
    bench.send(write(DOWN, 500, 100, ACK), by=SERVER)
    bench.get(SPORE)
    bench.tell(HangUp([SPORE]))
    assert segment_at(bench, SPORE) == Segment(DOWN, 500, 0, RST)
    assert segment_at(bench, SERVER) == Segment(UP, 100, 0, RST)
    assert bench.tally().resets == 2


def test_who_goes_on_over_a_connection_that_was_reset_is_told_again(bench: Bench) -> None:
    bench.send(write(UP, 100, 500, ACK))
    bench.get(SERVER)
    bench.tell(HangUp([SPORE]))
    bench.get(SPORE)
    bench.send(write(UP, 107, 509, ACK))
    assert segment_at(bench, SPORE) == Segment(DOWN, 509, 0, RST)
    assert segment_at(bench, SERVER) == Segment(UP, 107, 0, RST)


def test_a_new_connection_over_the_same_ports_is_good(bench: Bench) -> None:
    bench.send(write(UP, 100, 500, ACK))
    bench.get(SERVER)
    bench.tell(HangUp([SERVER]))
    bench.get(SPORE)
    for flags in (SYN, ACK):
        bench.send(packet(7, flags=flags))
        assert bench.get(SERVER) == packet(7, flags=flags)


def test_other_machines_are_not_reset(bench: Bench) -> None:
    bench.send(write(UP, 100, 500, ACK))
    bench.get(SERVER)
    bench.tell(HangUp([OTHER]))
    bench.send(packet(7))
    assert bench.get(SERVER) == packet(7)


def test_who_is_refused_gets_no_connection_and_keeps_none(bench: Bench) -> None:
    bench.treat(SPORE, Cable(refused=True))
    bench.send(write(UP, 100, 0, SYN))
    assert segment_at(bench, SPORE) == Segment(DOWN, 0, 101, RST | ACK)
    assert bench.left(SERVER) == b""
    bench.send(write(UP, 100, 500, ACK))
    assert segment_at(bench, SPORE) == Segment(DOWN, 500, 0, RST)
    assert segment_at(bench, SERVER) == Segment(UP, 100, 0, RST)


def test_a_connection_that_an_end_has_reset_is_forgotten(bench: Bench) -> None:
    bench.send(write(UP, 100, 500, ACK), write(UP, 101, 0, RST))
    assert [segment_at(bench, SERVER), segment_at(bench, SERVER)] == [
        Segment(UP, 100, 500, ACK),
        Segment(UP, 101, 0, RST),
    ]
    bench.tell(HangUp([SPORE]))
    assert bench.left(SPORE) == b""


def test_connections_that_are_remembered_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "FLOWS_MAX", 2)
    for port in (1, 2, 3):
        bench.send(write((UP[0], port, *UP[2:]), 100, 500, ACK))
        bench.get(SERVER)
    bench.tell(HangUp([SPORE]))
    ports = [found.flow[3] for _ in range(2) if (found := segment_at(bench, SPORE))]
    assert ports == [2, 3]
    assert bench.left(SPORE) == b""


def test_a_machine_that_takes_nothing_loses_packets_and_holds_nobody_up(bench: Bench) -> None:
    for number in range(3_000):
        bench.send(packet(number))
    assert bench.tally().dropped > 0
    bench.send(packet(7, (UP[0], 1, socket.inet_aton(OTHER), 2)))
    assert bench.get(OTHER) == packet(7, (UP[0], 1, socket.inet_aton(OTHER), 2))
