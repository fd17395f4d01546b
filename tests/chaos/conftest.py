"""A network of real machines for a test, or a clear word why there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaos import clocks, network
from chaos.__main__ import must_run
from chaos.network import Network


def need(lacks: str) -> None:
    """Skip the test if something is lacking; for root in CI, who can install everything, fail it."""
    if lacks and must_run():
        pytest.fail(f"CI needs this: {lacks}")
    if lacks:
        pytest.skip(lacks)


@pytest.fixture
def net() -> Iterator[Network]:
    """A network with a server's machine and no other yet; nothing of it is left after the test."""
    need(network.missing())
    made = Network("a test")
    yield made
    made.close()


@pytest.fixture
def wrong_clocks() -> None:
    """For tests that set the clock of a process wrong."""
    need(clocks.missing())
