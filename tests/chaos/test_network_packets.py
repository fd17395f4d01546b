"""TCP packets: what is read is what was written, by this machine's own rules too."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.packets import ACK, FIN, RST, SYN, Flow, Segment, checksum, destination, read, reset, turned, write

HERE, THERE = socket.inet_aton("10.77.0.2"), socket.inet_aton("10.77.0.1")
FLOW: Flow = (HERE, 40_000, THERE, 6_379)
NUMBERS = st.integers(0, 2**32 - 1)


@given(NUMBERS, NUMBERS, st.sampled_from([SYN, ACK, SYN | ACK, FIN | ACK, RST]), st.binary(max_size=100))
def test_what_is_written_is_read(seq: int, ack: int, flags: int, data: bytes) -> None:
    packet = write(FLOW, seq, ack, flags, data)
    assert read(packet) == Segment(FLOW, seq, ack, flags)
    assert destination(packet) == THERE
    assert packet.endswith(data)


@given(st.binary(max_size=301))
def test_the_checksums_are_those_that_a_receiver_adds_up_to_nothing(data: bytes) -> None:
    packet = write(FLOW, 7, 8, ACK, data)
    assert checksum(packet[:20]) == 0
    segment = packet[20:]
    assert checksum(HERE + THERE + struct.pack("!HH", socket.IPPROTO_TCP, len(segment)) + segment) == 0


def test_only_a_whole_tcp_packet_over_ipv4_is_a_segment() -> None:
    packet = write(FLOW, 7, 8, ACK)
    assert read(packet[:-1]) is None
    assert read(b"") is None
    assert destination(b"\x60" + packet[1:]) == b""
    assert read(b"\x60" + packet[1:]) is None
    assert read(packet[:9] + bytes([socket.IPPROTO_UDP]) + packet[10:]) is None


def test_options_of_the_address_header_are_stepped_over() -> None:
    packet = write(FLOW, 7, 8, ACK)
    with_options = bytes([0x46]) + packet[1:20] + b"\0" * 4 + packet[20:]
    assert read(with_options) == Segment(FLOW, 7, 8, ACK)


@pytest.mark.parametrize(("flags", "opens"), [(SYN, True), (SYN | ACK, False), (ACK, False), (RST, False)])
def test_who_asks_for_a_connection_sends_syn_alone(flags: int, opens: bool) -> None:
    assert Segment(FLOW, 1, 2, flags).opens is opens


def test_a_reset_ends_a_connection_or_refuses_one() -> None:
    assert read(reset(FLOW, 2**32 + 5)) == Segment(FLOW, 5, 0, RST)
    assert read(reset(FLOW, 0, 9)) == Segment(FLOW, 0, 9, RST | ACK)
    assert turned(turned(FLOW)) == FLOW
    assert turned(FLOW) == (THERE, 6_379, HERE, 40_000)
