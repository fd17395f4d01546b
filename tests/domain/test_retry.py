from __future__ import annotations

import pytest

from venom_core.domain.retry import RETRIES_MAX, RetryDecision, after_failure

ALMOST_ONE = 1 - 2**-53


@pytest.mark.parametrize(
    ("attempt", "ceiling_ms"), [(1, 1_000), (2, 2_000), (3, 4_000), (9, 256_000), (10, 300_000), (100, 300_000)]
)
def test_the_backoff_doubles_from_one_second_to_five_minutes(attempt: int, ceiling_ms: int) -> None:
    assert after_failure(attempt, RETRIES_MAX, ALMOST_ONE) == RetryDecision(again=True, delay_ms=ceiling_ms)


def test_the_jitter_is_full() -> None:
    assert after_failure(3, 5, 0.0) == RetryDecision(again=True, delay_ms=0)
    assert after_failure(3, 5, 0.5) == RetryDecision(again=True, delay_ms=2_000)


@pytest.mark.parametrize("retries", [0, 1, 3, RETRIES_MAX])
def test_there_is_one_attempt_more_than_retries(retries: int) -> None:
    runs = 1
    while after_failure(runs, retries, 0.5).again:
        runs += 1
    assert runs == retries + 1
    assert after_failure(runs, retries, 0.5) == RetryDecision(again=False)
