from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.domain.seal import CODE_BYTES, HEADER_BYTES, KEYED_BLAKE2B, UNSIGNED, VERSION, Seal
from venom_core.errors import InvalidSetting, SecurityError

TOKEN, OTHER = "t" * 32, "o" * 32
OPEN, SIGNED = Seal("hive"), Seal("hive", TOKEN)
BODY = b"what a worker acts on"


def refused(seal: Seal, record: bytes, kind: Literal["task", "outcome", "order"] = "task", task_id: str = "id") -> str:
    with pytest.raises(SecurityError) as caught:
        seal.open(kind, task_id, record)
    return str(caught.value)


@given(st.text(max_size=20).filter(lambda text: text.isascii()), st.integers(0, 255), st.binary(max_size=200))
def test_a_record_opens_to_what_was_sealed(task_id: str, mark: int, body: bytes) -> None:
    for seal in (OPEN, SIGNED):
        record = seal.close("task", task_id, mark, body)
        assert record[3] == mark
        assert seal.open("task", task_id, record) == body


def test_the_layout_is_version_algorithm_key_mark_code_body() -> None:
    assert OPEN.close("task", "id", 9, BODY) == bytes((VERSION, UNSIGNED, 0, 9)) + BODY
    signed = SIGNED.close("task", "id", 9, BODY)
    assert (signed[0], signed[1], signed[3]) == (VERSION, KEYED_BLAKE2B, 9)
    assert signed[HEADER_BYTES + CODE_BYTES :] == BODY


@pytest.mark.parametrize("length", [0, 1, 26, 128, 129, 1_000])
def test_the_code_covers_hive_header_id_with_its_length_and_body(length: int) -> None:
    task_id = "i" * length
    record = SIGNED.close("task", task_id, 9, BODY)
    key = blake2b(TOKEN.encode(), digest_size=32, person=b"venom-hive-key").digest()
    covered = b"\0\4hive" + record[:HEADER_BYTES] + f"{length}:{task_id}".encode() + BODY
    code = blake2b(covered, key=key, digest_size=CODE_BYTES, person=b"task").digest()
    assert record == record[:HEADER_BYTES] + code + BODY


def test_any_single_altered_byte_is_noticed() -> None:
    record = SIGNED.close("task", "id", 9, BODY)
    for at in range(len(record)):
        refused(SIGNED, record[:at] + bytes((record[at] ^ 1,)) + record[at + 1 :])


def test_a_cut_or_lengthened_record_is_noticed() -> None:
    record = SIGNED.close("task", "id", 9, BODY)
    for end in range(len(record)):
        refused(SIGNED, record[:end])
    refused(SIGNED, record + b"\0")


@pytest.mark.parametrize("record", [b"", b"\1", b"\1\0\0", b"\2\0\0\0body", b"\0\0\0\0"])
@pytest.mark.parametrize("seal", [OPEN, SIGNED], ids=["open", "signed"])
def test_what_is_no_record_is_refused(seal: Seal, record: bytes) -> None:
    assert refused(seal, record) == "the task record of id is not in a format this release knows"


def test_an_unsigned_record_is_refused_while_a_token_is_set() -> None:
    said = refused(SIGNED, OPEN.close("task", "id", 2, BODY))
    assert said == "the task record of id is not signed with this hive's token"


def test_a_signed_record_is_refused_without_a_token_and_the_setting_is_named() -> None:
    assert refused(OPEN, SIGNED.close("task", "id", 2, BODY)).endswith("is signed; set NEXUS_SHARED_TOKEN to read it")


def test_a_record_moved_to_another_id_kind_hive_or_token_is_refused() -> None:
    record = SIGNED.close("task", "id", 2, BODY)
    assert refused(SIGNED, record, task_id="other").endswith("was altered or signed by somebody else")
    refused(SIGNED, record, "outcome")
    refused(SIGNED, record, "order")
    refused(Seal("other", TOKEN), record)
    refused(Seal("hive", OTHER), record)


def test_the_border_between_id_and_body_cannot_be_shifted() -> None:
    record = SIGNED.close("task", "ab", 2, b"cd")
    header, code = record[:HEADER_BYTES], record[HEADER_BYTES : HEADER_BYTES + CODE_BYTES]
    refused(SIGNED, header + code + b"bcd", task_id="a")
    refused(SIGNED, header + code + b"d", task_id="abc")


def test_during_a_rotation_both_tokens_are_read_and_the_new_one_signs() -> None:
    rotating = Seal("hive", OTHER, TOKEN)
    assert rotating.open("task", "id", SIGNED.close("task", "id", 2, BODY)) == BODY
    assert Seal("hive", OTHER).open("task", "id", rotating.close("task", "id", 2, BODY)) == BODY
    refused(SIGNED, rotating.close("task", "id", 2, BODY))
    refused(rotating, Seal("hive", "x" * 32).close("task", "id", 2, BODY))


def test_whether_a_token_is_set_is_known() -> None:
    assert SIGNED.required
    assert not OPEN.required


@pytest.mark.parametrize(("token", "previous"), [("t" * 31, None), (TOKEN, "p" * 31), ("", None)])
def test_a_short_token_is_refused(token: str, previous: str | None) -> None:
    with pytest.raises(InvalidSetting, match="NEXUS_SHARED_TOKEN must have at least 32 characters"):
        Seal("hive", token, previous)


def test_a_token_need_not_be_ascii_and_may_be_long() -> None:
    seal = Seal("hive", "ü" * 500)
    assert seal.open("task", "id", seal.close("task", "id", 2, BODY)) == BODY
