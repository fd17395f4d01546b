"""What a measure hands back: a table, what it means, and the promises it judges. Plain data, kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Promise:
    """A limit and what was measured; met or not is computed, never typed."""

    text: str
    limit: float
    measured: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the measured number keeps the limit."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


@dataclass(slots=True)
class Section:
    """One measure's part of the report; `rows` are texts under `head`, `numbers` the raw values behind them,
    `when` the moment and the commit.
    """

    name: str
    title: str
    head: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    when: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Section:
        """The section that `to_dict` wrote."""
        return cls(**{**data, "promises": [Promise(**promise) for promise in data["promises"]]})


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(median(values))


def whole(value: float) -> str:
    """12,345"""
    return f"{value:,.0f}"


def span(values: Sequence[float]) -> str:
    """Least and greatest of several runs."""
    return f"{min(values):,.0f}–{max(values):,.0f}"
