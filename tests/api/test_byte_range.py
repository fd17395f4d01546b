from __future__ import annotations

import pytest

from venom_core.api.byte_range import Span, Unsatisfiable, wanted

TAG = '"state"'


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-9", Span(0, 10)),
        ("bytes=3-5", Span(3, 6)),
        ("bytes=3-", Span(3, 10)),
        ("bytes=3-99", Span(3, 10)),
        ("bytes=-4", Span(6, 10)),
        ("bytes=-99", Span(0, 10)),
        (" BYTES=9- ", Span(9, 10)),
        # The whole, because it is no single well-formed range.
        ("", None),
        ("bytes=-", None),
        ("bytes=5-3", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=+1-2", None),
        ("bytes=1-2x", None),
        ("bytes=٣-", None),
        ("bytes=" + "9" * 16 + "-", None),
    ],
)
def test_one_range_of_ten_bytes(header: str, span: Span | None) -> None:
    assert wanted(10, header, "", TAG) == span


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_with_no_byte_in_it_cannot_be_answered(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        wanted(10, header, "", TAG)


def test_of_an_empty_file_no_range_can_be_answered() -> None:
    assert wanted(0, "", "", TAG) is None
    with pytest.raises(Unsatisfiable):
        wanted(0, "bytes=0-", "", TAG)


@pytest.mark.parametrize("other", ['"another"', 'W/"state"', "Wed, 21 Oct 2026 07:28:00 GMT", "state"])
def test_a_range_of_another_state_of_the_file_is_answered_with_the_whole(other: str) -> None:
    assert wanted(10, "bytes=3-", TAG, TAG) == Span(3, 10)
    assert wanted(10, "bytes=3-", other, TAG) is None
    assert wanted(10, "bytes=99-", other, TAG) is None
