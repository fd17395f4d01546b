"""What follows a failed attempt: a pure decision.

Exceptions and timeouts count as attempts and wait out a backoff that doubles from one second to five
minutes with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that tasks
which failed together do not come back together. Crashes are counted apart: three and the task is
quarantined, because what kills one node would kill the next.
"""

from __future__ import annotations

from dataclasses import dataclass

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
CRASHES_MAX = 3
RETRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """`again` after `delay_ms`, or never."""

    again: bool
    delay_ms: int = 0


def after_failure(attempt: int, max_retries: int, jitter: float) -> RetryDecision:
    """Decide after attempt number `attempt` (1 = first) failed; `jitter` is a random number in [0, 1)."""
    if attempt > max_retries:
        return RetryDecision(again=False)
    ceiling_s = min(BACKOFF_FIRST_S * 2 ** (attempt - 1), BACKOFF_MAX_S)
    return RetryDecision(again=True, delay_ms=round(ceiling_s * jitter * 1000))
