from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.test_payload import JSON
from venom_core.domain.order import MESSAGE_BYTES_MAX, ORDER_BYTES_MAX, Order, read_order, write_order
from venom_core.domain.seal import Seal
from venom_core.errors import InvalidTask, SecurityError

OPEN = Seal("hive")
TOKEN, OTHER = "t" * 32, "o" * 32
SIGNED = Seal("hive", TOKEN)
STAMP = "2030-01-02T03:04:05+00:00"
ORDER = Order("UPDATE", {"target": ["ä", 1.5, None]}, STAMP)


@given(st.dictionaries(st.text("abc\u00e9", max_size=3), JSON, max_size=3))
def test_an_order_arrives_as_it_was_given(data: dict[str, Any]) -> None:
    order = Order("DO_IT", data, STAMP)
    assert read_order(OPEN, write_order(OPEN, order)) == order
    assert read_order(SIGNED, write_order(SIGNED, order)) == order
    assert read_order(SIGNED, write_order(SIGNED, order).decode()) == order


def test_an_order_is_json_of_three_fields_and_a_signature_when_a_token_is_set() -> None:
    plain = {"command": "UPDATE", "data": {"target": ["ä", 1.5, None]}, "timestamp": STAMP}
    assert json.loads(write_order(OPEN, ORDER)) == plain
    signed = json.loads(write_order(SIGNED, ORDER))
    assert len(bytes.fromhex(signed.pop("signature"))) == 20
    assert signed == plain


@pytest.mark.parametrize("command", ["", "update", "A B", "9A", "A" * 65, "A\n", None, 5])
def test_a_malformed_command_is_not_sent(command: Any) -> None:
    with pytest.raises(InvalidTask, match="a command is 1 to 64 capital letters, digits or '_', not "):
        write_order(OPEN, Order(command, {}, STAMP))


def test_data_that_json_cannot_carry_is_not_sent_and_named() -> None:
    with pytest.raises(InvalidTask, match=r"^data\['a'\] is of type bytes"):
        write_order(OPEN, Order("A", {"a": b""}, STAMP))
    with pytest.raises(InvalidTask, match=rf"the limit is {ORDER_BYTES_MAX:,}"):
        write_order(OPEN, Order("A", {"a": "x" * ORDER_BYTES_MAX}, STAMP))


def test_nothing_is_sent_that_is_too_long_to_be_read() -> None:
    with pytest.raises(InvalidTask, match=rf"bytes of JSON, the limit is {MESSAGE_BYTES_MAX:,}"):
        write_order(OPEN, Order("A", {"a": [0] * 65_000}, STAMP))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"command": "A", "data": {}}',
        b'{"command": 1, "data": {}, "timestamp": "t"}',
        b'{"command": "A", "data": [], "timestamp": "t"}',
        b'{"command": "A", "data": {}, "timestamp": 5}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("seal", [OPEN, SIGNED], ids=["open", "signed"])
def test_what_is_no_order_is_refused_as_such(seal: Seal, message: bytes) -> None:
    with pytest.raises(SecurityError, match="a broadcast is not an order"):
        read_order(seal, message)


def test_a_huge_message_is_refused_unread() -> None:
    with pytest.raises(SecurityError, match="a broadcast of 131,073 bytes is longer than any order"):
        read_order(OPEN, b" " * (MESSAGE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "message",
    [
        '{"command": "A", "data": {"x": "\\ud800"}, "timestamp": "t"}',
        '{"command": "A", "data": {}, "timestamp": "\\udfff"}',
        '{"command": "\\ud800", "data": {}, "timestamp": "t"}',
    ],
)
def test_half_a_surrogate_pair_in_a_broadcast_is_a_security_error(message: str) -> None:
    with pytest.raises(SecurityError, match="a broadcast is not an order"):
        read_order(SIGNED, message)


def test_no_depth_of_nesting_gets_past_the_reader() -> None:
    for depth in range(1, 1_200):
        deep = f'{{"command": "A", "data": {{"x": {"[" * depth}{"]" * depth}}}, "timestamp": "t"}}'
        with pytest.raises(SecurityError):
            read_order(SIGNED, deep)


@pytest.mark.parametrize("signature", [None, "", "zz", 5, "00" * 20, "é", ["a"]])
def test_an_order_without_a_good_signature_is_refused_when_a_token_is_set(signature: Any) -> None:
    fields = json.loads(write_order(OPEN, ORDER))
    if signature is not None:
        fields["signature"] = signature
    with pytest.raises(SecurityError):
        read_order(SIGNED, json.dumps(fields))


@pytest.mark.parametrize("change", [{"command": "STOP"}, {"data": {}}, {"timestamp": "later"}])
def test_an_altered_order_is_refused(change: dict[str, Any]) -> None:
    fields = json.loads(write_order(SIGNED, ORDER)) | change
    with pytest.raises(SecurityError, match="altered or signed by somebody else"):
        read_order(SIGNED, json.dumps(fields))


def test_an_order_of_another_hive_or_token_is_refused() -> None:
    for foreign in (Seal("other", TOKEN), Seal("hive", OTHER)):
        with pytest.raises(SecurityError):
            read_order(SIGNED, write_order(foreign, ORDER))


def test_the_order_of_the_fields_and_their_spelling_do_not_matter() -> None:
    fields = json.loads(write_order(SIGNED, ORDER))
    turned = json.dumps(dict(reversed(fields.items())), indent=3, ensure_ascii=True)
    assert read_order(SIGNED, turned) == ORDER


def test_during_a_rotation_orders_under_the_previous_token_are_obeyed() -> None:
    rotating = Seal("hive", OTHER, TOKEN)
    assert read_order(rotating, write_order(SIGNED, ORDER)) == ORDER
    with pytest.raises(SecurityError):
        read_order(SIGNED, write_order(rotating, ORDER))


def test_without_a_token_a_signature_is_not_looked_at() -> None:
    assert read_order(OPEN, write_order(SIGNED, ORDER)) == ORDER
