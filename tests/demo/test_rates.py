from __future__ import annotations

import math

import pytest

from venom_core.demo.rates import OneSlot, Span, compare, one_slot, warm_from

MINUTE = 60.0


def span(path: str, node: str, started_s: float, ended_s: float) -> Span:
    return Span(path, node, 1_000, started_s, ended_s)


def alone() -> OneSlot:
    """A slow first file, then four of one second each with a pause of 0.1 s before each."""
    return one_slot([
        span("first", "a", 0, 3),
        *(span(f"f{n}", "a", 3 + 1.1 * n + 0.1, 3 + 1.1 * n + 1.1) for n in range(4)),
    ])  # fmt: skip


def test_the_first_file_of_a_slot_loads_the_scanner_and_measures_nothing() -> None:
    measured = alone()
    assert set(measured.costs) == {"f0", "f1", "f2", "f3"}
    assert measured.seconds == pytest.approx(4.4)
    assert measured.bytes_per_s == pytest.approx(4_000 / 4.4)


def test_the_pause_between_two_files_is_part_of_what_a_file_costs() -> None:
    assert list(alone().costs.values()) == pytest.approx([1.1] * 4)


def test_one_file_alone_measures_nothing() -> None:
    assert one_slot([span("first", "a", 0, 3)]) == OneSlot()
    assert one_slot([]).bytes_per_s == 0


def test_everybody_is_warm_when_the_last_has_its_first_file_behind_it() -> None:
    assert warm_from([span("x", "a", 0, 1), span("y", "b", 0, 2), span("z", "a", 1, 5)]) == 2
    assert warm_from([]) == 0


def test_two_nodes_that_take_as_long_as_one_did_are_twice_as_fast() -> None:
    spans = [
        span("first", "a", 0, 1), span("other", "b", 0, 1),
        span("f0", "a", 1, 2.1), span("f1", "b", 1, 2.1), span("f2", "a", 2.1, 3.2), span("f3", "b", 2.1, 3.2),
    ]  # fmt: skip
    found = compare(alone(), spans, "ab", math.inf)
    assert found is not None
    assert found.factor == pytest.approx(2.0)


def test_what_happens_after_the_kill_does_not_count() -> None:
    spans = [span("first", "a", 0, 1), span("other", "b", 0, 1), span("f0", "a", 1, 3.2), span("f1", "b", 1, 3.2)]
    spans.append(span("f2", "a", 50, MINUTE))
    found = compare(alone(), spans, "ab", until_s=2.1)
    assert found is not None
    assert found.seconds == pytest.approx(1.1)
    assert found.factor == pytest.approx(1.0)


def test_the_comparison_ends_with_the_first_file_that_one_slot_had_not_done() -> None:
    spans = [span("first", "a", 0, 1), span("other", "b", 0, 1), span("f0", "a", 1, 3), span("new", "b", 2, 3)]
    found = compare(alone(), spans, "ab", math.inf)
    assert found is not None
    assert found.seconds == pytest.approx(1.0)


def test_a_node_that_did_nothing_or_no_time_at_all_is_no_comparison() -> None:
    spans = [span("first", "a", 0, 1), span("f0", "a", 1, 2)]
    assert compare(alone(), spans, "ab", math.inf) is None
    assert compare(alone(), spans, "a", until_s=0.5) is None
    assert compare(OneSlot(), spans, "a", math.inf) is None
