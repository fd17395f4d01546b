"""The network between the machines of a storm, as a process: it carries every packet, and can be told to do it badly.

`python -m chaos.relay CONTROL SEED` gets the cable of each machine (a TUN device) over the socket CONTROL, and orders
how to treat it. It ends when the other end of that socket is closed, so it never outlives a storm.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import selectors
import socket
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from chaos.packets import ACK, RST, Flow, Segment, destination, read, reset, turned

PACKET_BYTES_MAX = 65_535
ORDER_BYTES_MAX = 60_000
READ_AT_ONCE = 64
QUEUED_MAX = 50_000
FLOWS_MAX = 20_000
AGAIN_AFTER_S = 0.001


class Cable(msgspec.Struct, frozen=True):
    """How one machine's packets fare, both those that it sends and those that it is sent; milliseconds and shares.

    A machine that is `mute` sends nothing any more, one that is `deaf` gets nothing. Who is `refused` has every
    connection reset that says a word.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    doubled: float = 0.0
    mute: bool = False
    deaf: bool = False
    refused: bool = False


GOOD = Cable()


class Plug(msgspec.Struct, frozen=True, tag=True):
    """A new machine; its TUN device comes with this order."""

    address: str


class Treat(msgspec.Struct, frozen=True, tag=True):
    """From now on these machines have this cable."""

    addresses: list[str]
    cable: Cable


class HangUp(msgspec.Struct, frozen=True, tag=True):
    """All connections that these machines have now are reset, for both ends, the silent ones too."""

    addresses: list[str]


Order = Plug | Treat | HangUp


class Tally(msgspec.Struct):
    """How many packets fared how; the answer to every order."""

    carried: int = 0
    cut: int = 0
    lost: int = 0
    doubled: int = 0
    late: int = 0
    resets: int = 0
    dropped: int = 0


@dataclass
class _Port:
    """One machine as the relay sees it."""

    device: int
    cable: Cable = field(default=GOOD)


class Relay:
    """All cables in one place."""

    def __init__(self, control: socket.socket, seed: str) -> None:
        self.tally = Tally()
        self._control, self._rng = control, random.Random(seed)
        self._ports: dict[bytes, _Port] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        # The number that the receiver of a flow expects next, as it said itself; the flow heard of last stands last.
        self._expected: OrderedDict[Flow, int] = OrderedDict()
        self._ended: set[Flow] = set()

    def run(self) -> None:
        """Carry packets until the storm is over."""
        while True:
            wait_s = max(self._waiting[0][0] - time.monotonic(), 0) if self._waiting else None
            for key, _ in self._selector.select(wait_s):
                if key.fileobj is not self._control:
                    self._read_from(key.data)
                elif not self._obey():
                    return
            self._deliver()

    # ---------------------------------------------------------------------------------------------------- orders

    def _obey(self) -> bool:
        """Carry out one order; False if there will be none any more."""
        order, devices, _, _ = socket.recv_fds(self._control, ORDER_BYTES_MAX, 1)
        if not order:
            return False
        match _decode(order):
            case Plug(address):
                port = self._ports[socket.inet_aton(address)] = _Port(devices[0])
                self._selector.register(port.device, selectors.EVENT_READ, port)
            case Treat(addresses, cable):
                for address in addresses:
                    self._ports[socket.inet_aton(address)].cable = cable
            case HangUp(addresses):
                self._hang_up({socket.inet_aton(address) for address in addresses})
        self._control.send(msgspec.json.encode(self.tally))
        return True

    def _hang_up(self, addresses: set[bytes]) -> None:
        for flow, expected in list(self._expected.items()):
            if flow[0] in addresses or flow[2] in addresses:
                # Whatever is still under way makes that number wrong; then its next packet ends it.
                self._ended.add(flow)
                self._reset(flow, expected)

    # --------------------------------------------------------------------------------------------------- packets

    def _read_from(self, port: _Port) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                packet = os.read(port.device, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            target = self._ports.get(destination(packet))
            if target is not None:
                self._carry(packet, port, target)

    def _carry(self, packet: bytes, source: _Port, target: _Port) -> None:
        cables, rng = (source.cable, target.cable), self._rng
        if source.cable.mute or target.cable.deaf:
            self.tally.cut += 1
            return
        segment = read(packet)
        if segment is not None and self._is_ended(segment, refused=any(cable.refused for cable in cables)):
            self._refuse(segment)
            return
        if any(rng.random() < cable.loss for cable in cables):
            self.tally.lost += 1
            return
        delay_s = sum(max(cable.delay_ms + rng.uniform(-1, 1) * cable.jitter_ms, 0) for cable in cables) / 1000
        self._send(target.device, packet, delay_s)
        if any(rng.random() < cable.doubled for cable in cables):
            self.tally.doubled += 1
            self._send(target.device, packet, delay_s + AGAIN_AFTER_S)

    def _is_ended(self, segment: Segment, *, refused: bool) -> bool:
        """Whether its connection is to be reset; what is not is remembered, to be able to do so later."""
        flow, back = segment.flow, turned(segment.flow)
        if segment.flags & RST:
            self._expected.pop(flow, None)
            self._expected.pop(back, None)
            return False
        if segment.opens and not refused:
            self._ended.discard(flow)
            self._ended.discard(back)
        elif refused or flow in self._ended or back in self._ended:
            return True
        if segment.flags & ACK:
            self._expected[back] = segment.ack
            self._expected.move_to_end(back)
            if len(self._expected) > FLOWS_MAX:
                self._ended.discard(self._expected.popitem(last=False)[0])
        return False

    def _refuse(self, segment: Segment) -> None:
        """End the connection of a packet for its sender and for its receiver; the packet itself is gone."""
        if segment.opens:
            self._reset(turned(segment.flow), 0, segment.seq + 1)
        else:
            self._reset(turned(segment.flow), segment.ack)
            self._reset(segment.flow, segment.seq)

    def _reset(self, flow: Flow, seq: int, ack: int | None = None) -> None:
        target = self._ports.get(flow[2])
        if target is not None:
            self.tally.resets += 1
            self._send(target.device, reset(flow, seq, ack), 0.0)

    def _send(self, device: int, packet: bytes, delay_s: float) -> None:
        if delay_s <= 0:
            self._write(device, packet)
        elif len(self._waiting) < QUEUED_MAX:
            self.tally.late += 1
            heapq.heappush(self._waiting, (time.monotonic() + delay_s, next(self._numbers), device, packet))
        else:
            self.tally.dropped += 1

    def _deliver(self) -> None:
        """Whatever was held back until now."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(self._waiting)
            self._write(device, packet)

    def _write(self, device: int, packet: bytes) -> None:
        try:
            os.write(device, packet)
            self.tally.carried += 1
        except OSError:  # its queue is full: a real network drops it too
            self.tally.dropped += 1


_decode = msgspec.json.Decoder(Order).decode


def main() -> int:
    """The command; 0 once nobody gives orders any more."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        Relay(control, sys.argv[2]).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
