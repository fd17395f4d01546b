"""TCP over IPv4, as far as a relay must understand it to follow connections and to end them as a firewall would."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

FIN, SYN, RST, ACK = 1, 2, 4, 16
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIBBHHH")
_IP_BYTES, _TCP_BYTES = _IP.size, _TCP.size
_DONT_FRAGMENT, _TTL = 0x4000, 64
_SEQUENCES = 2**32

# Who sends, from which port, to whom, to which port: one direction of a connection.
Flow = tuple[bytes, int, bytes, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """What matters of one TCP packet."""

    flow: Flow
    seq: int
    ack: int
    flags: int

    @property
    def opens(self) -> bool:
        """Whether it asks for a new connection."""
        return bool(self.flags & SYN) and not self.flags & ACK


def destination(packet: bytes) -> bytes:
    """The four bytes of the address that an IPv4 packet goes to; nothing for any other packet."""
    return packet[16:20] if len(packet) >= _IP_BYTES and packet[0] >> 4 == 4 else b""


def read(packet: bytes) -> Segment | None:
    """The TCP segment in a packet, or None if there is no whole one."""
    start = (packet[0] & 15) * 4 if destination(packet) else 0
    if not start or packet[9] != socket.IPPROTO_TCP or len(packet) < start + _TCP_BYTES:
        return None
    from_port, to_port, seq, ack, _, flags, *_ = _TCP.unpack_from(packet, start)
    return Segment((packet[12:16], from_port, packet[16:20], to_port), seq, ack, flags)


def turned(flow: Flow) -> Flow:
    """The other direction of the same connection."""
    sender, from_port, receiver, to_port = flow
    return receiver, to_port, sender, from_port


def write(flow: Flow, seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    """A packet of a connection."""
    sender, from_port, receiver, to_port = flow
    fields = [from_port, to_port, seq % _SEQUENCES, ack % _SEQUENCES, (_TCP_BYTES // 4) << 4, flags, 0]
    pseudo = sender + receiver + struct.pack("!HH", socket.IPPROTO_TCP, _TCP_BYTES + len(data))
    segment = _TCP.pack(*fields, checksum(pseudo + _TCP.pack(*fields, 0, 0) + data), 0) + data
    header = [0x45, 0, _IP_BYTES + len(segment), 0, _DONT_FRAGMENT, _TTL, socket.IPPROTO_TCP]
    return _IP.pack(*header, checksum(_IP.pack(*header, 0, sender, receiver)), sender, receiver) + segment


def reset(flow: Flow, seq: int, ack: int | None = None) -> bytes:
    """A packet that ends a connection for the receiver of `flow`, if `seq` is the very number it expects next.

    Who asked for a connection and has none yet believes only one that acknowledges the asking: `ack`.
    """
    return write(flow, seq, ack or 0, RST if ack is None else RST | ACK)


def checksum(data: bytes) -> int:
    """The Internet's checksum; 0 over data that hold their own."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
