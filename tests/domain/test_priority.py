from __future__ import annotations

from typing import Any

import pytest

from venom_core.domain.priority import (
    DEFAULT_PRIORITY,
    HIGH_FROM,
    LEVEL_WIDTH,
    PRIORITY_MAX,
    is_high,
    parse_priority,
)
from venom_core.errors import InvalidTask


@pytest.mark.parametrize("level", range(11))
def test_a_level_is_itself(level: int) -> None:
    assert parse_priority(level) == level
    assert is_high(level) == (level >= HIGH_FROM)


def test_the_words_of_the_documents_are_levels() -> None:
    assert (parse_priority("high_priority"), parse_priority("background")) == (8, 2)
    assert DEFAULT_PRIORITY == 2


@pytest.mark.parametrize("wrong", [-1, 11, 2**70, True, 2.0, "8", "urgent", None, b"8", [8], "x" * 10_000])
def test_anything_else_is_refused_in_one_short_sentence(wrong: Any) -> None:
    with pytest.raises(InvalidTask, match=r"priority must be 0 to 10, 'high_priority' or 'background'") as caught:
        parse_priority(wrong)
    assert len(str(caught.value)) < 200


def test_every_place_in_line_survives_a_double() -> None:
    last = (PRIORITY_MAX + 1) * LEVEL_WIDTH - 1
    assert int(float(last)) == last
    assert last < 2**53
