from __future__ import annotations

import pytest

from venom_core.clock import to_utc
from venom_core.domain.node_order import CORDON, FRESH_S, aimed_at, concerns, is_fresh
from venom_core.domain.order import Order

NOW_MS = 1_800_000_000_000


def order(command: str = CORDON, *, at_ms: int = NOW_MS, **data: object) -> Order:
    return Order(command, data, to_utc(at_ms).isoformat())


def test_an_order_concerns_the_nodes_it_names() -> None:
    assert concerns(order(**aimed_at("h", "a")), "h", "a")
    assert concerns(order(hive="h", target_nodes=["b", "a"]), "h", "a")
    for other in (
        order(**aimed_at("h", "b")),
        order(**aimed_at("g", "a")),
        order(),
        order(target_nodes=["a"]),
        order(hive="h", target_nodes="a"),
        order(hive="h", target_nodes=None),
        order("UPDATE_SYSTEM", **aimed_at("h", "a")),
    ):
        assert not concerns(other, "h", "a")


@pytest.mark.parametrize(("late_s", "fresh"), [(0, True), (FRESH_S, True), (-FRESH_S, True), (FRESH_S + 1, False)])
def test_an_order_grows_old(late_s: float, fresh: bool) -> None:
    assert is_fresh(order(at_ms=NOW_MS - round(late_s * 1000)), NOW_MS) is fresh


@pytest.mark.parametrize("stamp", ["", "soon", "9999-99-99T00:00:00", "0001-01-01T00:00:00"])
def test_what_is_no_time_is_not_fresh(stamp: str) -> None:
    assert not is_fresh(Order(CORDON, {}, stamp), NOW_MS)
